import * as calls from '$lib/api/calls';
import { ApiError } from '$lib/api/client';
import type { DeadLetter } from '$lib/api/types';
import { poll } from './poll';

const PAGE = 100;
const VISIBLE_MS = 10_000;
const HIDDEN_MS = 60_000;

/** The dead letters of one filter, newest first. What comes while they are looked at waits to be asked for. */
export class LetterList {
  items = $state.raw<DeadLetter[]>([]);
  loaded = $state(false);
  error = $state.raw<ApiError | undefined>(undefined);
  /** Letters that match, over all pages. */
  total = $state(0);
  reasons = $state.raw<Record<string, number>>({});
  /** Letters newer than those listed; a hundred means that many or more. */
  newer = $state(0);
  /** Present while older letters can be asked for. */
  older = $state.raw<string | undefined>(undefined);

  readonly #filter: calls.LetterFilter;
  readonly #abort = new AbortController();
  readonly #end: () => void;

  constructor(filter: calls.LetterFilter) {
    this.#filter = filter;
    this.#end = poll(() => this.#look(), VISIBLE_MS, HIDDEN_MS);
  }

  close(): void {
    this.#end();
    this.#abort.abort();
  }

  /** The newest letter that was listed: what acts on many acts up to this one. */
  get newest(): string | undefined {
    return this.items[0]?.id;
  }

  /** Lists again from the newest. */
  async reload(): Promise<void> {
    await this.#ask(async () => {
      const page = await this.#page();
      this.items = page.items;
      this.older = page.next_cursor;
      this.newer = 0;
      this.loaded = true;
    });
  }

  async loadOlder(): Promise<void> {
    const cursor = this.older;
    if (!cursor) return;
    await this.#ask(async () => {
      const page = await this.#page(cursor);
      this.items = [...this.items, ...page.items];
      this.older = page.next_cursor;
    });
  }

  /** Takes a letter out that is settled. */
  remove(id: string): void {
    const gone = this.items.find((letter) => letter.id === id);
    if (!gone) return;
    this.items = this.items.filter((letter) => letter !== gone);
    this.total = Math.max(0, this.total - 1);
    const left = (this.reasons[gone.reason] ?? 1) - 1;
    const { [gone.reason]: _gone, ...others } = this.reasons;
    this.reasons = left > 0 ? { ...others, [gone.reason]: left } : others;
  }

  /** Looks for newer letters without moving those that somebody reads. */
  async #look(): Promise<void> {
    if (!this.loaded || this.items.length === 0) return this.reload();
    await this.#ask(async () => {
      const page = await this.#page();
      const newest = BigInt(this.newest ?? 0);
      this.newer = page.items.filter((letter) => BigInt(letter.id) > newest).length;
    });
  }

  async #page(cursor?: string) {
    const page = await calls.listLetters(this.#filter, PAGE, cursor, this.#abort.signal);
    this.total = page.total;
    this.reasons = page.reasons;
    return page;
  }

  async #ask(f: () => Promise<void>): Promise<void> {
    try {
      await f();
      this.error = undefined;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.error = error;
    }
  }
}
