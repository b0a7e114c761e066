import type { Metric, Reading } from '$lib/api/types';
import { GROUPS, type MetricGroup, metricsOf, splitName } from './metrics';

/** More charts than this are not compared any more, only scrolled past. */
export const MAX_CHARTS = 6;
/** Where this browser keeps the last choice. */
export const CHART_KEY = 'kioskfleet.chart';

/** What somebody chose for the charts of a kiosk. */
export interface Choice {
  metrics: string[];
  /** Times as the clocks where the kiosk stands, instead of where the viewer sits. */
  kioskZone: boolean;
}

/** What a kiosk shows whose metrics nobody has chosen. */
export const USUAL_METRIC = 'hardware.cpu_temp';

/** A name that the server may know; others come from addresses with typing errors. */
const isName = (name: string) => /^[A-Za-z_]\w*\.[A-Za-z_]\w*$/.test(name);

/** The names in a list such as `a.b,c.d`: each once, as many as there may be charts. */
export function parseMetrics(text: string | null): string[] {
  return [...new Set((text ?? '').split(',').map((name) => name.trim()).filter(isName))].slice(0, MAX_CHARTS);
}

/** The last choice as it was kept; undefined where there is none or it is damaged. */
export function parseChoice(text: string | null): Choice | undefined {
  try {
    const kept = JSON.parse(text ?? '') as Record<string, unknown>;
    return {
      metrics: Array.isArray(kept.metrics) ? parseMetrics(kept.metrics.join(',')) : [],
      kioskZone: kept.kioskZone === true,
    };
  } catch {
    return undefined;
  }
}

/** The metrics to show: those of the address, else the last choice as far as this kiosk has it, else the usual one. */
export function chosenMetrics(params: URLSearchParams, last: Choice | undefined, available: string[]): string[] {
  const asked = parseMetrics(params.get('metric'));
  if (asked.length > 0) return asked;
  const kept = last?.metrics.filter((name) => available.includes(name)) ?? [];
  return kept.length > 0 ? kept : [USUAL_METRIC];
}

/** Puts a metric in or takes it out. The last one stays, and of too many the first goes. */
export function toggled(metrics: string[], name: string): string[] {
  if (!metrics.includes(name)) return [...metrics, name].slice(-MAX_CHARTS);
  return metrics.length === 1 ? metrics : metrics.filter((other) => other !== name);
}

/** What a tile of a metric does: of one chart it changes the metric, to several it adds or takes away. */
export function tapped(metrics: string[], name: string): string[] {
  return metrics.length === 1 ? [name] : toggled(metrics, name);
}

export interface Offer {
  metric: Metric;
  /** The newest reading has it; otherwise only history may. */
  current: boolean;
}

/**
 * Every numeric metric on offer for a kiosk, by group in display order: those of its newest reading, unknown
 * sensors too; then what the catalogue knows beyond and what is shown, because history may hold what is no longer sent.
 */
export function offers(reading: Reading | undefined, catalogue: Metric[], shown: string[]): { group: MetricGroup; offers: Offer[] }[] {
  const gauges = (metrics: Metric[]) => metrics.filter((metric) => metric.kind === 'gauge');
  const present = gauges(metricsOf(reading, catalogue));
  const all = new Map(present.map((metric) => [metric.name, { metric, current: true }]));
  const others = [...gauges(catalogue), ...shown.map((name): Metric => ({ name, unit: '', kind: 'gauge', description: '' }))];
  for (const metric of others) if (!all.has(metric.name)) all.set(metric.name, { metric, current: false });
  return GROUPS.map((group) => ({
    group, offers: [...all.values()].filter(({ metric }) => splitName(metric.name).group === group),
  })).filter((entry) => entry.offers.length > 0);
}
