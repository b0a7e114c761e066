/** A wall clock somewhere: month and day from 1, hour in 0..23. */
export interface Wall {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

/** The time zone of this browser. */
export const viewerZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Whether the browser knows a time zone of that name. */
export function isZone(zone: string): boolean {
  try {
    return zone !== '' && Boolean(reader(zone));
  } catch {
    return false;
  }
}

const readers = new Map<string, Intl.DateTimeFormat>();

/** Making a formatter takes longer than using it a hundred times. */
function reader(zone: string): Intl.DateTimeFormat {
  let made = readers.get(zone);
  if (!made) {
    made = new Intl.DateTimeFormat('en-US-u-ca-iso8601', {
      timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric',
      hour: 'numeric', minute: 'numeric', second: 'numeric',
    });
    readers.set(zone, made);
  }
  return made;
}

/** What the clocks of a zone show at an instant in Unix milliseconds. */
export function wallOf(at: number, zone: string): Wall {
  const wall: Record<string, number> = {};
  for (const { type, value } of reader(zone).formatToParts(at)) wall[type] = Number(value);
  return wall as unknown as Wall;
}

/** How far the clocks of a zone are ahead of UTC at an instant, in milliseconds. */
export function offsetAt(at: number, zone: string): number {
  return asUTC(wallOf(at, zone)) - Math.floor(at / 1_000) * 1_000;
}

/** The instants at which the clocks of a zone show a time, earliest first: none when it is skipped in spring, two in autumn. */
export function instantsOf(wall: Wall, zone: string): number[] {
  const naive = asUTC(wall);
  // A day before and a day after, both offsets of a change of the clocks are in force.
  const offsets = new Set([offsetAt(naive - DAY, zone), offsetAt(naive + DAY, zone)]);
  return [...offsets]
    .map((offset) => naive - offset)
    .filter((at) => at + offsetAt(at, zone) === naive)
    .sort((a, b) => a - b);
}

/** The first instant at which the clocks of a zone show a time; where it is skipped, the instant of the skip and as much later. */
export function instantOf(wall: Wall, zone: string): number {
  const naive = asUTC(wall);
  return instantsOf(wall, zone)[0] ?? naive - offsetAt(naive - DAY, zone);
}

/** The midnight, in a zone, that began the day of an instant, or the first moment of a day without midnight. */
export function startOfDay(at: number, zone: string): number {
  const { year, month, day } = wallOf(at, zone);
  return instantOf({ year, month, day, hour: 0, minute: 0, second: 0 }, zone);
}

const DAY = 86_400_000;

/** The wall clock read as if it were one of UTC; overflowing parts carry over, as day 32 does. */
export function asUTC({ year, month, day, hour, minute, second }: Wall): number {
  return Date.UTC(year, month - 1, day, hour, minute, second);
}
