import { listDeliveries, replayDelivery } from '$lib/api/alerts';
import { ApiError } from '$lib/api/client';
import type { DeliveryStatus, NotificationDelivery } from '$lib/api/types';
import { poll } from './poll';

const VISIBLE_MS = 15_000;
const HIDDEN_MS = 120_000;

/** Messages to targets, newest first. The first page is asked for again while nobody reads older ones. */
export class Deliveries {
  items = $state.raw<NotificationDelivery[]>([]);
  loaded = $state(false);
  error = $state.raw<ApiError | undefined>(undefined);
  older = $state.raw<string | undefined>(undefined);

  readonly #status: DeliveryStatus | undefined;
  readonly #abort = new AbortController();
  readonly #end: () => void;
  #paged = false;

  constructor(status: DeliveryStatus | undefined) {
    this.#status = status;
    this.#end = poll(() => (this.#paged ? Promise.resolve() : this.load()), VISIBLE_MS, HIDDEN_MS);
  }

  close(): void {
    this.#end();
    this.#abort.abort();
  }

  async load(cursor?: string): Promise<void> {
    try {
      const page = await listDeliveries({ status: this.#status, cursor }, this.#abort.signal);
      this.items = cursor ? [...this.items, ...page.items] : page.items;
      this.older = page.next_cursor;
      this.#paged = cursor !== undefined;
      this.loaded = true;
      this.error = undefined;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.error = error;
    }
  }

  /** Makes a delivery once more. Throws ApiError. */
  async replay(id: string): Promise<void> {
    const again = await replayDelivery(id);
    this.items = this.items.map((delivery) => (delivery.id === again.id ? again : delivery));
  }
}
