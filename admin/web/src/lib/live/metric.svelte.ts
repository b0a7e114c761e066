import { ApiError } from '$lib/api/client';
import { type Loaded, loadSamples } from '$lib/charts/fetch';
import { addLive, dropBefore, type Sample } from '$lib/charts/series';
import { chooseStep, type Span, type Step, windowStart } from '$lib/charts/window';

/** What to show of a metric, and on how much room. */
export interface Wanted {
  span: Span;
  step: Step | undefined;
  widthPx: number;
  intervalMs: number;
  zone: string;
}

const NOTHING: Loaded = { samples: [], step: undefined, source: 'raw' };
/** Raw readings so many times as dense as the kiosk's interval of today says are asked for in windows instead. */
const TOO_DENSE = 4;

/** One metric of a kiosk over time: loaded, then fed by live readings. */
export class MetricHistory {
  /** What is shown; while other data are on their way, still the old. */
  loaded = $state.raw<Loaded>(NOTHING);
  loading = $state(true);
  /** Data have come at least once. */
  known = $state(false);
  error = $state.raw<ApiError | undefined>(undefined);

  readonly #serial: string;
  readonly #metric: string;
  readonly #load: typeof loadSamples;
  #abort: AbortController | undefined;
  #zone = 'UTC';
  /** Live readings that came while an answer was on its way. */
  #waiting: { time: number; value: number }[] = [];
  /** Up to here, live readings are in the samples. */
  #takenTo = -Infinity;

  constructor(serial: string, metric: string, load = loadSamples) {
    this.#serial = serial;
    this.#metric = metric;
    this.#load = load;
  }

  /** Loads what is wanted; an answer that is still on its way for something else is no longer waited for. */
  async load(wanted: Wanted): Promise<void> {
    this.close();
    const abort = new AbortController();
    this.#abort = abort;
    this.loading = true;
    this.#waiting = [];
    try {
      const loaded = await this.#ask(wanted, abort.signal);
      if (abort.signal.aborted) return;
      this.#zone = wanted.zone;
      this.loaded = loaded;
      this.known = true;
      this.error = undefined;
      this.loading = false;
      // A reading that is in a window of the answer already weighs twice until the next load; leaving it out might hide an extreme.
      this.#takenTo = loaded.step ? -Infinity : (loaded.samples.at(-1)?.time ?? -Infinity);
      for (const { time, value } of this.#waiting) this.take(time, value, wanted.span.from);
      this.#waiting = [];
    } catch (error) {
      if (abort.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.loading = false;
      this.error = error;
    }
  }

  /** Takes a live reading; samples older than from, which no picture needs any more, go. */
  take(time: number, value: number, from: number): void {
    if (this.loading) {
      this.#waiting.push({ time, value });
      return;
    }
    if (time <= this.#takenTo || !this.known) return;
    this.#takenTo = time;
    const { samples, step } = this.loaded;
    const added = addLive(samples, time, value, step && windowStart(time, step.ms, this.#zone));
    this.loaded = { ...this.loaded, samples: dropBefore(added, from) };
  }

  /** Gives up what is on its way. */
  close(): void {
    this.#abort?.abort();
  }

  async #ask({ span, step, widthPx, intervalMs, zone }: Wanted, signal: AbortSignal): Promise<Loaded> {
    const ask = (by: Step | undefined) => this.#load(this.#serial, this.#metric, around(span, by?.ms ?? intervalMs), by, zone, signal);
    const loaded = await ask(step);
    if (step || loaded.samples.length <= TOO_DENSE * widthPx) return loaded;
    // The kiosk once reported more often than today.
    const coarser = chooseStep(span.to - span.from, spacing(loaded.samples), widthPx);
    return coarser ? ask(coarser) : loaded;
  }
}

/** A little more than what is looked at, so that lines do not begin or end inside the picture and windows at its edges are whole. */
function around({ from, to }: Span, stepMs: number): Span {
  return { from: from - 2 * stepMs, to: to + 2 * stepMs };
}

function spacing(samples: Sample[]): number {
  return (samples.at(-1)!.time - samples[0]!.time) / samples.length;
}
