import { untrack } from 'svelte';
import type { ApiError } from '$lib/api/client';

/** A list of one view that loads as soon as it is made. */
interface Listed {
  readonly loaded: boolean;
  readonly error: ApiError | undefined;
  close(): void;
}

/** The list of the view that is wanted. What was shown last stays until the answer to another view is here. */
export class Followed<L extends Listed> {
  #wanted = $state.raw<L>();
  #before = $state.raw<L>();
  /** What to show; undefined before the first. */
  readonly list = $derived(this.#wanted && (this.#wanted.loaded || this.#wanted.error || !this.#before) ? this.#wanted : this.#before);
  /** It is of the view before: another one is on its way. */
  readonly stale = $derived(this.list !== this.#wanted);

  /**
   * To be called while a component is set up, and closed with it.
   *
   * @param view is read for what it depends on: another list is made whenever that changes.
   */
  constructor(view: () => unknown, make: () => L) {
    $effect(() => {
      view();
      const next = untrack(make);
      this.#before = untrack(() => (this.#wanted?.loaded ? this.#wanted : undefined));
      this.#wanted = next;
      return () => next.close();
    });
  }
}
