import { summariseAlerts } from '$lib/api/alerts';
import { ApiError } from '$lib/api/client';
import type { Alert, AlertSummary } from '$lib/api/types';
import { fleet } from './fleet.svelte';
import { poll } from './poll';

const VISIBLE_MS = 60_000;
const HIDDEN_MS = 120_000;
/** A storm of alerts asks once for all of them. */
const GATHER_MS = 500;

/** How many alerts stand open, asked for anew whenever one changes. */
class Bell {
  /** As it was last told; undefined before the first answer. */
  now = $state.raw<AlertSummary | undefined>(undefined);
  #stop: (() => void) | undefined;

  start(): void {
    this.stop();
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const soon = (_changed?: Alert) => {
      timer ??= setTimeout(() => {
        timer = undefined;
        void this.#ask(abort.signal);
      }, GATHER_MS);
    };
    const stops = [fleet.onAlert(soon), fleet.onMissed(soon), poll(() => this.#ask(abort.signal), VISIBLE_MS, HIDDEN_MS)];
    this.#stop = () => {
      abort.abort();
      clearTimeout(timer);
      for (const stop of stops) stop();
    };
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.now = undefined;
  }

  async #ask(signal: AbortSignal): Promise<void> {
    try {
      this.now = await summariseAlerts(signal);
    } catch (error) {
      // The last word stands until the server answers; the live indicator says that it does not.
      if (!signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }
}

export const bell = new Bell();
