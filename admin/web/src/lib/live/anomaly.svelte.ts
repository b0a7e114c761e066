import { listAlerts } from '$lib/api/alerts';
import { getAnomaly } from '$lib/api/anomalies';
import { ApiError } from '$lib/api/client';
import type { Alert, Anomaly } from '$lib/api/types';
import { alertOf, newer } from '$lib/anomaly/view';
import { clock } from './clock.svelte';
import { fleet } from './fleet.svelte';

/** The rule that makes alerts of anomalies. */
const RULE = 'anomaly';
const ALERTS = 20;

/** One anomaly with the alert that it became, kept current by the live stream. */
export class OneAnomaly {
  item = $state.raw<Anomaly | undefined>(undefined);
  alert = $state.raw<Alert | undefined>(undefined);
  error = $state.raw<ApiError | undefined>(undefined);

  readonly #id: string;
  readonly #abort = new AbortController();
  readonly #stops: (() => void)[];

  constructor(id: string) {
    this.#id = id;
    this.#stops = [
      fleet.onAnomaly((anomaly) => anomaly.id === id && this.item && this.take(anomaly)),
      fleet.onAlert((alert) => alert.serial === this.item?.serial && alert.rule === RULE && void this.#loadAlert()),
      fleet.onMissed(() => void this.load()),
    ];
    void this.load();
  }

  close(): void {
    this.#abort.abort();
    for (const stop of this.#stops) stop();
  }

  /** Takes what an event or an answer brings. */
  take(anomaly: Anomaly): void {
    this.item = newer(this.item, anomaly);
  }

  async load(): Promise<void> {
    try {
      this.take(await getAnomaly(this.#id, this.#abort.signal));
      this.error = undefined;
      await this.#loadAlert();
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.error = error;
    }
  }

  async #loadAlert(): Promise<void> {
    const { item } = this;
    if (!item) return;
    try {
      const { items } = await listAlerts({ serial: item.serial, rule: RULE, limit: ALERTS }, this.#abort.signal);
      this.alert = alertOf(items, item, clock.exact());
    } catch (error) {
      // The anomaly itself says how the server fails.
      if (!this.#abort.signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }
}
