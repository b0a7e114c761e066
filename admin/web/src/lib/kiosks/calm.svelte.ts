import { untrack } from 'svelte';

/** Rows may change places at most this often. */
const PACE_MS = 3_000;
/** Somebody who moved the pointer or pressed a key in the list this recently is about to hit a row. */
const HANDS_OFF_MS = 4_000;

/**
 * An order that follows changing data calmly. New filters take effect at once; changes of the data
 * wait until nobody is using the list.
 */
export class CalmOrder {
  serials = $state.raw<string[]>([]);
  #view = '';
  #orderedAt = 0;
  #touchedAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Tells that the list is in use. */
  touch(): void {
    this.#touchedAt = Date.now();
  }

  /** Takes the order that the data would have now; view names what was asked for (filters, sort). */
  follow(view: string, order: () => string[]): void {
    clearTimeout(this.#timer);
    const apply = () => {
      this.#view = view;
      this.#orderedAt = Date.now();
      const next = order();
      const shown = untrack(() => this.serials);
      const same = next.length === shown.length && next.every((serial, i) => serial === shown[i]);
      if (!same) this.serials = next;
    };
    const attempt = () => {
      const waitMs = Math.max(this.#orderedAt + PACE_MS, this.#touchedAt + HANDS_OFF_MS) - Date.now();
      if (waitMs > 0) this.#timer = setTimeout(attempt, waitMs);
      else apply();
    };
    if (view === this.#view) attempt();
    else apply();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
