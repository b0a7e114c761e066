import { ApiError } from '$lib/api/client';
import type { Reading } from '$lib/api/types';
import { loadMeans } from '$lib/charts/fetch';
import { addLive, type Sample } from '$lib/charts/series';
import { numberAt } from '$lib/kiosks/metrics';
import { clock } from './clock.svelte';
import { fleet } from './fleet.svelte';

/** How much of the past the small lines show. */
export const SPARK_MS = 15 * 60_000;
/** Windows for the small lines: 90 points are as many as their pixels can show. */
const STEP = { text: '10s', ms: 10_000 };
/** Browsers make about six requests at once; the page's other ones must not wait behind these. */
const PARALLEL = 3;

class Spark {
  samples = $state.raw<Sample[]>([]);
}

/** The last minutes of every metric of one kiosk: loaded once, then fed by live readings. */
export class Sparks {
  readonly #serial: string;
  readonly #intervalMs: number;
  readonly #until: number | undefined;
  readonly #abort = new AbortController();
  readonly #sparks = new Map<string, Spark>();
  #waiting: string[] = [];
  #running = 0;
  #unsubscribe: () => void;

  /** until: the end of what to load, for a kiosk that is not there any more; otherwise now. */
  constructor(serial: string, intervalMs: number, until: number | undefined) {
    this.#until = until;
    this.#serial = serial;
    this.#intervalMs = intervalMs;
    this.#unsubscribe = fleet.onReading(serial, (reading) => this.#add(reading));
  }

  get #stepMs(): number | undefined {
    return this.#intervalMs < STEP.ms ? STEP.ms : undefined;
  }

  /** The samples of a metric; asking for the first time loads them. */
  of(metric: string): Spark {
    let spark = this.#sparks.get(metric);
    if (!spark) {
      spark = new Spark();
      this.#sparks.set(metric, spark);
      this.#waiting.push(metric);
      void this.#work();
    }
    return spark;
  }

  close(): void {
    this.#unsubscribe();
    this.#abort.abort();
    this.#waiting = [];
  }

  async #work(): Promise<void> {
    if (this.#running >= PARALLEL) return;
    this.#running++;
    for (let metric = this.#waiting.shift(); metric; metric = this.#waiting.shift()) await this.#load(metric);
    this.#running--;
  }

  async #load(metric: string): Promise<void> {
    const to = this.#until ?? clock.exact();
    const step = this.#stepMs ? STEP : undefined;
    try {
      const samples = await loadMeans(this.#serial, metric, to - SPARK_MS, to, step, this.#intervalMs, this.#abort.signal);
      const spark = this.#sparks.get(metric);
      if (!spark) return;
      const arrived = spark.samples.filter((sample) => sample.time > (samples.at(-1)?.time ?? 0));
      spark.samples = [...samples, ...arrived];
    } catch (error) {
      // Without its past the line begins with the next reading; the large chart tells about errors.
      if (!this.#abort.signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }

  #add(reading: Reading): void {
    const time = Date.parse(reading.timestamp);
    for (const [metric, spark] of this.#sparks) {
      const value = numberAt(reading, metric);
      if (value === undefined) continue;
      const added = addLive(spark.samples, time, value, this.#stepMs && Math.floor(time / this.#stepMs) * this.#stepMs);
      const firstKept = added.findIndex((sample) => sample.time > time - SPARK_MS * 1.1);
      spark.samples = firstKept > 0 ? added.slice(firstKept) : added;
    }
  }
}
