import { listAlerts, listIncidents, type MatterKind } from '$lib/api/alerts';
import { ApiError } from '$lib/api/client';
import type { Alert, Incident } from '$lib/api/types';
import { alertQuery, type Entry, entryKey, type InboxView, lines, newer, nextLists } from '$lib/alerts/inbox';
import { fleet } from './fleet.svelte';

const PAGE = 100;
/** Incidents are few; all that are open come at once. */
const INCIDENTS = 1_000;

interface Progress {
  end: Entry | undefined;
  cursor: string | undefined;
}

/** The alerts and incidents of one view, kept current by the live stream. */
export class Inbox {
  /** Grows with every change; what reads entries depends on it. */
  version = $state(0);
  loaded = $state(false);
  loadingMore = $state(false);
  error = $state.raw<ApiError | undefined>(undefined);

  readonly #view: InboxView;
  #entries = new Map<string, Entry>();
  #progress: Record<MatterKind, Progress> = { alerts: { end: undefined, cursor: undefined }, incidents: { end: undefined, cursor: undefined } };
  #load = new AbortController();
  readonly #stops: (() => void)[];

  constructor(view: InboxView) {
    this.#view = view;
    this.#stops = [
      fleet.onAlert((item) => this.take({ kind: 'alerts', item })),
      fleet.onIncident((item) => this.take({ kind: 'incidents', item })),
      fleet.onMissed(() => void this.reload()),
    ];
    void this.reload();
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#load.abort();
  }

  get(key: string): Entry | undefined {
    void this.version;
    return this.#entries.get(key);
  }

  /** The keys of what is to be shown, in order. */
  keys(): string[] {
    void this.version;
    return lines(this.#entries.values(), this.#view, this.#reach).map(entryKey);
  }

  get more(): boolean {
    void this.version;
    return nextLists(this.#view, this.#reach).length > 0;
  }

  /** Takes what an event or an answer brings. */
  take(entry: Entry): void {
    this.#take(entry);
    this.version++;
  }

  async reload(): Promise<void> {
    this.#load.abort();
    const load = (this.#load = new AbortController());
    await this.#ask(load.signal, async () => {
      const [alerts, incidents] = await Promise.all([this.#alerts(undefined, load.signal), this.#incidents(undefined, load.signal)]);
      this.#entries = new Map();
      this.#page('alerts', alerts.items, alerts.next_cursor);
      this.#page('incidents', incidents.items, incidents.next_cursor);
      this.loaded = true;
    });
  }

  async loadMore(): Promise<void> {
    if (this.loadingMore) return;
    const { signal } = this.#load;
    this.loadingMore = true;
    await this.#ask(signal, async () => {
      for (const kind of nextLists(this.#view, this.#reach)) {
        const { cursor } = this.#progress[kind];
        const page = await (kind === 'alerts' ? this.#alerts(cursor, signal) : this.#incidents(cursor, signal));
        this.#page(kind, page.items, page.next_cursor);
      }
    });
    this.loadingMore = false;
  }

  get #reach() {
    return { alerts: this.#progress.alerts.end, incidents: this.#progress.incidents.end };
  }

  #alerts(cursor: string | undefined, signal: AbortSignal) {
    return listAlerts({ ...alertQuery(this.#view), limit: PAGE, cursor }, signal);
  }

  #incidents(cursor: string | undefined, signal: AbortSignal) {
    const { state, site } = this.#view;
    return listIncidents({ state: state === 'open' ? 'open' : undefined, site, limit: state === 'open' ? INCIDENTS : PAGE, cursor }, signal);
  }

  #page(kind: MatterKind, items: (Alert | Incident)[], cursor: string | undefined): void {
    const entries = items.map((item) => ({ kind, item }) as Entry);
    for (const entry of entries) this.#take(entry);
    // Open incidents come newest first and all at once, so their end says nothing about the worst.
    const bounded = kind === 'alerts' || this.#view.state === 'all';
    this.#progress[kind] = { cursor, end: cursor && bounded ? entries.at(-1) : undefined };
    this.version++;
  }

  #take(entry: Entry): void {
    const key = entryKey(entry);
    const item = newer(this.#entries.get(key)?.item, entry.item);
    this.#entries.set(key, { kind: entry.kind, item } as Entry);
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
