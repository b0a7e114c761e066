import type { AnomalyBand, AnomalySensor } from '$lib/api/types';
import type { Span } from '$lib/charts/window';
import { wallOf } from '$lib/format/zone';

/** What is expected during a stretch of time in Unix milliseconds. */
export interface Stretch {
  from: number;
  to: number;
  low: number;
  high: number;
}

const HOUR = 3_600_000;
/** Some zones are half or a quarter of an hour off the full ones. */
const QUARTER = HOUR / 4;

/** What is expected of a metric in [from, to), hour by hour of the kiosk's clock; hours of which nothing can be said are left out. */
export function expectedIn(band: AnomalyBand[], { from, to }: Span, zone: string): Stretch[] {
  const byHour = new Map(band.map((hour) => [hour.hour, hour]));
  const stretches: Stretch[] = [];
  for (let at = Math.floor(from / QUARTER) * QUARTER; at < to; at += QUARTER) {
    const expected = byHour.get(wallOf(at, zone).hour);
    if (!expected) continue;
    const { low, high } = expected;
    const [start, end] = [Math.max(at, from), Math.min(at + QUARTER, to)];
    const previous = stretches.at(-1);
    if (previous?.to === start && previous.low === low && previous.high === high) previous.to = end;
    else stretches.push({ from: start, to: end, low, high });
  }
  return stretches;
}

/** Kinds of which the hours say nothing: the value may be usual at this hour, and not beside the other sensors or kiosks. */
const BESIDE_OTHERS: ReadonlySet<string> = new Set(['relation', 'peers']);

/**
 * What is expected of a sensor in a span: hour by hour; while it was unusual, what was expected then where the hours do
 * not say it, because it depends on others or too little is known.
 */
export function expectedOf(sensor: AnomalySensor, { from, to }: Span, zone: string, unusual: Span): Stretch[] {
  const { band = [], low, high } = sensor;
  if (low === undefined || high === undefined || (band.length > 0 && !BESIDE_OTHERS.has(sensor.kind))) return expectedIn(band, { from, to }, zone);
  return [...expectedIn(band, { from, to: unusual.from }, zone), { ...unusual, low, high }, ...expectedIn(band, { from: unusual.to, to }, zone)];
}

/** What is expected at a moment. */
export const expectedAt = (stretches: Stretch[], time: number): Stretch | undefined =>
  stretches.find(({ from, to }) => from <= time && time < to);

/** So much before an anomaly is shown even when nothing is known of it. */
const LEAST_BEFORE = HOUR / 4;

/** A story without the empty time before its first value. */
export function fromFirst(span: Span, openedAt: number, first: number | undefined): Span {
  if (first === undefined) return span;
  return { from: Math.max(span.from, Math.min(first, openedAt - LEAST_BEFORE)), to: span.to };
}

/** The part of an anomaly's story that its charts show: the day before it until now, or a few hours beyond its end. */
export function storySpan(openedAt: number, closedAt: number | undefined, now: number): Span {
  return { from: openedAt - 24 * HOUR, to: closedAt === undefined ? now : Math.min(now, closedAt + 3 * HOUR) };
}
