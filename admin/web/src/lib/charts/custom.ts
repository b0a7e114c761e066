import { instantsOf, type Wall, wallOf } from '$lib/format/zone';
import { MAX_SPAN_MS, type Span } from './window';

/** Why a range that somebody typed cannot be shown. */
export type Fault = 'missing' | 'skipped' | 'future' | 'order' | 'long';

export interface Typed {
  from: Fault | undefined;
  to: Fault | undefined;
  /** Only without faults. */
  span: Span | undefined;
}

const LOCAL = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d))?/;

/** The wall clock of a date and time field, 2026-03-29T02:30 or with seconds; undefined while it is incomplete. */
export function parseWall(text: string): Wall | undefined {
  const parts = LOCAL.exec(text)?.slice(1).map((part) => Number(part ?? 0));
  if (!parts) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts;
  return month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour < 24 && minute < 60 && second < 60
    ? { year, month, day, hour, minute, second }
    : undefined;
}

/** An instant as a date and time field shows it in a zone. */
export function formatWall(at: number, zone: string): string {
  const { year, month, day, hour, minute, second } = wallOf(at, zone);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}`;
}

/** Reads a typed range. An hour that comes twice in autumn counts from its first to its second time, so that nothing is left out. */
export function readRange(from: string, to: string, zone: string, now: number): Typed {
  const start = moment(from, zone, 'first');
  const end = moment(to, zone, 'last');
  const typed: Typed = { from: start.fault, to: end.fault, span: undefined };
  if (start.at !== undefined && start.at > now) typed.from = 'future';
  if (start.at === undefined || end.at === undefined || typed.from) return typed;
  if (start.at >= end.at) typed.to = 'order';
  else if (end.at - start.at > MAX_SPAN_MS) typed.to = 'long';
  else typed.span = { from: start.at, to: end.at };
  return typed;
}

function moment(text: string, zone: string, which: 'first' | 'last'): { at?: number; fault?: Fault } {
  const wall = parseWall(text);
  if (!wall) return { fault: 'missing' };
  const instants = instantsOf(wall, zone);
  const at = which === 'first' ? instants[0] : instants.at(-1);
  return at === undefined ? { fault: 'skipped' } : { at };
}
