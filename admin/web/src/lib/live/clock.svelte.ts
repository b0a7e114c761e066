import { setHooks } from '$lib/api/client';

/** The Date header has whole seconds; smaller differences are noise. */
const TRUST_MS = 2_000;

/**
 * The server's time, as well as the page knows it. Ages such as "14 min" compare the server's
 * timestamps with this, because an operator's computer may be minutes off.
 */
class Clock {
  /** Unix milliseconds, moving once a second; reading it in a component makes the component tick. */
  now = $state(Date.now());
  #offsetMs = 0;

  constructor() {
    setHooks({ serverTime: (at) => this.#sync(at) });
    setInterval(() => (this.now = this.exact()), 1_000);
  }

  /** The same time, to the millisecond, without making anything tick. */
  exact(): number {
    return Date.now() + this.#offsetMs;
  }

  #sync(serverTime: number): void {
    const offset = serverTime - Date.now();
    this.#offsetMs = Math.abs(offset) < TRUST_MS ? 0 : offset;
  }
}

export const clock = new Clock();
