import { describe, expect, it } from 'vitest';
import { addLive, byPeaks, countGaps, dropBefore, fromRaw, fromWindows, gapOf, maxGap, nearest, neighbour, rowsOf, stats, toColumns, valueRange, type Sample } from './series';

const time = (s: number) => new Date(s * 1_000).toISOString();
const sample = (s: number, mean: number, rest: Partial<Sample> = {}): Sample => ({
  time: s * 1_000, mean, min: mean, max: mean, count: 1, ...rest,
});

describe('samples', () => {
  it('come from raw points and from windows', () => {
    expect(fromRaw([{ time: time(5), value: 7 }])).toEqual([sample(5, 7)]);
    const at = (value: number) => [{ time: time(60), value }];
    expect(fromWindows(at(5), at(1), at(9), at(12))).toEqual([{ time: 60_000, mean: 5, min: 1, max: 9, count: 12 }]);
    expect(fromWindows(at(5), [], [], 3)).toEqual([{ time: 60_000, mean: 5, min: 5, max: 5, count: 3 }]);
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
    expect(addLive(held, 125_000, 8, 120_000)).toEqual([held[0], sample(120, 8)]);
  });
});

describe('a line of samples', () => {
  const held = [sample(0, 1), sample(5, 2), sample(10, 3), sample(60, 4)];

  it('forgets what is older than the picture, but for the sample that leads into it', () => {
    expect(dropBefore(held, 7_000)).toEqual(held.slice(1));
    expect(dropBefore(held, -1)).toBe(held);
  });

  it('is pointed at where it is, not across a gap', () => {
    expect(nearest(held, 6_000, 3_000)).toBe(held[1]);
    expect(nearest(held, 8_000, 3_000)).toBe(held[2]);
    expect(nearest(held, 35_000, 3_000)).toBeUndefined();
    expect(nearest([], 0, 3_000)).toBeUndefined();
  });

  it('is walked along from sample to sample', () => {
    expect(neighbour(held, 5_000, 1)).toBe(held[2]);
    expect(neighbour(held, 5_000, -1)).toBe(held[0]);
    expect(neighbour(held, 60_000, 1)).toBeUndefined();
  });

  it('is a table together with others, newest first', () => {
    expect(rowsOf([held, [sample(5, 9)]], { from: 5_000, to: 10_000 })).toEqual([
      { time: 10_000, samples: [held[2], undefined] }, { time: 5_000, samples: [held[1], sample(5, 9)] },
    ]);
  });
});

describe('toColumns', () => {
  it('keeps a gap a gap', () => {
    const columns = toColumns([sample(0, 1), sample(5, 2), sample(60, 3)], maxGap(5_000, undefined));
    expect(columns.mean).toEqual([1, 2, null, 3]);
    expect(columns.time).toHaveLength(4);
    expect(columns.time.every((t, i) => i === 0 || t > columns.time[i - 1]!)).toBe(true);
  });

  it('takes one lost reading for no gap, but an empty window that should hold several', () => {
    expect(toColumns([sample(0, 1), sample(10, 2)], maxGap(5_000, undefined)).mean).toEqual([1, 2]);
    expect(toColumns([sample(0, 1), sample(120, 2)], maxGap(5_000, 60_000)).mean).toEqual([1, null, 2]);
    expect(countGaps([sample(0, 1), sample(60, 1), sample(180, 2)], maxGap(5_000, 60_000))).toBe(1);
  });

  it('knows a kiosk that once reported more rarely', () => {
    const rare = [sample(0, 1), sample(300, 2), sample(600, 3), sample(3_600, 4)];
    expect(toColumns(rare, gapOf(rare, 5_000, undefined)).mean).toEqual([1, 2, 3, null, 4]);
    expect(toColumns(rare, gapOf(rare, 5_000, 60_000)).mean).toEqual([1, 2, 3, null, 4]);
    const dense = [sample(0, 1), sample(60, 2), sample(120, 3), sample(240, 4)];
    expect(toColumns(dense, gapOf(dense, 5_000, 60_000)).mean).toEqual([1, 2, 3, null, 4]);
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

it('what matters by its peaks is drawn by them, and keeps its least value', () => {
  expect(byPeaks([{ time: 1, mean: 0.4, min: 0.1, max: 0.99, count: 5 }])).toEqual([{ time: 1, mean: 0.99, min: 0.1, max: 0.99, count: 5 }]);
});
