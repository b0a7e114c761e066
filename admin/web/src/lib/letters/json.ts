/** A piece of a text, from up to but without to. */
export interface Span {
  from: number;
  to: number;
}

export interface Scan {
  /** Where the text stops being JSON; undefined while it is. */
  error: number | undefined;
  /** The members of the outer object and of the objects in it, by path: hardware, hardware.cpu_temp. */
  members: Map<string, Span>;
}

/** Deeper than any reading, and far from what would break the scanner. */
const MAX_DEPTH = 100;

/** Reads a text as JSON to say where it is not, and where its members stand. JSON.parse says neither reliably. */
export function scanJson(text: string): Scan {
  const scanner = new Scanner(text);
  return { error: scanner.run(), members: scanner.members };
}

class Fault extends Error {}

class Scanner {
  readonly members = new Map<string, Span>();
  #at = 0;

  constructor(readonly text: string) {}

  run(): number | undefined {
    try {
      this.#value('', 0);
      this.#space();
      return this.#at === this.text.length ? undefined : this.#at;
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      return this.#at;
    }
  }

  #space(): void {
    while (' \t\r\n'.includes(this.text[this.#at] ?? '-')) this.#at++;
  }

  #expect(char: string): void {
    if (this.text[this.#at] !== char) throw new Fault();
    this.#at++;
  }

  #value(path: string, depth: number): void {
    this.#space();
    if (depth > MAX_DEPTH) throw new Fault();
    const first = this.text[this.#at];
    if (first === '{') this.#object(path, depth);
    else if (first === '[') this.#array(depth);
    else if (first === '"') this.#string();
    else this.#word();
  }

  #object(path: string, depth: number): void {
    this.#at++;
    this.#space();
    if (this.text[this.#at] === '}') {
      this.#at++;
      return;
    }
    for (;;) {
      this.#space();
      const from = this.#at;
      const name = this.#string();
      this.#space();
      this.#expect(':');
      const here = path ? `${path}.${name}` : name;
      this.#value(here, depth + 1);
      if (depth < 2) this.members.set(here, { from, to: this.#at });
      this.#space();
      if (this.text[this.#at] === '}') break;
      this.#expect(',');
    }
    this.#at++;
  }

  #array(depth: number): void {
    this.#at++;
    this.#space();
    if (this.text[this.#at] === ']') {
      this.#at++;
      return;
    }
    for (;;) {
      // What is inside an array has no path of its own.
      this.#value('', Math.max(depth + 1, 2));
      this.#space();
      if (this.text[this.#at] === ']') break;
      this.#expect(',');
    }
    this.#at++;
  }

  #string(): string {
    const found = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/y;
    found.lastIndex = this.#at;
    const match = found.exec(this.text);
    if (!match) throw new Fault();
    this.#at = found.lastIndex;
    this.#expect('"');
    return JSON.parse(`${match[0]}"`) as string;
  }

  #word(): void {
    const found = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
    found.lastIndex = this.#at;
    if (!found.test(this.text)) throw new Fault();
    this.#at = found.lastIndex;
  }
}

/** A text laid out anew, and where each of its characters came from: -1 for what the layout added. */
export interface Layout {
  text: string;
  source: number[];
}

/**
 * Breaks JSON into lines without touching anything else: numbers keep their digits, doubled names stay,
 * and what is no JSON shows as far as it goes.
 */
export function layOut(json: string): Layout {
  const out: string[] = [];
  const source: number[] = [];
  let depth = 0;
  let inString = false;
  const put = (text: string, at: number) => {
    out.push(text);
    for (let i = 0; i < text.length; i++) source.push(at);
  };
  const line = () => put(`\n${'  '.repeat(depth)}`, -1);
  for (let i = 0; i < json.length; i++) {
    const char = json[i]!;
    if (inString) {
      put(char, i);
      if (char === '\\' && i + 1 < json.length) put(json[++i]!, i);
      else if (char === '"') inString = false;
      continue;
    }
    if (' \t\r\n'.includes(char)) continue;
    if (char === '"') inString = true;
    if ((char === '}' || char === ']') && depth > 0) {
      depth--;
      line();
    }
    put(char, i);
    if (char === '{' || char === '[') {
      const rest = /^\s*([}\]])/.exec(json.slice(i + 1, i + 200));
      if (rest) {
        i += rest[0].length;
        put(rest[1]!, i);
      } else {
        depth++;
        line();
      }
    } else if (char === ',') line();
    else if (char === ':') put(' ', -1);
  }
  return { text: out.join(''), source };
}
