import { listAnomalies } from '$lib/api/anomalies';
import { ApiError } from '$lib/api/client';
import type { Anomaly } from '$lib/api/types';
import { anomalyQuery, type AnomalyView, inOrder, matches, newer } from '$lib/anomaly/view';
import { clock } from './clock.svelte';
import { fleet } from './fleet.svelte';

/** Of the open ones; there are few, because the budget is. */
const OPEN = 500;
const PAGE = 50;

/** The anomalies of one view: all that are open, and those that are over page by page; kept current by the live stream. */
export class Anomalies {
  loaded = $state(false);
  loadingMore = $state(false);
  error = $state.raw<ApiError | undefined>(undefined);
  /** Where the next page begins; undefined after the last. */
  next = $state.raw<string | undefined>(undefined);

  #held = $state.raw(new Map<string, Anomaly>());
  readonly #view: AnomalyView;
  readonly #stops: (() => void)[];
  #load = new AbortController();

  constructor(view: AnomalyView) {
    this.#view = view;
    this.#stops = [fleet.onAnomaly((anomaly) => this.take(anomaly)), fleet.onMissed(() => void this.reload())];
    void this.reload();
  }

  /** Those to show: the open ones first, then the newest. */
  items = $derived.by(() => [...this.#held.values()].filter((anomaly) => matches(anomaly, this.#view, clock.exact())).sort(inOrder));

  close(): void {
    for (const stop of this.#stops) stop();
    this.#load.abort();
  }

  /** Takes what an event or an answer brings. */
  take(anomaly: Anomaly): void {
    this.#put([anomaly]);
  }

  async reload(): Promise<void> {
    this.#load.abort();
    const { signal } = (this.#load = new AbortController());
    await this.#ask(signal, async () => {
      const nothing = { items: [], next_cursor: undefined };
      const { state } = this.#view;
      const [open, closed] = await Promise.all([
        state === 'closed' ? nothing : listAnomalies({ ...anomalyQuery(this.#view, true), limit: OPEN }, signal),
        state === 'open' ? nothing : listAnomalies({ ...anomalyQuery(this.#view, false), limit: PAGE }, signal),
      ]);
      this.#held = new Map();
      this.#put([...open.items, ...closed.items]);
      this.next = closed.next_cursor;
      this.loaded = true;
    });
  }

  async loadMore(): Promise<void> {
    if (this.loadingMore || !this.next) return;
    const { signal } = this.#load;
    this.loadingMore = true;
    await this.#ask(signal, async () => {
      const page = await listAnomalies({ ...anomalyQuery(this.#view, false), limit: PAGE, cursor: this.next }, signal);
      this.#put(page.items);
      this.next = page.next_cursor;
    });
    this.loadingMore = false;
  }

  #put(anomalies: Anomaly[]): void {
    const held = new Map(this.#held);
    for (const anomaly of anomalies) held.set(anomaly.id, newer(held.get(anomaly.id), anomaly));
    this.#held = held;
  }

  async #ask(signal: AbortSignal, f: () => Promise<void>): Promise<void> {
    try {
      await f();
      this.error = undefined;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.error = error;
    }
  }
}
