const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * A length of time in at most two units, as operators say it: "0.8 s", "42 s", "14 min",
 * "3 h 12 min", "5 d 3 h". Negative lengths (a clock that lies) count as none.
 */
export function formatDuration(ms: number, locale: string): string {
  const length = Math.max(0, ms);
  if (length < 9_950) {
    const seconds = new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
    return `${seconds.format(length / SECOND)} s`;
  }
  return formatAge(length);
}

/** The same in whole units, for what ticks once a second: "0 s", "42 s", "14 min". */
export function formatAge(ms: number): string {
  const age = Math.max(0, ms);
  if (age < MINUTE) return `${Math.floor(age / SECOND)} s`;
  if (age < HOUR) return `${Math.floor(age / MINUTE)} min`;
  if (age < DAY) return pair(Math.floor(age / HOUR), 'h', Math.floor((age % HOUR) / MINUTE), 'min');
  return pair(Math.floor(age / DAY), 'd', Math.floor((age % DAY) / HOUR), 'h');
}

/** Milliseconds between two rungs of a ladder: "+38 ms", "+1.2 s". */
export function formatStep(ms: number, locale: string): string {
  return ms < SECOND ? `+${Math.max(0, Math.round(ms))} ms` : `+${formatDuration(ms, locale)}`;
}

function pair(a: number, unitA: string, b: number, unitB: string): string {
  return b === 0 ? `${a} ${unitA}` : `${a} ${unitA} ${b} ${unitB}`;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

/** The formatter of these options, which kind names. Making one takes longer than using it a hundred times. */
function formatter(kind: string, options: Intl.DateTimeFormatOptions, locale: string, zone?: string): Intl.DateTimeFormat {
  const key = `${kind} ${locale} ${zone ?? ''}`;
  let made = formatters.get(key);
  if (!made) formatters.set(key, (made = new Intl.DateTimeFormat(locale, zone ? { ...options, timeZone: zone } : options)));
  return made;
}

/** A moment as short as it can be: the time of today, else with the day, and the year when it is another. */
export function formatMoment(at: number, now: number, locale: string, seconds = false): string {
  const [date, today] = [new Date(at), new Date(now)];
  const clock: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  const time = seconds
    ? formatter('second', { ...clock, second: '2-digit' }, locale).format(date)
    : formatter('minute', clock, locale).format(date);
  if (date.toDateString() === today.toDateString()) return time;
  const day: Intl.DateTimeFormatOptions = { day: 'numeric', month: 'short' };
  return date.getFullYear() === today.getFullYear()
    ? `${formatter('day', day, locale).format(date)} ${time}`
    : `${formatter('date', { ...day, year: 'numeric' }, locale).format(date)} ${time}`;
}

const FULL: Intl.DateTimeFormatOptions = {
  day: 'numeric', month: 'short', year: 'numeric',
  hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'short',
};

/** A moment in full with its zone; with the kiosk's own zone after it where that is another one. */
export function formatExact(at: number, locale: string, zone?: string): string {
  const here = new Date(at).toLocaleString(locale, FULL);
  const there = zone && formatInZone(at, locale, zone);
  return there ? `${here}\n${there}` : here;
}

/** A moment in full in a kiosk's zone, by the zone's name; undefined where the browser's zone is the same or this one unknown. */
export function formatInZone(at: number, locale: string, zone: string): string | undefined {
  if (!zone || zone === Intl.DateTimeFormat().resolvedOptions().timeZone) return undefined;
  try {
    const { timeZoneName: _name, ...rest } = FULL;
    return `${new Date(at).toLocaleString(locale, { ...rest, timeZone: zone })} ${zone}`;
  } catch {
    return undefined;
  }
}

/** A moment in full by the clocks of a zone, with the zone's short name. */
export const formatFull = (at: number, locale: string, zone: string): string => formatter('full', FULL, locale, zone).format(at);

/** A stretch of time by the clocks of a zone; what both ends have in common is said once. */
export function formatSpan(from: number, to: number, locale: string, zone: string): string {
  const { second: _second, timeZoneName: _name, ...minutes } = FULL;
  return to - from < 10 * MINUTE
    ? formatter('span of seconds', { ...minutes, second: '2-digit' }, locale, zone).formatRange(from, to)
    : formatter('span', minutes, locale, zone).formatRange(from, to);
}
