import { asUTC, instantOf, offsetAt, startOfDay, type Wall, wallOf } from '$lib/format/zone';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Distances of marks on the axis of time; a month counts 30 days until marks are made. */
const SHORT = [
  SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
];
const DAYS = [1, 2, 7, 14];
const MONTHS = [1, 2, 3, 6, 12];

export interface Ticks {
  /** Instants of the marks in Unix milliseconds, ascending. */
  at: number[];
  /** Roughly how far apart they are, in milliseconds. */
  every: number;
}

/** Marks for [from, to] at round times of a zone, at most so many as have room. Days stay days when the clocks change. */
export function ticks(from: number, to: number, room: number, zone: string): Ticks {
  const least = (to - from) / Math.max(1, room);
  const short = SHORT.find((every) => every >= least);
  if (short !== undefined) return { at: shortTicks(from, to, short, zone), every: short };
  const days = DAYS.find((n) => n * DAY >= least);
  if (days !== undefined) return { at: dayTicks(from, to, days, zone), every: days * DAY };
  const months = MONTHS.find((n) => n * 30 * DAY >= least) ?? 12 * Math.ceil(least / (365 * DAY));
  return { at: monthTicks(from, to, months, zone), every: months * 30 * DAY };
}

function shortTicks(from: number, to: number, every: number, zone: string): number[] {
  const at: number[] = [];
  if (every <= HOUR) {
    const offset = offsetAt(from, zone);
    for (let t = Math.ceil((from + offset) / every) * every - offset; t <= to; t += every) at.push(t);
    return at;
  }
  // From midnight on, because a change of the clocks moves every later hour of its day.
  for (let midnight = startOfDay(from, zone); midnight <= to; midnight = nextDay(midnight, 1, zone)) {
    const day = wallOf(midnight, zone);
    for (let hour = 0; hour < 24; hour += every / HOUR) push(at, instantOf({ ...day, hour, minute: 0, second: 0 }, zone), from, to);
  }
  return at;
}

function dayTicks(from: number, to: number, days: number, zone: string): number[] {
  const at: number[] = [];
  const wall = wallOf(from, zone);
  // Counted from a fixed day, so that marks do not jump about while time goes on; weeks begin on a Monday.
  const number = Math.floor(asUTC({ ...wall, hour: 0, minute: 0, second: 0 }) / DAY) + 3;
  let midnight = instantOf({ ...wall, day: wall.day - (number % days), hour: 0, minute: 0, second: 0 }, zone);
  for (; midnight <= to; midnight = nextDay(midnight, days, zone)) push(at, midnight, from, to);
  return at;
}

function monthTicks(from: number, to: number, months: number, zone: string): number[] {
  const at: number[] = [];
  const { year, month } = wallOf(from, zone);
  const first: Wall = { year, month: month - ((year * 12 + month - 1) % months), day: 1, hour: 0, minute: 0, second: 0 };
  for (let n = 0; ; n += months) {
    const t = instantOf({ ...first, month: first.month + n }, zone);
    if (t > to) return at;
    push(at, t, from, to);
  }
}

function nextDay(midnight: number, days: number, zone: string): number {
  const wall = wallOf(midnight, zone);
  return instantOf({ ...wall, day: wall.day + days, hour: 0, minute: 0, second: 0 }, zone);
}

function push(at: number[], t: number, from: number, to: number): void {
  if (t >= from && t <= to && t > (at.at(-1) ?? -Infinity)) at.push(t);
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(locale: string, zone: string, key: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const full = `${locale} ${zone} ${key}`;
  let made = formatters.get(full);
  if (!made) formatters.set(full, (made = new Intl.DateTimeFormat(locale, { ...options, timeZone: zone, hourCycle: 'h23' })));
  return made;
}

/** The text of a mark: the time; the day where it begins; the year where that begins. */
export function tickLabel(at: number, every: number, locale: string, zone: string): string {
  const wall = wallOf(at, zone);
  if (every >= 28 * DAY) {
    return wall.month === 1 ? String(wall.year) : formatter(locale, zone, 'month', { month: 'short' }).format(at);
  }
  if (wall.hour === 0 && wall.minute === 0 && wall.second === 0) {
    return formatter(locale, zone, 'day', { day: 'numeric', month: 'short' }).format(at);
  }
  const clock: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
  return every < MINUTE
    ? formatter(locale, zone, 'second', { ...clock, second: '2-digit' }).format(at)
    : formatter(locale, zone, 'minute', clock).format(at);
}
