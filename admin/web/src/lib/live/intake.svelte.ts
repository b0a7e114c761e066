import { getIntake } from '$lib/api/calls';
import { ApiError } from '$lib/api/client';
import type { Intake } from '$lib/api/types';
import { poll } from './poll';

const VISIBLE_MS = 5_000;
const HIDDEN_MS = 10_000;

/** How the journal and its consumers do, asked for while somebody is logged in. */
class IntakeWatch {
  /** As it was last told; undefined before the first answer. */
  now = $state.raw<Intake | undefined>(undefined);
  #stop: (() => void) | undefined;

  start(): void {
    this.stop();
    const abort = new AbortController();
    const end = poll(() => this.#ask(abort.signal), VISIBLE_MS, HIDDEN_MS);
    this.#stop = () => {
      abort.abort();
      end();
    };
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.now = undefined;
  }

  async #ask(signal: AbortSignal): Promise<void> {
    try {
      this.now = await getIntake(signal);
    } catch (error) {
      // That the server does not answer is what the live indicator says; the last word stands until it does.
      if (!signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }
}

export const intake = new IntakeWatch();
