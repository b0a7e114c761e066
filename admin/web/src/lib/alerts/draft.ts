import type { AlertRule, AlertRuleRequest, Severity } from '$lib/api/types';
import { parseScope, type ScopeTexts, scopeTexts } from './matchers';

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Day = (typeof DAYS)[number];

/** A rule as its form has it: everything as people type it. */
export interface RuleDraft {
  name: string;
  summary: string;
  severity: Severity;
  condition: string;
  clear: string;
  for: string;
  clearFor: string;
  noData: string;
  text: string;
  /** name=value, one a line. */
  labels: string;
  scope: ScopeTexts;
  days: Day[];
  from: string;
  to: string;
  security: boolean;
  disabled: boolean;
}

export const newDraft = (): RuleDraft => ({
  name: '', summary: '', severity: 'warning', condition: '', clear: '', for: '5m', clearFor: '', noData: '', text: '', labels: '',
  scope: scopeTexts({}), days: [], from: '', to: '', security: false, disabled: false,
});

export const draftOf = (rule: AlertRule): RuleDraft => ({
  name: rule.name, summary: rule.summary, severity: rule.severity, condition: rule.condition, clear: rule.clear ?? '', for: rule.for ?? '',
  clearFor: rule.clear_for ?? '', noData: rule.no_data ?? '', text: rule.text ?? '',
  labels: Object.entries(rule.labels).map(([name, value]) => `${name}=${value}`).join('\n'),
  scope: scopeTexts(rule.scope), days: [...(rule.schedule?.days ?? [])], from: rule.schedule?.from ?? '', to: rule.schedule?.to ?? '',
  security: rule.security, disabled: rule.disabled,
});

/** A copy to be changed and kept under another name. */
export const copyOf = (rule: AlertRule): RuleDraft => ({ ...draftOf(rule), name: `my_${rule.name}`, disabled: false });

/** Labels as typed; a line without = is a label without a value, for the server to refuse. */
export function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const line of text.split('\n')) {
    if (!line.trim()) continue;
    const at = line.indexOf('=');
    const name = (at < 0 ? line : line.slice(0, at)).trim();
    labels[name] = at < 0 ? '' : line.slice(at + 1).trim();
  }
  return labels;
}

/** What the API takes; what is left empty is left out. */
export function requestOf(draft: RuleDraft, version?: number): AlertRuleRequest {
  const request: AlertRuleRequest = {
    name: draft.name.trim(), summary: draft.summary.trim(), severity: draft.severity, condition: draft.condition.trim(),
    labels: parseLabels(draft.labels), scope: parseScope(draft.scope), security: draft.security, disabled: draft.disabled,
  };
  const texts = { clear: draft.clear, for: draft.for, clear_for: draft.clearFor, no_data: draft.noData, text: draft.text };
  for (const [key, value] of Object.entries(texts)) if (value.trim()) Object.assign(request, { [key]: value.trim() });
  if (draft.days.length > 0 || draft.from || draft.to) {
    request.schedule = {
      ...(draft.days.length > 0 ? { days: DAYS.filter((day) => draft.days.includes(day)) } : {}),
      ...(draft.from ? { from: draft.from } : {}),
      ...(draft.to ? { to: draft.to } : {}),
    };
  }
  if (version !== undefined) request.version = version;
  return request;
}

interface Violation {
  field: string;
  reason: string;
}

/** The faults of a field and of what is inside it: scope also has those of scope.serials. */
export const faultsOf = (violations: Violation[], field: string): string[] =>
  violations.filter((violation) => violation.field === field || violation.field.startsWith(`${field}.`)).map(({ reason }) => reason);

/** A fault of an expression: where it is, from 1, and what. */
export interface Fault {
  line: number;
  column: number;
  what: string;
}

/** Takes apart what the server says of an expression, without its excerpt; undefined when it names no place. */
export function parseFault(reason: string): Fault | undefined {
  const [, line, column, what] = /line (\d+), column (\d+): ([^]*)$/.exec(reason) ?? [];
  return line && column && what !== undefined ? { line: Number(line), column: Number(column), what: what.replace(/ \(here: [^]*\)$/, '') } : undefined;
}

/** The line of the expression that a fault is in, cut around the word at its place; columns count characters as people see them. */
export function around(expression: string, fault: Fault): { before: string; at: string; after: string } {
  const line = [...(expression.split('\n')[fault.line - 1] ?? '')];
  const rest = line.slice(fault.column - 1).join('');
  const at = /^(?:[\w.]+|"[^"]*"?|\S|\s+)/.exec(rest)?.[0] ?? '';
  return { before: line.slice(0, fault.column - 1).join(''), at, after: rest.slice(at.length) };
}

/** Puts a word in the place of what is selected, with a space where it would touch another one. */
export function insertWord(text: string, from: number, to: number, word: string): { text: string; caret: number } {
  const [before, after] = [text.slice(0, from), text.slice(to)];
  const put = `${/[\w.)"]$/.test(before) ? ' ' : ''}${word}${/^[\w("]/.test(after) ? ' ' : ''}`;
  return { text: before + put + after, caret: before.length + put.length };
}
