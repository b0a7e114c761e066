import { startOfDay, wallOf, asUTC, instantOf } from '$lib/format/zone';

/** The time that charts show: the last so many milliseconds, moving; or a fixed part in Unix milliseconds. */
export type ChartWindow = { kind: 'last'; ms: number } | { kind: 'fixed'; from: number; to: number };

export interface Span {
  from: number;
  to: number;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The ranges on offer, by the name that the address bar holds. */
export const RANGES: Record<string, number> = {
  '15m': 15 * MINUTE, '1h': HOUR, '6h': 6 * HOUR, '24h': 24 * HOUR, '7d': 7 * DAY, '30d': 30 * DAY, '1y': 365 * DAY,
};

/** The store answers at most ten years at once. */
export const MAX_SPAN_MS = 10 * 365 * DAY;
/** Kiosks report every few seconds at best; closer than this there is nothing to see. */
export const MIN_SPAN_MS = 10 * SECOND;

/** The last hour; for a kiosk that is known for less than a quarter of that, no longer than it needs. */
export function defaultRange(knownMs: number): string {
  return knownMs < 15 * MINUTE ? '15m' : '1h';
}

export interface Step {
  text: string;
  ms: number;
}

const STEPS: Step[] = [
  ['10s', 10 * SECOND], ['30s', 30 * SECOND], ['1m', MINUTE], ['2m', 2 * MINUTE], ['5m', 5 * MINUTE], ['10m', 10 * MINUTE],
  ['15m', 15 * MINUTE], ['30m', 30 * MINUTE], ['1h', HOUR], ['2h', 2 * HOUR], ['3h', 3 * HOUR], ['6h', 6 * HOUR], ['12h', 12 * HOUR],
  ['1d', DAY], ['2d', 2 * DAY], ['7d', 7 * DAY], ['28d', 28 * DAY],
].map(([text, ms]) => ({ text: text as string, ms: ms as number }));

/** A screen narrower than this still gets so many points. */
const MIN_WIDTH_PX = 240;
/** Widths are rounded down to this, so that a scroll bar that comes or goes asks for nothing anew. */
const WIDTH_GRAIN_PX = 40;

/**
 * The window length to ask for, or undefined for raw points: those come while there is at most one for
 * each pixel, windows are at least two pixels wide.
 */
export function chooseStep(rangeMs: number, intervalMs: number, widthPx: number): Step | undefined {
  const width = Math.max(MIN_WIDTH_PX, Math.floor(widthPx / WIDTH_GRAIN_PX) * WIDTH_GRAIN_PX);
  if (rangeMs / intervalMs <= width) return undefined;
  const step = STEPS.find(({ ms }) => rangeMs / ms <= width / 2) ?? STEPS[STEPS.length - 1]!;
  // Windows shorter than the reporting interval would show gaps where there are none.
  return step.ms <= intervalMs ? undefined : step;
}

/** The start of the window that a moment belongs to, as the store aligns them: by the epoch, whole days by midnights of the zone. */
export function windowStart(at: number, stepMs: number, zone: string): number {
  if (stepMs % DAY !== 0) return Math.floor(at / stepMs) * stepMs;
  const days = stepMs / DAY;
  if (days === 1) return startOfDay(at, zone);
  const wall = { ...wallOf(at, zone), hour: 0, minute: 0, second: 0 };
  return instantOf({ ...wall, day: wall.day - (Math.floor(asUTC(wall) / DAY) % days) }, zone);
}

export function bounds(window: ChartWindow, now: number): Span {
  return window.kind === 'last' ? { from: now - window.ms, to: now } : { from: window.from, to: window.to };
}

/** What the charts look at: the range that was chosen, and the part of it that was zoomed into. */
export interface View {
  base: ChartWindow;
  zoom: Span | undefined;
}

/** The window to show. */
export const shownWindow = ({ base, zoom }: View): ChartWindow => (zoom ? { kind: 'fixed', ...zoom } : base);

/**
 * The view that the address bar asks for: range by name or from and to, then zoom as from~to; times in
 * RFC 3339 or Unix milliseconds. What makes no sense counts as not there.
 */
export function parseView(params: URLSearchParams, usual: string): View {
  const [from, to] = (params.get('zoom') ?? '').split('~');
  const custom = parseSpan(params.get('from'), params.get('to'));
  const ms = RANGES[params.get('range') ?? ''] ?? RANGES[usual] ?? HOUR;
  return {
    base: custom ? { kind: 'fixed', ...custom } : { kind: 'last', ms },
    zoom: parseSpan(from, to),
  };
}

function parseSpan(from: string | null | undefined, to: string | null | undefined): Span | undefined {
  const span = { from: parseTime(from), to: parseTime(to) };
  return span.from < span.to && span.to - span.from <= MAX_SPAN_MS ? span : undefined;
}

function parseTime(text: string | null | undefined): number {
  if (!text) return Number.NaN;
  const at = /^\d+$/.test(text) ? Number(text) : /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  // Beyond this, dates are not dates any more.
  return Math.abs(at) <= 8.64e15 ? at : Number.NaN;
}

/** An instant as the address bar holds it: whole seconds, UTC. */
export const formatTime = (at: number): string => new Date(Math.round(at / SECOND) * SECOND).toISOString().replace('.000Z', 'Z');

export const formatZoom = ({ from, to }: Span): string => `${formatTime(from)}~${formatTime(to)}`;

/** A span so many times as long (below 1: shorter) around a moment that keeps its place. */
export function scaled({ from, to }: Span, factor: number, around: number): Span {
  const length = Math.min(MAX_SPAN_MS, Math.max(MIN_SPAN_MS, (to - from) * factor));
  const share = (around - from) / (to - from);
  const start = around - length * share;
  return { from: start, to: start + length };
}

/** A span moved by a share of its length, later if positive, but not beyond the present. */
export function moved({ from, to }: Span, share: number, now: number): Span {
  const by = Math.min((to - from) * share, Math.max(0, now - to));
  return { from: from + by, to: to + by };
}
