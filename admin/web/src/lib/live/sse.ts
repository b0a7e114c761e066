/** One server-sent event. */
export interface ServerEvent {
  name: string;
  data: string;
}

/**
 * Splits a stream of text into server-sent events (WHATWG HTML, section 9.2.6). Comment lines and
 * the fields id and retry are skipped; that bytes came at all is for the caller to notice.
 */
export class SseParser {
  #rest = '';
  #name = '';
  #data: string[] = [];

  /** Takes the next piece of the stream and returns the events that it completed. */
  push(piece: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    // The last line may go on in the next piece.
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) events.push({ name: this.#name || 'message', data: this.#data.join('\n') });
        this.#name = '';
        this.#data = [];
        continue;
      }
      const colon = line.indexOf(':');
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'event') this.#name = value;
      else if (field === 'data') this.#data.push(value);
    }
    return events;
  }
}
