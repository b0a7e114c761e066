import type { AnomalyQuery } from '$lib/api/anomalies';
import type { Anomaly, AnomalyKind } from '$lib/api/types';

/** The ways in which a sensor can be unusual, the plainest first. */
export const KINDS: AnomalyKind[] = ['level', 'range', 'change', 'stuck', 'dropout', 'relation', 'peers'];

/** How far back the list can reach, by the word in the address bar and for the server. */
export const REACHES = ['24h', '7d', '30d'] as const;

/** What the list of anomalies shows, as the address bar holds it. */
export interface AnomalyView {
  state: 'all' | 'open' | 'closed';
  serial: string | undefined;
  site: string | undefined;
  metric: string | undefined;
  kind: AnomalyKind | undefined;
  /** Opened within this time; undefined: whenever. */
  within: string | undefined;
}

export function parseView(params: URLSearchParams): AnomalyView {
  const text = (name: string) => params.get(name) || undefined;
  const state = params.get('state');
  return {
    state: state === 'open' || state === 'closed' ? state : 'all',
    serial: text('serial'),
    site: text('site'),
    metric: text('metric'),
    kind: KINDS.find((kind) => kind === params.get('kind')),
    within: REACHES.find((reach) => reach === params.get('within')),
  };
}

/** The parts of the address that a change of the view changes. */
export function viewParams(view: Partial<AnomalyView>): Record<string, string | undefined> {
  const { state, ...rest } = view;
  return 'state' in view ? { ...rest, state: state === 'all' ? undefined : state } : rest;
}

/** What the server is asked for: the open ones, or those that are over. */
export function anomalyQuery(view: AnomalyView, open: boolean): AnomalyQuery {
  const { serial, site, metric, kind, within } = view;
  return { serial, site, metric, kind, open, from: within && `-${within}` };
}

const REACH_MS: Record<string, number> = { '24h': 86_400_000, '7d': 7 * 86_400_000, '30d': 30 * 86_400_000 };

/** Whether the view shows it. */
export function matches(anomaly: Anomaly, view: AnomalyView, now: number): boolean {
  if (view.state !== 'all' && anomaly.state !== view.state) return false;
  if (view.serial !== undefined && anomaly.serial !== view.serial) return false;
  if (view.site !== undefined && anomaly.site !== view.site) return false;
  if (view.metric !== undefined && !anomaly.sensors.some((sensor) => sensor.metric === view.metric)) return false;
  if (view.kind !== undefined && !anomaly.sensors.some((sensor) => sensor.kind === view.kind)) return false;
  return view.within === undefined || now - Date.parse(anomaly.opened_at) <= REACH_MS[view.within]!;
}

/** The open ones first, and of equals the newest. */
export function inOrder(a: Anomaly, b: Anomaly): number {
  if (a.state !== b.state) return a.state === 'open' ? -1 : 1;
  return Date.parse(b.opened_at) - Date.parse(a.opened_at) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

const judgedAt = ({ feedback }: Anomaly) => (feedback ? Date.parse(feedback.at) : 0);

/**
 * Of two versions of an anomaly the newer: it closes once, its score only grows, and feedback only replaces
 * feedback. Bands, which events do not bring, stay.
 */
export function newer(held: Anomaly | undefined, next: Anomaly): Anomaly {
  if (!held) return next;
  const older = held.state === next.state ? held.score > next.score : held.state === 'closed';
  const [episode, words] = [older ? held : next, judgedAt(held) > judgedAt(next) ? held : next];
  const bands = new Map([held, next].flatMap(({ sensors }) => sensors.flatMap(({ metric, band }) => (band ? [[metric, band] as const] : []))));
  const { feedback: _, ...rest } = episode;
  return {
    ...rest,
    sensors: episode.sensors.map((sensor) => {
      const band = sensor.band ?? bands.get(sensor.metric);
      return band ? { ...sensor, band } : sensor;
    }),
    ...(words.feedback ? { feedback: words.feedback } : {}),
  };
}

/** An alert may open a little after its anomaly and end a little after it; so far apart they still belong together. */
const BESIDE_MS = 30 * 60_000;

/** The alert that an anomaly became, of those of its kiosk: one that stood while it went on, the nearest in time. */
export function alertOf<T extends { opened_at: string; resolved_at?: string }>(alerts: T[], anomaly: Anomaly, now: number): T | undefined {
  const [from, to] = [Date.parse(anomaly.opened_at), anomaly.closed_at ? Date.parse(anomaly.closed_at) : now];
  const distance = (alert: T) => Math.abs(Date.parse(alert.opened_at) - from);
  return alerts
    .filter((alert) => Date.parse(alert.opened_at) <= to + BESIDE_MS && (alert.resolved_at === undefined || Date.parse(alert.resolved_at) >= from))
    .sort((a, b) => distance(a) - distance(b))[0];
}
