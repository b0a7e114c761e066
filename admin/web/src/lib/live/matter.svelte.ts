import { act, type Deed, getMatter, listAlerts, listMatterEvents, type MatterKind, type Matters } from '$lib/api/alerts';
import { ApiError } from '$lib/api/client';
import type { Alert, AlertEvent } from '$lib/api/types';
import { newer } from '$lib/alerts/inbox';
import { fleet } from './fleet.svelte';

/** A change comes with its entries of the timeline; several within this time ask for them once. */
const GATHER_MS = 300;
/** Alerts of an incident that are listed. */
const INSIDE = 200;

/** One alert or incident with its timeline, kept current by the live stream. */
export class Matter<K extends MatterKind> {
  item = $state.raw<Matters[K] | undefined>(undefined);
  error = $state.raw<ApiError | undefined>(undefined);
  events = $state.raw<AlertEvent[]>([]);
  eventsLoaded = $state(false);
  eventsError = $state.raw<ApiError | undefined>(undefined);
  olderEvents = $state.raw<string | undefined>(undefined);
  /** Of an incident. */
  alerts = $state.raw<Alert[]>([]);

  readonly kind: K;
  readonly id: string;
  readonly #abort = new AbortController();
  readonly #stops: (() => void)[];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(kind: K, id: string) {
    this.kind = kind;
    this.id = id;
    this.#stops = [
      fleet.onAlert((alert) => {
        if (kind === 'alerts' && alert.id === id) this.#changed(alert as Matters[K]);
        if (kind === 'incidents' && alert.incident_id === id) this.#takeAlert(alert);
      }),
      fleet.onIncident((incident) => {
        if (kind === 'incidents' && incident.id === id) this.#changed(incident as Matters[K]);
      }),
      fleet.onMissed(() => void this.load()),
    ];
    void this.load();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#abort.abort();
    for (const stop of this.#stops) stop();
  }

  async load(): Promise<void> {
    await Promise.all([this.#loadItem(), this.loadEvents(), this.#loadAlerts()]);
  }

  /** Lists the timeline anew, or its older part. */
  async loadEvents(cursor?: string): Promise<void> {
    try {
      const page = await listMatterEvents(this.kind, this.id, cursor, this.#abort.signal);
      this.events = cursor ? [...this.events, ...page.items] : page.items;
      this.olderEvents = page.next_cursor;
      this.eventsError = undefined;
    } catch (error) {
      this.eventsError = this.#failure(error);
    }
    this.eventsLoaded = true;
  }

  /** Does something to it. Throws ApiError. */
  async act(deed: Deed): Promise<void> {
    this.#changed(await act(this.kind, this.id, deed));
  }

  #changed(item: Matters[K]): void {
    this.item = newer(this.item, item);
    this.#eventsSoon();
  }

  #takeAlert(alert: Alert): void {
    const held = this.alerts.find((other) => other.id === alert.id);
    this.alerts = held ? this.alerts.map((other) => (other === held ? newer(held, alert) : other)) : [alert, ...this.alerts];
    this.#eventsSoon();
  }

  #eventsSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.loadEvents();
    }, GATHER_MS);
  }

  async #loadItem(): Promise<void> {
    try {
      this.item = newer(this.item, await getMatter(this.kind, this.id, this.#abort.signal));
      this.error = undefined;
    } catch (error) {
      this.error = this.#failure(error);
    }
  }

  async #loadAlerts(): Promise<void> {
    if (this.kind !== 'incidents') return;
    try {
      this.alerts = (await listAlerts({ incident: this.id, limit: INSIDE, sort: 'severity' }, this.#abort.signal)).items;
    } catch (error) {
      // The incident itself says how the server fails.
      this.#failure(error);
    }
  }

  #failure(error: unknown): ApiError | undefined {
    if (this.#abort.signal.aborted) return undefined;
    if (!(error instanceof ApiError)) throw error;
    return error;
  }
}
