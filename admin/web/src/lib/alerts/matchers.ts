import type { Matcher, Scope } from '$lib/api/types';
import type { Entry } from './inbox';

export const OPERATORS: Matcher['op'][] = ['=', '!=', '=~', '!~'];
/** The labels that every alert has; rules add others. */
export const LABELS = ['rule', 'serial', 'site', 'severity', 'model', 'tag'];

/** What a silence of this alert would look for: the rule at this kiosk; of an incident what its kiosks share. */
export function matchersFor(entry: Entry): Matcher[] {
  const rule: Matcher = { name: 'rule', op: '=', value: entry.item.rule };
  if (entry.kind === 'alerts') return entry.item.serial ? [rule, { name: 'serial', op: '=', value: entry.item.serial }] : [rule];
  return entry.item.site ? [rule, { name: 'site', op: '=', value: entry.item.site }] : [rule];
}

/** Those that say something. */
export const complete = (matchers: Matcher[]): Matcher[] =>
  matchers.map((matcher) => ({ ...matcher, name: matcher.name.trim(), value: matcher.value.trim() })).filter(({ name, value }) => name && value);

export const matcherText = ({ name, op, value }: Matcher): string => `${name} ${op} ${value}`;

/** A list as people type it: parts separated by commas. */
export const splitList = (text: string): string[] => text.split(',').map((part) => part.trim()).filter((part) => part !== '');

const LISTS = ['serials', 'sites', 'tags', 'models'] as const;
export type ScopeTexts = Record<(typeof LISTS)[number], string>;
export const SCOPE_LISTS: readonly (keyof ScopeTexts)[] = LISTS;

export const scopeTexts = (scope: Scope): ScopeTexts => ({
  serials: (scope.serials ?? []).join(', '), sites: (scope.sites ?? []).join(', '), tags: (scope.tags ?? []).join(', '), models: (scope.models ?? []).join(', '),
});

export function parseScope(texts: ScopeTexts): Scope {
  const scope: Scope = {};
  for (const list of LISTS) {
    const parts = splitList(texts[list]);
    if (parts.length > 0) scope[list] = parts;
  }
  return scope;
}

/** A scope in one line; empty when it is for all. */
export const scopeLine = (scope: Scope): string => LISTS.flatMap((list) => scope[list] ?? []).join(', ');
