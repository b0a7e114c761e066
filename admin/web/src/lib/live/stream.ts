import { API_ROOT, noteServerTime, reportUnauthorized } from '$lib/api/client';
import { SseParser, type ServerEvent } from './sse';

/** The server sends at least a comment every 15 s; twice that long without a byte means a dead line. */
const SILENCE_MS = 30_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 15_000;

export interface StreamHandlers {
  opened(): void;
  event(event: ServerEvent): void;
  /** Bytes came: an event or only the heartbeat. */
  heard(): void;
  lost(): void;
}

/**
 * Holds a connection to the live events and makes a new one whenever it ends.
 *
 * It reads the stream with fetch and not with EventSource, because EventSource hides the heartbeat
 * comments (an idle fleet would look dead) and the status (a lost session would retry for ever).
 */
export class LiveStream {
  #handlers: StreamHandlers;
  #abort: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retryMs = FIRST_RETRY_MS;
  #running = false;

  constructor(handlers: StreamHandlers) {
    this.#handlers = handlers;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    addEventListener('online', this.#hurry);
    void this.#connect();
  }

  stop(): void {
    this.#running = false;
    removeEventListener('online', this.#hurry);
    clearTimeout(this.#timer);
    this.#abort?.abort();
  }

  #hurry = () => {
    this.#abort?.abort();
    clearTimeout(this.#timer);
    this.#retryMs = FIRST_RETRY_MS;
    void this.#connect();
  };

  async #connect(): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    try {
      await this.#read(abort);
    } catch {
      // Every way to fail is answered alike: wait and connect again.
    }
    if (!this.#running || this.#abort !== abort) return;
    this.#handlers.lost();
    // The jitter keeps a room full of pages from returning to a restarted server at once.
    this.#timer = setTimeout(() => void this.#connect(), this.#retryMs * (0.75 + Math.random() / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  async #read(abort: AbortController): Promise<void> {
    let watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
    try {
      const response = await fetch(`${API_ROOT}/events`, {
        headers: { Accept: 'text/event-stream' },
        credentials: 'same-origin',
        cache: 'no-store',
        signal: abort.signal,
      });
      noteServerTime(response);
      if (response.status === 401) {
        this.stop();
        reportUnauthorized();
        return;
      }
      if (!response.ok || !response.body) return;
      this.#retryMs = FIRST_RETRY_MS;
      this.#handlers.opened();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new SseParser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
        this.#handlers.heard();
        for (const event of parser.push(value)) this.#handlers.event(event);
      }
    } finally {
      clearTimeout(watchdog);
    }
  }
}
