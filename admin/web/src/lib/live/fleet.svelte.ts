import { listKiosks } from '$lib/api/calls';
import { ApiError } from '$lib/api/client';
import type { Alert, Anomaly, Command, Incident, Kiosk, LiveReading, Reading } from '$lib/api/types';
import { KioskBook } from './book';
import { clock } from './clock.svelte';
import type { ServerEvent } from './sse';
import { LiveStream } from './stream';

/** Events are shown in batches: thousands of kiosks must not redraw the page thousands of times a second. */
const BATCH_MS = 200;

export type Connection = 'connecting' | 'live' | 'stale';

type Listener<T> = (item: T) => void;
type KioskListener = (before: Kiosk | undefined, after: Kiosk) => void;

/** The kiosks of the whole fleet, loaded once and kept current by the live stream. */
class Fleet {
  /** Grows with every batch of changes; what reads kiosks depends on it. */
  version = $state(0);
  /** The first load is complete, so an empty fleet is really empty. */
  loaded = $state(false);
  /** How many kiosks the server says there are, while they are still coming. */
  total = $state(0);
  error = $state.raw<ApiError | undefined>(undefined);
  connection = $state<Connection>('connecting');
  /** When the stream fell silent, in Unix milliseconds. */
  staleSince = $state(0);
  /** When bytes last came, in Unix milliseconds. Not reactive: the live indicator looks at its own pace. */
  heardAt = 0;

  #book = new KioskBook();
  #stream: LiveStream | undefined;
  #pending: ServerEvent[] = [];
  #batchTimer: ReturnType<typeof setTimeout> | undefined;
  #load: AbortController | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #kioskListeners = new Set<KioskListener>();
  #commandListeners = new Set<Listener<Command>>();
  #alertListeners = new Set<Listener<Alert>>();
  #incidentListeners = new Set<Listener<Incident>>();
  #anomalyListeners = new Set<Listener<Anomaly>>();
  #missedListeners = new Set<() => void>();
  #readingListeners = new Map<string, Set<Listener<Reading>>>();

  get(serial: string): Kiosk | undefined {
    void this.version;
    return this.#book.get(serial);
  }

  all(): Kiosk[] {
    void this.version;
    return this.#book.all();
  }

  get size(): number {
    void this.version;
    return this.#book.size;
  }

  /** Calls back for every live change of a kiosk, until the returned function is called. */
  onKiosk(listener: KioskListener): () => void {
    this.#kioskListeners.add(listener);
    return () => this.#kioskListeners.delete(listener);
  }

  /** Calls back for every command that reaches a rung, until the returned function is called. */
  onCommand(listener: Listener<Command>): () => void {
    this.#commandListeners.add(listener);
    return () => this.#commandListeners.delete(listener);
  }

  /** Calls back for every change of an alert, until the returned function is called. */
  onAlert(listener: Listener<Alert>): () => void {
    this.#alertListeners.add(listener);
    return () => this.#alertListeners.delete(listener);
  }

  /** Calls back for every change of an incident, until the returned function is called. */
  onIncident(listener: Listener<Incident>): () => void {
    this.#incidentListeners.add(listener);
    return () => this.#incidentListeners.delete(listener);
  }

  /** Calls back for every change of an anomaly, which comes without bands, until the returned function is called. */
  onAnomaly(listener: Listener<Anomaly>): () => void {
    this.#anomalyListeners.add(listener);
    return () => this.#anomalyListeners.delete(listener);
  }

  /** Calls back when events may have been missed, so that lists must be asked for again. */
  onMissed(listener: () => void): () => void {
    this.#missedListeners.add(listener);
    return () => this.#missedListeners.delete(listener);
  }

  /** Calls back for every live reading of a kiosk, until the returned function is called. */
  onReading(serial: string, listener: Listener<Reading>): () => void {
    const set = this.#readingListeners.get(serial) ?? new Set();
    this.#readingListeners.set(serial, set.add(listener));
    return () => {
      set.delete(listener);
      if (set.size === 0) this.#readingListeners.delete(serial);
    };
  }

  /** Connects, then loads: what changes while the list is on its way arrives as an event. */
  start(): void {
    this.#stream ??= new LiveStream({
      opened: () => {
        this.connection = 'live';
        this.heardAt = clock.exact();
        void this.reload();
        for (const listener of this.#missedListeners) listener();
      },
      heard: () => (this.heardAt = clock.exact()),
      event: (event) => this.#enqueue(event),
      lost: () => {
        if (this.connection === 'stale') return;
        this.connection = 'stale';
        this.staleSince = this.heardAt || clock.exact();
      },
    });
    this.#stream.start();
  }

  /** Disconnects and forgets everything; the next user may not see it. */
  stop(): void {
    this.#stream?.stop();
    this.#stream = undefined;
    this.#load?.abort();
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    this.#pending = [];
    this.#book = new KioskBook();
    this.connection = 'connecting';
    this.loaded = false;
    this.error = undefined;
    this.heardAt = 0;
    this.version++;
  }

  /** Puts in a kiosk that a page fetched on its own, before the list brings it. */
  take(kiosk: Kiosk): void {
    this.#book.take(kiosk);
    this.version++;
  }

  async reload(): Promise<void> {
    this.#load?.abort();
    clearTimeout(this.#retryTimer);
    const load = new AbortController();
    this.#load = load;
    this.#book.beginLoad();
    try {
      let cursor: string | undefined;
      do {
        const page = await listKiosks(cursor, load.signal);
        if (load.signal.aborted) return;
        this.#book.takePage(page.items);
        this.total = page.total;
        this.version++;
        cursor = page.next_cursor;
      } while (cursor);
      this.#book.endLoad();
      this.error = undefined;
      this.loaded = true;
      this.version++;
    } catch (error) {
      if (load.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.error = error;
      const waitMs = (error.retryAfterSeconds ?? 5) * 1_000;
      if (error.status !== 401) this.#retryTimer = setTimeout(() => void this.reload(), waitMs);
    }
  }

  #enqueue(event: ServerEvent): void {
    this.#pending.push(event);
    this.#batchTimer ??= setTimeout(() => this.#flush(), BATCH_MS);
  }

  #flush(): void {
    this.#batchTimer = undefined;
    const events = this.#pending;
    this.#pending = [];
    for (const event of events) this.#apply(event);
    this.version++;
  }

  #apply(event: ServerEvent): void {
    switch (event.name) {
      case 'kiosk': {
        const kiosk = JSON.parse(event.data) as Kiosk;
        const before = this.#book.get(kiosk.serial);
        this.#book.take(kiosk);
        for (const listener of this.#kioskListeners) listener(before, kiosk);
        break;
      }
      case 'reading': {
        const { serial, reading } = JSON.parse(event.data) as LiveReading;
        this.#book.takeReading(serial, reading);
        for (const listener of this.#readingListeners.get(serial) ?? []) listener(reading);
        break;
      }
      case 'command': {
        const command = JSON.parse(event.data) as Command;
        for (const listener of this.#commandListeners) listener(command);
        break;
      }
      case 'removed':
        this.#book.remove((JSON.parse(event.data) as { serial: string }).serial);
        break;
      case 'alert': {
        const alert = JSON.parse(event.data) as Alert;
        for (const listener of this.#alertListeners) listener(alert);
        break;
      }
      case 'incident': {
        const incident = JSON.parse(event.data) as Incident;
        for (const listener of this.#incidentListeners) listener(incident);
        break;
      }
      case 'anomaly': {
        const anomaly = JSON.parse(event.data) as Anomaly;
        for (const listener of this.#anomalyListeners) listener(anomaly);
        break;
      }
      case 'resync':
        void this.reload();
        for (const listener of this.#missedListeners) listener();
        break;
    }
  }
}

export const fleet = new Fleet();
