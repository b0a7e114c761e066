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

/** Puts the answers for mean, min and max together by their windows' start. */
export function fromWindows(mean: Point[], min: Point[], max: Point[], count: number): Sample[] {
  const lows = new Map(min.map((p) => [p.time, p.value]));
  const highs = new Map(max.map((p) => [p.time, p.value]));
  return mean.map(({ time, value }) => ({
    time: Date.parse(time),
    mean: value,
    min: lows.get(time) ?? value,
    max: highs.get(time) ?? value,
    count,
  }));
}

/**
 * Adds a live reading: at the end, or with stepMs into the window it belongs to. Out of order or
 * repeated readings change nothing, the next load brings them.
 */
export function addLive(samples: Sample[], time: number, value: number, stepMs: number | undefined): Sample[] {
  const start = stepMs ? Math.floor(time / stepMs) * stepMs : time;
  const last = samples.at(-1);
  if (!last || start > last.time) {
    return [...samples, { time: start, mean: value, min: value, max: value, count: 1 }];
  }
  if (!stepMs || start < last.time) return samples;
  const count = last.count + 1;
  return [...samples.slice(0, -1), {
    time: start,
    mean: last.mean + (value - last.mean) / count,
    min: Math.min(last.min, value),
    max: Math.max(last.max, value),
    count,
  }];
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

/** How long nothing may come before a line breaks: a lost reading or two is not a gap. */
export function maxGap(intervalMs: number, stepMs: number | undefined): number {
  return Math.max(intervalMs, stepMs ?? 0) * 2.5 + 1_000;
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
