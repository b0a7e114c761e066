import { describe, expect, it } from 'vitest';
import { addLive, fromRaw, fromWindows, maxGap, type Sample, stats, toColumns, valueRange } from './series';
import { bounds, chooseStep, defaultRange, parseWindow } from './window';

const H = 3_600_000;
const time = (s: number) => new Date(s * 1_000).toISOString();
const sample = (s: number, mean: number, rest: Partial<Sample> = {}): Sample => ({
  time: s * 1_000, mean, min: mean, max: mean, count: 1, ...rest,
});

describe('chooseStep', () => {
  it.each([
    ['an hour at 5 s is raw', H, 5_000, undefined],
    ['an hour at 1 s is not', H, 1_000, '10s'],
    ['6 h at 5 s', 6 * H, 5_000, '1m'],
    ['a day at 5 s matches the rollups', 24 * H, 5_000, '5m'],
    ['a day at 10 min is raw', 24 * H, 600_000, undefined],
    ['a year', 365 * 24 * H, 5_000, '1d'],
  ])('%s', (_name, range, interval, expected) => {
    expect(chooseStep(range, interval)?.text).toBe(expected);
  });
});

describe('window', () => {
  it('is the last hour by default, a named range, or what was zoomed into', () => {
    expect(parseWindow(new URLSearchParams(), '1h')).toEqual({ kind: 'last', ms: H });
    expect(parseWindow(new URLSearchParams('range=6h'), '1h')).toEqual({ kind: 'last', ms: 6 * H });
    expect(parseWindow(new URLSearchParams('range=6h&from=1000&to=2000'), '1h')).toEqual({ kind: 'fixed', from: 1_000, to: 2_000 });
    expect(parseWindow(new URLSearchParams('from=2000&to=1000'), '1h')).toEqual({ kind: 'last', ms: H });
  });

  it('is an hour by default, and shorter for a kiosk that has not lived that long', () => {
    expect(defaultRange(24 * H)).toBe('1h');
    expect(defaultRange(60_000)).toBe('15m');
  });

  it('has bounds that move only when it is live', () => {
    expect(bounds({ kind: 'last', ms: 10 }, 100)).toEqual({ from: 90, to: 100 });
    expect(bounds({ kind: 'fixed', from: 1, to: 2 }, 100)).toEqual({ from: 1, to: 2 });
  });
});

describe('samples', () => {
  it('come from raw points and from windows', () => {
    expect(fromRaw([{ time: time(5), value: 7 }])).toEqual([sample(5, 7)]);
    const [only] = fromWindows([{ time: time(60), value: 5 }], [{ time: time(60), value: 1 }], [{ time: time(60), value: 9 }], 12);
    expect(only).toEqual({ time: 60_000, mean: 5, min: 1, max: 9, count: 12 });
  });

  it('grow by a live reading, and not by one that is repeated or late', () => {
    const held = [sample(5, 1)];
    expect(addLive(held, 10_000, 2, undefined)).toEqual([sample(5, 1), sample(10, 2)]);
    expect(addLive(held, 5_000, 2, undefined)).toBe(held);
    expect(addLive(held, 1_000, 2, undefined)).toBe(held);
  });

  it('put a live reading into its window', () => {
    const held = [sample(60, 4, { min: 2, max: 6, count: 3 })];
    expect(addLive(held, 90_000, 8, 60_000)).toEqual([sample(60, 5, { min: 2, max: 8, count: 4 })]);
    expect(addLive(held, 125_000, 8, 60_000)).toEqual([held[0], sample(120, 8)]);
  });
});

describe('toColumns', () => {
  it('keeps a gap a gap', () => {
    const columns = toColumns([sample(0, 1), sample(5, 2), sample(60, 3)], maxGap(5_000, undefined));
    expect(columns.mean).toEqual([1, 2, null, 3]);
    expect(columns.time).toHaveLength(4);
    expect(columns.time.every((t, i) => i === 0 || t > columns.time[i - 1]!)).toBe(true);
  });

  it('takes one lost reading for no gap', () => {
    expect(toColumns([sample(0, 1), sample(10, 2)], maxGap(5_000, undefined)).mean).toEqual([1, 2]);
  });
});

describe('stats', () => {
  it('weighs windows by their readings', () => {
    const windows = [sample(0, 10, { min: 1, max: 20, count: 3 }), sample(60, 2, { min: 0, max: 4, count: 1 })];
    expect(stats(windows)).toEqual({ last: 2, min: 0, max: 20, mean: 8 });
    expect(stats([])).toBeUndefined();
  });
});

describe('valueRange', () => {
  const cpu = { min: 35, max: 75 };

  it('shows a limit once the data come near it', () => {
    const [bottom, top] = valueRange(60, 70, cpu);
    expect(top).toBeGreaterThan(75);
    expect(bottom).toBeGreaterThan(35);
  });

  it('always holds the data and never has no height', () => {
    for (const [low, high] of [[50, 50], [0, 0], [-90, -20], [1e6, 1e6]] as const) {
      const [bottom, top] = valueRange(low, high, {});
      expect(bottom).toBeLessThan(low);
      expect(top).toBeGreaterThan(high);
    }
  });
});
