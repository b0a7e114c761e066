import { listCommands, listEvents } from '$lib/api/calls';
import { ApiError } from '$lib/api/client';
import type { Command, KioskEvent } from '$lib/api/types';
import { mergeCommand } from '$lib/kiosks/commands';
import { fleet } from './fleet.svelte';

const COMMANDS = 20;
const EVENTS = 200;
/** Several changes of a kiosk come together; one question for its new events answers them all. */
const EVENTS_DELAY_MS = 800;

/** The commands and events of one kiosk while its page is open. */
export class KioskHistory {
  commands = $state.raw<Command[]>([]);
  events = $state.raw<KioskEvent[]>([]);
  commandsLoaded = $state(false);
  eventsLoaded = $state(false);
  commandsError = $state.raw<ApiError | undefined>(undefined);
  eventsError = $state.raw<ApiError | undefined>(undefined);
  /** Present while older events can be asked for. */
  olderEvents = $state.raw<string | undefined>(undefined);

  readonly #serial: string;
  readonly #abort = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unsubscribe: () => void;

  constructor(serial: string) {
    this.#serial = serial;
    this.#unsubscribe = fleet.onCommand((command) => {
      if (command.serial !== serial) return;
      this.take(command);
      this.refreshEvents();
    });
  }

  close(): void {
    this.#unsubscribe();
    this.#abort.abort();
    clearTimeout(this.#timer);
  }

  take(command: Command): void {
    this.commands = mergeCommand(this.commands, command);
  }

  async loadCommands(): Promise<void> {
    try {
      const { items } = await listCommands(this.#serial, COMMANDS, this.#abort.signal);
      for (const command of items) this.take(command);
      this.commandsLoaded = true;
      this.commandsError = undefined;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.commandsError = error;
    }
  }

  /** Asks for new events soon; events do not come over the stream, what causes them does. */
  refreshEvents(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.loadEvents(), EVENTS_DELAY_MS);
  }

  async loadEvents(cursor?: string): Promise<void> {
    try {
      const page = await listEvents(this.#serial, EVENTS, cursor, this.#abort.signal);
      const ids = new Set(page.items.map((event) => event.id));
      const others = this.events.filter((event) => !ids.has(event.id));
      this.events = [...page.items, ...others].sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
      if (cursor || !this.eventsLoaded) this.olderEvents = page.next_cursor;
      this.eventsLoaded = true;
      this.eventsError = undefined;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.eventsError = error;
    }
  }
}
