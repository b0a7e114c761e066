import { listMetrics } from '$lib/api/calls';
import { ApiError } from '$lib/api/client';
import type { Metric } from '$lib/api/types';

/** The server's catalogue of known metrics: units, ranges of normal operation, display order. */
class Catalogue {
  metrics = $state.raw<Metric[]>([]);
  #byName = $derived(new Map(this.metrics.map((metric) => [metric.name, metric])));

  /** The metric of that name; one that the catalogue does not know is a plain number. */
  get(name: string): Metric {
    return this.#byName.get(name) ?? { name, unit: '', kind: 'gauge', description: '' };
  }

  /** Loads it once for the life of the page; it changes only with the server's version. */
  async load(): Promise<void> {
    if (this.metrics.length > 0) return;
    try {
      this.metrics = (await listMetrics()).items.map(withoutFullScale);
    } catch (error) {
      // Values then show without unit and range, which is no reason to stop the page.
      if (!(error instanceof ApiError)) throw error;
    }
  }
}

export const catalogue = new Catalogue();

/** 0–100 % is all there can be, not a range of normal operation: it would draw limits that never say anything. */
function withoutFullScale(metric: Metric): Metric {
  if (metric.unit !== '%' || metric.min !== 0 || metric.max !== 100) return metric;
  const { min: _min, max: _max, ...rest } = metric;
  return rest;
}
