import { describe, expect, it } from 'vitest';
import { instantOf, instantsOf, isZone, offsetAt, startOfDay, wallOf } from './zone';

const at = (text: string) => Date.parse(text);
const H = 3_600_000;
const wall = (year: number, month: number, day: number, hour = 0, minute = 0) => ({ year, month, day, hour, minute, second: 0 });

describe('zones', () => {
  it('are known by name', () => {
    expect(['UTC', 'Europe/Madrid', 'Asia/Kathmandu'].every(isZone)).toBe(true);
    expect(['', 'Not/AZone', '../etc'].some(isZone)).toBe(false);
  });

  it.each([
    ['2026-01-01T12:00:00Z', 'Europe/Madrid', H], ['2026-07-01T12:00:00Z', 'Europe/Madrid', 2 * H],
    ['2026-01-01T12:00:00.900Z', 'Asia/Kathmandu', 5.75 * H], ['1969-06-01T00:00:00Z', 'UTC', 0],
  ])('%s in %s', (time, zone, offset) => {
    expect(offsetAt(at(time), zone)).toBe(offset);
  });

  it('tell the wall clock, midnight as hour 0', () => {
    expect(wallOf(at('2026-03-28T23:00:00Z'), 'Europe/Madrid')).toMatchObject(wall(2026, 3, 29));
  });

  it('have no instant for a skipped time, two for one that comes twice', () => {
    expect(instantsOf(wall(2026, 3, 29, 2, 30), 'Europe/Madrid')).toEqual([]);
    expect(instantOf(wall(2026, 3, 29, 2, 30), 'Europe/Madrid')).toBe(at('2026-03-29T01:30:00Z'));
    expect(instantsOf(wall(2026, 10, 25, 2, 30), 'Europe/Madrid')).toEqual([at('2026-10-25T00:30:00Z'), at('2026-10-25T01:30:00Z')]);
    expect(instantsOf(wall(2026, 10, 25, 3, 30), 'Europe/Madrid')).toEqual([at('2026-10-25T02:30:00Z')]);
  });

  it('begin their days at midnight there, also when a day has none', () => {
    expect(startOfDay(at('2026-10-25T22:59:59Z'), 'Europe/Madrid')).toBe(at('2026-10-24T22:00:00Z'));
    // In Asuncion the clocks once went from 00:00 to 01:00.
    expect(startOfDay(at('2023-10-01T12:00:00Z'), 'America/Asuncion')).toBe(at('2023-10-01T04:00:00Z'));
  });
});
