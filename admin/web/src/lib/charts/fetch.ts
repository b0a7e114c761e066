import { getTelemetry, postQuery } from '$lib/api/calls';
import type { Query, QueryAnswer, Source } from '$lib/api/types';
import { fromRaw, fromWindows, type Sample } from './series';
import type { Span, Step } from './window';

/** What a chart shows of one metric. */
export interface Loaded {
  samples: Sample[];
  /** Length of the windows; undefined for readings as they came. */
  step: Step | undefined;
  /** What the store made the answer of. */
  source: Source;
}

/** The question for a metric of a kiosk: its readings, or windows with their mean, least, greatest and number. */
export function questionFor(serial: string, metric: string, { from, to }: Span, step: Step | undefined, zone: string): Query {
  const range = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  const asked = { metric, kiosks: { serials: [serial] }, group_by: 'kiosk' as const };
  if (!step) return { ...range, series: [{ name: 'raw', ...asked }] };
  const series = (['mean', 'min', 'max', 'count'] as const).map((agg) => ({ name: agg, agg, ...asked }));
  return { ...range, step: step.text, tz: zone, series };
}

/** Puts the series of an answer together. */
export function samplesOf(answer: QueryAnswer): Sample[] {
  const points = (name: string) => answer.series.find((series) => series.name === name)?.points ?? [];
  const raw = points('raw');
  return raw.length > 0 ? fromRaw(raw) : fromWindows(points('mean'), points('min'), points('max'), points('count'));
}

/** Loads a metric of a kiosk in one request. Throws ApiError, or AbortError when the signal says that nobody waits any more. */
export async function loadSamples(
  serial: string, metric: string, span: Span, step: Step | undefined, zone: string, signal: AbortSignal,
): Promise<Loaded> {
  const answer = await postQuery(questionFor(serial, metric, span, step, zone), signal);
  return { samples: samplesOf(answer), step, source: answer.source };
}

/** Loads only the line of a metric in [from, to), for the small charts. */
export async function loadMeans(
  serial: string, metric: string, from: number, to: number, step: Step | undefined, intervalMs: number, signal: AbortSignal,
): Promise<Sample[]> {
  const range = { metric, from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  if (!step) return fromRaw((await getTelemetry(serial, range, signal)).points);
  const { points } = await getTelemetry(serial, { ...range, step: step.text, agg: 'mean' }, signal);
  return fromWindows(points, [], [], Math.max(1, Math.round(step.ms / intervalMs)));
}
