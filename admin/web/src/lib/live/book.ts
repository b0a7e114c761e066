import type { Kiosk, Reading } from '$lib/api/types';

/**
 * The kiosks as far as the page knows them, put together from list pages and live events that
 * arrive in any order.
 *
 * A kiosk with a lower revision than the one held is older and ignored. Revisions are compared
 * only within one load: after a reconnect the fresh list counts, so that a server that came back
 * with an older memory is believed.
 */
export class KioskBook {
  #kiosks = new Map<string, Kiosk>();
  /** Serials that this load has seen, in a list page or an event. */
  #seen = new Set<string>();
  /** Serials removed during this load; a page fetched before the removal must not bring them back. */
  #removed = new Set<string>();

  get size(): number {
    return this.#kiosks.size;
  }

  get(serial: string): Kiosk | undefined {
    return this.#kiosks.get(serial);
  }

  all(): Kiosk[] {
    return [...this.#kiosks.values()];
  }

  /** Starts a load: call it when the live connection is open and before the first page is asked for. */
  beginLoad(): void {
    this.#seen.clear();
    this.#removed.clear();
  }

  /** Takes the kiosks of one list page. */
  takePage(kiosks: Kiosk[]): void {
    for (const kiosk of kiosks) {
      if (!this.#removed.has(kiosk.serial)) this.#take(kiosk);
    }
  }

  /** Ends a load: kiosks that neither a page nor an event mentioned are gone. */
  endLoad(): void {
    for (const serial of this.#kiosks.keys()) {
      if (!this.#seen.has(serial)) this.#kiosks.delete(serial);
    }
  }

  /** Takes a kiosk from an event or a single answer. */
  take(kiosk: Kiosk): void {
    this.#removed.delete(kiosk.serial);
    this.#take(kiosk);
  }

  /** Takes the newest reading of a kiosk; one of an unknown kiosk is dropped, its list page will come. */
  takeReading(serial: string, reading: Reading): void {
    const held = this.#kiosks.get(serial);
    if (!held || !isNewer(reading, held.last_reading)) return;
    const next: Kiosk = { ...held, last_reading: reading };
    if (reading.received_at) next.last_seen = reading.received_at;
    this.#kiosks.set(serial, next);
  }

  remove(serial: string): void {
    this.#kiosks.delete(serial);
    this.#removed.add(serial);
  }

  #take(kiosk: Kiosk): void {
    const held = this.#kiosks.get(kiosk.serial);
    const sameLoad = this.#seen.has(kiosk.serial);
    this.#seen.add(kiosk.serial);
    if (held && sameLoad && held.revision > kiosk.revision) return;
    // Readings travel beside kiosks, so an otherwise newer kiosk may carry an older reading.
    if (held?.last_reading && isNewer(held.last_reading, kiosk.last_reading)) {
      const next: Kiosk = { ...kiosk, last_reading: held.last_reading };
      if (held.last_seen) next.last_seen = held.last_seen;
      this.#kiosks.set(kiosk.serial, next);
      return;
    }
    this.#kiosks.set(kiosk.serial, kiosk);
  }
}

/** Device time orders the readings of one kiosk. */
function isNewer(a: Reading, b: Reading | undefined): boolean {
  return !b || Date.parse(a.timestamp) > Date.parse(b.timestamp);
}
