/** The time a chart shows: the last so many milliseconds, moving; or a fixed part, after a zoom. */
export type ChartWindow = { kind: 'last'; ms: number } | { kind: 'fixed'; from: number; to: number };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** The ranges on offer, by the name the address bar holds. */
export const RANGES: Record<string, number> = { '15m': 15 * MINUTE, '1h': HOUR, '6h': 6 * HOUR, '24h': 24 * HOUR };

/** The last hour; for a kiosk that is known for less than a quarter of that, no longer than it needs. */
export function defaultRange(knownMs: number): string {
  return knownMs < 15 * MINUTE ? '15m' : '1h';
}

const STEPS: [text: string, ms: number][] = [
  ['10s', 10_000], ['30s', 30_000], ['1m', MINUTE], ['2m', 2 * MINUTE], ['5m', 5 * MINUTE],
  ['10m', 10 * MINUTE], ['15m', 15 * MINUTE], ['30m', 30 * MINUTE], ['1h', HOUR], ['6h', 6 * HOUR], ['1d', 24 * HOUR],
];

/** More raw points than a wide screen has pixels only cost time. */
const MAX_RAW_POINTS = 1_500;
/** Enough windows for a smooth band; 24 h come out at 5 min, the length of the store's rollups. */
const MAX_WINDOWS = 400;

export interface Step {
  text: string;
  ms: number;
}

/** The window length to ask for, or undefined for raw points. */
export function chooseStep(rangeMs: number, intervalMs: number): Step | undefined {
  if (rangeMs / intervalMs <= MAX_RAW_POINTS) return undefined;
  const [text, ms] = STEPS.find(([, step]) => rangeMs / step <= MAX_WINDOWS) ?? STEPS[STEPS.length - 1]!;
  // Windows shorter than the reporting interval would show gaps where there are none.
  return ms <= intervalMs ? undefined : { text, ms };
}

export function bounds(window: ChartWindow, now: number): { from: number; to: number } {
  return window.kind === 'last' ? { from: now - window.ms, to: now } : { from: window.from, to: window.to };
}

/** The window that the address bar asks for: from and to in Unix milliseconds, or a range by name, the usual one by default. */
export function parseWindow(params: URLSearchParams, usual: string): ChartWindow {
  const from = Number(params.get('from') ?? Number.NaN);
  const to = Number(params.get('to') ?? Number.NaN);
  if (from < to) return { kind: 'fixed', from, to };
  return { kind: 'last', ms: RANGES[params.get('range') ?? ''] ?? RANGES[usual]! };
}
