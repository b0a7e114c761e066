import { ApiError } from '$lib/api/client';

/** One answer of the server: not there yet, there, or why not. What was there stays while it is asked for anew. */
export class Loaded<T> {
  value = $state.raw<T | undefined>(undefined);
  error = $state.raw<ApiError | undefined>(undefined);
  readonly #ask: (signal: AbortSignal) => Promise<T>;
  #abort: AbortController | undefined;

  constructor(ask: (signal: AbortSignal) => Promise<T>) {
    this.#ask = ask;
    void this.load();
  }

  close(): void {
    this.#abort?.abort();
  }

  load = async (): Promise<void> => {
    this.#abort?.abort();
    const { signal } = (this.#abort = new AbortController());
    try {
      const value = await this.#ask(signal);
      if (signal.aborted) return;
      this.value = value;
      this.error = undefined;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.error = error;
    }
  };
}
