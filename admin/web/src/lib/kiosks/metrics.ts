import type { Metric, Reading } from '$lib/api/types';

/** The groups of a reading, in display order. */
export const GROUPS = ['environmental', 'hardware', 'network', 'custom', 'peripherals', 'location'] as const;
export type MetricGroup = (typeof GROUPS)[number];

const isGroup = (name: string): name is MetricGroup => (GROUPS as readonly string[]).includes(name);

/** Splits group.field; a name of an unknown shape belongs to the custom group. */
export function splitName(metric: string): { group: MetricGroup; field: string } {
  const dot = metric.indexOf('.');
  const group = metric.slice(0, dot);
  return isGroup(group) ? { group, field: metric.slice(dot + 1) } : { group: 'custom', field: metric };
}

/** The numeric value of a metric in a reading; booleans count as 0 and 1, as they are stored. */
export function numberAt(reading: Reading | undefined, metric: string): number | undefined {
  const value = rawAt(reading, metric);
  if (typeof value === 'number') return value;
  return typeof value === 'boolean' ? Number(value) : undefined;
}

/** The text of a metric in a reading, such as a peripheral's state. */
export function textAt(reading: Reading | undefined, metric: string): string | undefined {
  const value = rawAt(reading, metric);
  return typeof value === 'string' ? value : undefined;
}

function rawAt(reading: Reading | undefined, metric: string): unknown {
  const { group, field } = splitName(metric);
  return reading?.[group]?.[field];
}

/**
 * The metrics to show for a kiosk: the catalogue's first, in its order, then what its reading holds
 * beyond that, because real kiosks have sensors that nobody listed.
 */
export function metricsOf(reading: Reading | undefined, catalogue: Metric[]): Metric[] {
  if (!reading) return [];
  const known = new Set(catalogue.map((metric) => metric.name));
  const present = catalogue.filter((metric) => rawAt(reading, metric.name) !== undefined);
  for (const group of GROUPS) {
    for (const [field, value] of Object.entries(reading[group] ?? {})) {
      const name = `${group}.${field}`;
      if (known.has(name)) continue;
      const kind = typeof value === 'string' ? 'state' : 'gauge';
      present.push({ name, unit: '', kind, description: '' });
    }
  }
  return present;
}

/** Where a value lies against the range of normal operation. */
export function rangeOf(value: number, metric: Metric): 'low' | 'high' | 'normal' {
  if (metric.min !== undefined && value < metric.min) return 'low';
  if (metric.max !== undefined && value > metric.max) return 'high';
  return 'normal';
}

/** A field name that no catalogue translates, as words: `paper_level` becomes "Paper level". */
export function humanise(name: string): string {
  const words = name.replaceAll('_', ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** How bad a peripheral's state is: what it is called decides, an unknown word is neutral. */
export function stateTone(state: string): 'ok' | 'warn' | 'bad' | 'unknown' {
  if (['ready', 'online', 'ok', 'can_serve'].includes(state)) return 'ok';
  if (['low_ink', 'full', 'degraded', 'maintenance', 'updating', 'restarting', 'stale'].includes(state)) return 'warn';
  if (['paper_jam', 'error', 'offline', 'blocked', 'cannot_serve'].includes(state)) return 'bad';
  return 'unknown';
}
