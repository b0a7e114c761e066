import { getTelemetry } from '$lib/api/calls';
import type { Aggregate } from '$lib/api/types';
import { fromRaw, fromWindows, type Sample } from './series';
import type { Step } from './window';

/**
 * Loads a metric in [from, to): raw, or as windows with their least, mean and greatest value. Where
 * only the line matters, meanOnly spares two of three questions.
 */
export async function loadSamples(
  serial: string,
  metric: string,
  from: number,
  to: number,
  step: Step | undefined,
  intervalMs: number,
  signal: AbortSignal,
  meanOnly = false,
): Promise<Sample[]> {
  const range = { metric, from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  if (!step) return fromRaw((await getTelemetry(serial, range, signal)).points);
  const ask = async (agg: Aggregate) =>
    (await getTelemetry(serial, { ...range, step: step.text, agg }, signal)).points;
  const count = Math.max(1, Math.round(step.ms / intervalMs));
  if (meanOnly) return fromWindows(await ask('mean'), [], [], count);
  const [mean, min, max] = await Promise.all([ask('mean'), ask('min'), ask('max')]);
  return fromWindows(mean, min, max, count);
}
