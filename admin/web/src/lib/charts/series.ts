/** One point of a chart: a reading (min and max are the value) or a window of many. Time in Unix ms. */
export interface Sample {
  time: number;
  mean: number;
  min: number;
  max: number;
  /** Readings behind it, as far as known; needed to add a live reading to the newest window. */
  count: number;
}

interface Point {
  time: string;
  value: number;
}

export function fromRaw(points: Point[]): Sample[] {
  return points.map(({ time, value }) => ({ time: Date.parse(time), mean: value, min: value, max: value, count: 1 }));
}

/** Puts the answers for mean, min, max and count together by their windows' start; a missing one falls back to the mean, or to as many readings as usual. */
export function fromWindows(mean: Point[], min: Point[], max: Point[], count: Point[] | number): Sample[] {
  const byTime = (points: Point[]) => new Map(points.map((p) => [p.time, p.value]));
  const [lows, highs] = [byTime(min), byTime(max)];
  const counts = typeof count === 'number' ? undefined : byTime(count);
  return mean.map(({ time, value }) => ({
    time: Date.parse(time),
    mean: value,
    min: lows.get(time) ?? value,
    max: highs.get(time) ?? value,
    count: typeof count === 'number' ? count : (counts?.get(time) ?? 1),
  }));
}

/** The same with the greatest value as the line: of a metric that matters by its peaks, a mean would hide them. */
export const byPeaks = (samples: Sample[]): Sample[] => samples.map((sample) => ({ ...sample, mean: sample.max }));

/**
 * Adds a live reading: at the end, or with a window's start into that window. Out of order or repeated
 * readings change nothing, the next load brings them.
 */
export function addLive(samples: Sample[], time: number, value: number, windowStart: number | undefined): Sample[] {
  const start = windowStart ?? time;
  const last = samples.at(-1);
  if (!last || start > last.time) {
    return [...samples, { time: start, mean: value, min: value, max: value, count: 1 }];
  }
  if (windowStart === undefined || start < last.time) return samples;
  const count = last.count + 1;
  return [...samples.slice(0, -1), {
    time: start,
    mean: last.mean + (value - last.mean) / count,
    min: Math.min(last.min, value),
    max: Math.max(last.max, value),
    count,
  }];
}

/** Without what is older than a moment, apart from the one sample that leads the line into the picture. */
export function dropBefore(samples: Sample[], from: number): Sample[] {
  const first = firstAt(samples, from) - 1;
  return first > 0 ? samples.slice(first) : samples;
}

/** The index of the first sample at or after a moment; the number of samples when there is none. */
export function firstAt(samples: readonly { time: number }[], time: number): number {
  let [low, high] = [0, samples.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (samples[middle]!.time < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The sample nearest to a moment, unless it is farther away than withinMs: across a gap the nearest would mislead. */
export function nearest(samples: Sample[], time: number, withinMs: number): Sample | undefined {
  const after = firstAt(samples, time);
  const [left, right] = [samples[after - 1], samples[after]];
  const best = !left || (right && right.time - time < time - left.time) ? right : left;
  return best && Math.abs(best.time - time) <= withinMs ? best : undefined;
}

/** The next sample after a moment, or with -1 the last one before it. */
export function neighbour(samples: Sample[], time: number, by: 1 | -1): Sample | undefined {
  return by > 0 ? samples[firstAt(samples, time + 1)] : samples[firstAt(samples, time) - 1];
}

/** Several series as rows of one table for [from, to], newest first; a series without a sample of that time has undefined. */
export function rowsOf(series: Sample[][], { from, to }: { from: number; to: number }): { time: number; samples: (Sample | undefined)[] }[] {
  const rows = new Map<number, (Sample | undefined)[]>();
  series.forEach((samples, column) => {
    for (const sample of samples.slice(firstAt(samples, from), firstAt(samples, to + 1))) {
      let row = rows.get(sample.time);
      if (!row) rows.set(sample.time, (row = new Array<undefined>(series.length).fill(undefined)));
      row[column] = sample;
    }
  });
  return [...rows].map(([time, samples]) => ({ time, samples })).sort((a, b) => b.time - a.time);
}

/** Columns as uPlot takes them: time in seconds, and null where a gap must stay a gap. */
export interface Columns {
  time: number[];
  mean: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
}

export function toColumns(samples: Sample[], maxGapMs: number): Columns {
  const columns: Columns = { time: [], mean: [], min: [], max: [] };
  const put = (time: number, sample: Sample | undefined) => {
    columns.time.push(time / 1_000);
    columns.mean.push(sample?.mean ?? null);
    columns.min.push(sample?.min ?? null);
    columns.max.push(sample?.max ?? null);
  };
  samples.forEach((sample, i) => {
    const previous = samples[i - 1];
    if (previous && sample.time - previous.time > maxGapMs) put(previous.time + 1, undefined);
    put(sample.time, sample);
  });
  return columns;
}

/**
 * How long nothing may come before a line breaks: a lost reading or two is not a gap. A window that could
 * hold several readings and holds none is one.
 */
export function maxGap(intervalMs: number, stepMs: number | undefined): number {
  if (stepMs !== undefined && stepMs >= 3 * intervalMs) return stepMs * 1.5;
  return Math.max(intervalMs, stepMs ?? 0) * 2.5 + 1_000;
}

/** The same for samples at hand: a kiosk that reported more rarely then than its interval of today has no gaps between. */
export function gapOf(samples: Sample[], intervalMs: number, stepMs: number | undefined): number {
  if (samples.length < 3) return maxGap(intervalMs, stepMs);
  const distances = samples.slice(1).map((sample, i) => sample.time - samples[i]!.time).sort((a, b) => a - b);
  const usual = distances[distances.length >> 1]!;
  return maxGap(usual > (stepMs ?? 0) ? Math.max(usual, intervalMs) : intervalMs, stepMs);
}

/** How many breaks a line has. */
export function countGaps(samples: Sample[], maxGapMs: number): number {
  return samples.filter((sample, i) => i > 0 && sample.time - samples[i - 1]!.time > maxGapMs).length;
}

export interface Stats {
  last: number;
  min: number;
  max: number;
  mean: number;
}

/** Last, least, greatest and mean of the samples; windows weigh by their readings. */
export function stats(samples: Sample[]): Stats | undefined {
  const last = samples.at(-1);
  if (!last) return undefined;
  const result: Stats = { last: last.mean, min: last.min, max: last.max, mean: 0 };
  let sum = 0;
  let count = 0;
  for (const s of samples) {
    result.min = Math.min(result.min, s.min);
    result.max = Math.max(result.max, s.max);
    sum += s.mean * s.count;
    count += s.count;
  }
  result.mean = sum / count;
  return result;
}

/**
 * The value axis: the data with some air, widened to show a limit of normal operation once the data
 * come near it, so that a quiet line far from its limits is not pressed flat.
 */
export function valueRange(low: number, high: number, limits: { min?: number | undefined; max?: number | undefined }): [number, number] {
  const normal = limits.min !== undefined && limits.max !== undefined ? limits.max - limits.min : 0;
  // Noise of a tenth of the normal range must not fill the whole height.
  const least = normal > 0 ? normal / 10 : Math.max(Math.abs(high) * 0.02, 0.5);
  const spread = Math.max(high - low, least);
  const middle = (low + high) / 2;
  let [bottom, top] = [middle - spread / 2, middle + spread / 2];
  const near = Math.max(spread, normal * 0.35);
  if (limits.max !== undefined && limits.max - high <= near) top = Math.max(top, limits.max);
  if (limits.min !== undefined && low - limits.min <= near) bottom = Math.min(bottom, limits.min);
  const air = (top - bottom) * 0.08;
  return [bottom - air, top + air];
}
