import { ApiError } from '$lib/api/client';
import { poll } from './poll';

interface Pace {
  visible: number;
  hidden: number;
}

/** One fact that the server is asked for again and again while somebody is logged in. */
export class Asked<T> {
  /** As it was last told; undefined before the first answer. */
  now = $state.raw<T | undefined>(undefined);
  readonly #answer: (signal: AbortSignal) => Promise<T>;
  readonly #pace: Pace;
  readonly #follow: ((ask: () => void) => () => void) | undefined;
  #stop: (() => void) | undefined;

  /** The pace is in milliseconds; follow asks besides when something happens, until what it returns is called. */
  constructor(answer: (signal: AbortSignal) => Promise<T>, pace: Pace, follow?: (ask: () => void) => () => void) {
    this.#answer = answer;
    this.#pace = pace;
    this.#follow = follow;
  }

  start(): void {
    this.stop();
    const abort = new AbortController();
    const ask = () => this.#ask(abort.signal);
    const unfollow = this.#follow?.(() => void ask());
    const end = poll(ask, this.#pace.visible, this.#pace.hidden);
    this.#stop = () => {
      abort.abort();
      unfollow?.();
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
      const now = await this.#answer(signal);
      if (!signal.aborted) this.now = now;
    } catch (error) {
      // That the server does not answer is what the live indicator says; the last word stands until it does.
      if (!signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }
}
