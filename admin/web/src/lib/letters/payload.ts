import type { DeadLetterWithPayload } from '$lib/api/types';
import { layOut, scanJson, type Scan, type Span } from './json';

/** A payload as it is shown: the text, and the piece of it that is at fault, if one can be named. */
export interface ShownPayload {
  text: string;
  fault: Span | undefined;
  /** The name of the faulty field, or the place of the faulty character in the payload, from 1. */
  where: { field: string } | { character: number } | undefined;
}

export function showPayload(letter: Pick<DeadLetterWithPayload, 'payload' | 'payload_encoding' | 'detail' | 'reason' | 'truncated'>): ShownPayload {
  if (letter.payload_encoding === 'base64') return { text: showBytes(letter.payload), fault: undefined, where: undefined };
  const scan = scanJson(letter.payload);
  const field = scan.error === undefined ? faultyField(letter.detail, letter.reason, scan) : undefined;
  const span = field ? scan.members.get(field)! : faultyCharacter(letter, scan);
  // What was never JSON is shown as it came.
  if (!/^\s*[[{]/.test(letter.payload)) return { text: letter.payload, fault: span, where: span && { character: span.from + 1 } };
  const { text, source } = layOut(letter.payload);
  if (!span) return { text, fault: undefined, where: undefined };
  return {
    text, where: field ? { field } : { character: span.from + 1 },
    fault: { from: firstFrom(source, span.from), to: field ? lastBefore(source, span.to) : firstFrom(source, span.from) + 1 },
  };
}

const firstFrom = (source: number[], at: number) => {
  const found = source.findIndex((from) => from >= at);
  return found < 0 ? source.length : found;
};

const lastBefore = (source: number[], to: number) => source.findLastIndex((from) => from >= 0 && from < to) + 1;

/** Where the text stops being JSON. Of a payload that was cut, the cut itself is no fault. */
function faultyCharacter(letter: { payload: string; detail: string; truncated: boolean }, scan: Scan): Span | undefined {
  const at = scan.error ?? namedCharacter(letter.detail, letter.payload.length);
  if (at === undefined || (letter.truncated && at >= letter.payload.length)) return undefined;
  return { from: at, to: at + 1 };
}

/** The place that an explanation names itself: "at byte 17", "offset 17". */
function namedCharacter(detail: string, length: number): number | undefined {
  const named = /\b(?:byte|offset|position|character)\s+(\d+)\b/i.exec(detail);
  const at = named ? Number(named[1]) : NaN;
  return at < length ? at : undefined;
}

/** The field that an explanation begins with: "hardware.cpu_temp: must …", "hardware: "cpu temp" is …", "timestamp 2027-… is …". */
function faultyField(detail: string, reason: string, scan: Scan): string | undefined {
  const [, group, field] = /^"?([\w-]+)"?(?:(?:\.|:? )"?([\w-]+)"?)?/.exec(detail) ?? [];
  const candidates = group ? [`${group}.${field}`, group] : [];
  if (reason === 'wrong_serial') candidates.push('serial');
  if (['future', 'too_old', 'conflict'].includes(reason)) candidates.push('timestamp');
  return candidates.find((name) => scan.members.has(name));
}

/** Bytes that are no text: what is printable as it is, the rest as \x.. */
export function showBytes(base64: string): string {
  return [...atob(base64)]
    .map((char) => (/[\x20-\x5b\x5d-\x7e\n]/.test(char) ? char : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`))
    .join('');
}
