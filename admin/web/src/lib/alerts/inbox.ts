import type { AlertQuery } from '$lib/api/alerts';
import type { Alert, Incident, Severity } from '$lib/api/types';

/** Worst first, as every list shows them. */
export const SEVERITIES: Severity[] = ['critical', 'warning', 'info'];

/** 0 is the worst. A severity from a newer server sorts last. */
export function severityRank(severity: Severity): number {
  const rank = SEVERITIES.indexOf(severity);
  return rank < 0 ? SEVERITIES.length : rank;
}

/** What the inbox shows, as the address bar holds it. */
export interface InboxView {
  state: 'open' | 'all';
  /** None: all. */
  severities: Severity[];
  site: string | undefined;
  assignee: string | undefined;
  acknowledged: boolean | undefined;
  /** Those of which nobody is told; the open ones are otherwise without them. */
  suppressed: boolean;
}

const TRUTH: Record<string, boolean> = { yes: true, no: false };

export function parseInbox(params: URLSearchParams): InboxView {
  const severities = (params.get('severity') ?? '').split(',');
  return {
    state: params.get('state') === 'all' ? 'all' : 'open',
    severities: SEVERITIES.filter((severity) => severities.includes(severity)),
    site: params.get('site') || undefined,
    assignee: params.get('assignee') || undefined,
    acknowledged: TRUTH[params.get('ack') ?? ''],
    suppressed: params.get('suppressed') === 'yes',
  };
}

/** The parts of the address that a change of the view changes. */
export function inboxParams(view: Partial<InboxView>): Record<string, string | undefined> {
  const params: Record<string, string | undefined> = {};
  if ('state' in view) params['state'] = view.state === 'all' ? 'all' : undefined;
  if (view.severities) params['severity'] = view.severities.join(',') || undefined;
  if ('site' in view) params['site'] = view.site;
  if ('assignee' in view) params['assignee'] = view.assignee;
  if ('acknowledged' in view) params['ack'] = view.acknowledged === undefined ? undefined : view.acknowledged ? 'yes' : 'no';
  if ('suppressed' in view) params['suppressed'] = view.suppressed ? 'yes' : undefined;
  return params;
}

/** Whether nobody is told: those that are open show apart, those that are over with the others. */
const wantedSuppressed = (view: InboxView) => (view.suppressed ? true : view.state === 'open' ? false : undefined);

/** What the server is asked for: alerts that stand alone, the others come inside their incidents. */
export function alertQuery(view: InboxView): AlertQuery {
  return {
    alone: true,
    state: view.state === 'open' ? 'open' : undefined,
    severity: view.severities.join(',') || undefined,
    site: view.site,
    assignee: view.assignee,
    acknowledged: view.acknowledged,
    suppressed: wantedSuppressed(view),
    sort: view.state === 'open' ? 'severity' : 'newest',
  };
}

/** One line of the inbox. */
export type Entry = { kind: 'alerts'; item: Alert } | { kind: 'incidents'; item: Incident };

export const entryKey = (entry: Entry) => `${entry.kind}/${entry.item.id}`;

/** Whether the view shows it; of alerts only those that stand alone. */
export function matches(entry: Entry, view: InboxView): boolean {
  const { item } = entry;
  if (entry.kind === 'alerts' && entry.item.incident_id) return false;
  if (view.state === 'open' && item.state !== 'open') return false;
  if (view.severities.length > 0 && !view.severities.includes(item.severity)) return false;
  if (view.site !== undefined && item.site !== view.site) return false;
  if (view.assignee !== undefined && item.assignee !== view.assignee) return false;
  if (view.acknowledged !== undefined && (item.acknowledged_at !== undefined) !== view.acknowledged) return false;
  const suppressed = wantedSuppressed(view);
  return suppressed === undefined || Boolean(item.suppressed) === suppressed;
}

function newestFirst(a: Entry, b: Entry): number {
  const [keyA, keyB] = [entryKey(a), entryKey(b)];
  return Date.parse(b.item.opened_at) - Date.parse(a.item.opened_at) || (keyA < keyB ? -1 : keyA > keyB ? 1 : 0);
}

const many = (entry: Entry) => (entry.kind === 'incidents' ? 0 : 1);

/** Of the open ones the worst come first: by severity, many kiosks before one, then the newest. Otherwise the newest. */
export function inOrder(view: InboxView): (a: Entry, b: Entry) => number {
  if (view.state === 'all') return newestFirst;
  return (a, b) => severityRank(a.item.severity) - severityRank(b.item.severity) || many(a) - many(b) || newestFirst(a, b);
}

/** How far a list from the server has come: its last entry, while there is more behind it. */
export interface Reach {
  alerts: Entry | undefined;
  incidents: Entry | undefined;
}

/**
 * Puts both lists together in order. What is behind the end of a list that goes on is left out: its next page
 * may belong before it.
 */
export function lines(entries: Iterable<Entry>, view: InboxView, reach: Reach): Entry[] {
  const order = inOrder(view);
  const ends = [reach.alerts, reach.incidents].filter((end) => end !== undefined);
  return [...entries]
    .filter((entry) => matches(entry, view) && ends.every((end) => order(entry, end) <= 0))
    .sort(order);
}

/** Which lists to read on: those that end first. */
export function nextLists(view: InboxView, reach: Reach): ('alerts' | 'incidents')[] {
  const { alerts, incidents } = reach;
  if (alerts && incidents) return [inOrder(view)(alerts, incidents) <= 0 ? 'alerts' : 'incidents'];
  return alerts ? ['alerts'] : incidents ? ['incidents'] : [];
}

/** Of two versions of the same thing the newer one: events and answers arrive in any order. */
export function newer<T extends { updated_at: string }>(held: T | undefined, next: T): T {
  return held && Date.parse(held.updated_at) > Date.parse(next.updated_at) ? held : next;
}
