import { describe, expect, it } from 'vitest';
import { tickLabel, ticks } from './ticks';

const MIN = 60_000;
const H = 60 * MIN;
const D = 24 * H;
const at = (text: string) => Date.parse(text);

/** The texts of the marks of a range with as much room. */
function labels(from: string, to: string, room: number, zone: string): string[] {
  const { at: marks, every } = ticks(at(from), at(to), room, zone);
  return marks.map((mark) => tickLabel(mark, every, 'en-GB', zone));
}

describe('ticks', () => {
  it.each([
    ['minutes', '2026-03-01T10:00:10Z', '2026-03-01T10:15:00Z', 4, 'UTC', ['10:05', '10:10', '10:15']],
    ['seconds', '2026-03-01T10:00:01Z', '2026-03-01T10:00:30Z', 3, 'UTC', ['10:00:10', '10:00:20', '10:00:30']],
    ['hours of a zone with odd minutes', '2026-03-01T10:00:00Z', '2026-03-01T13:00:00Z', 3, 'Asia/Kathmandu', ['16:00', '17:00', '18:00']],
    ['the day where it begins', '2026-03-01T18:00:00Z', '2026-03-02T12:00:00Z', 3, 'UTC', ['18:00', '2 Mar', '06:00', '12:00']],
    ['a day of 23 hours', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z', 4, 'Europe/Madrid', ['29 Mar', '06:00', '12:00', '18:00', '30 Mar']],
    ['a day of 25 hours', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z', 5, 'Europe/Madrid', ['25 Oct', '06:00', '12:00', '18:00', '26 Oct']],
    ['days across a change of the clocks', '2026-03-27T12:00:00Z', '2026-03-31T12:00:00Z', 5, 'Europe/Madrid', ['28 Mar', '29 Mar', '30 Mar', '31 Mar']],
    ['weeks begin on a Monday', '2026-03-01T00:00:00Z', '2026-03-31T00:00:00Z', 6, 'UTC', ['2 Mar', '9 Mar', '16 Mar', '23 Mar', '30 Mar']],
    ['months, and the year', '2025-11-15T00:00:00Z', '2026-04-15T00:00:00Z', 6, 'Europe/Madrid', ['Dec', '2026', 'Feb', 'Mar', 'Apr']],
  ])('%s', (_name, from, to, room, zone, expected) => {
    expect(labels(from, to, room, zone)).toEqual(expected);
  });

  it('are ascending, inside, and few, whatever the range and zone', () => {
    for (const zone of ['UTC', 'Europe/Madrid', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'America/Asuncion']) {
      for (let range = 10_000; range < 4_000 * D; range *= 3) {
        const from = at('2023-09-28T03:17:31Z');
        const { at: marks } = ticks(from, from + range, 10, zone);
        expect(marks.length).toBeLessThanOrEqual(13);
        marks.forEach((mark, i) => {
          expect(mark).toBeGreaterThanOrEqual(from);
          expect(mark).toBeLessThanOrEqual(from + range);
          if (i > 0) expect(mark).toBeGreaterThan(marks[i - 1]!);
        });
      }
    }
  });

  it('do not jump about while time goes on', () => {
    const from = at('2026-03-01T00:00:00Z');
    const early = ticks(from, from + 28 * D, 8, 'UTC').at;
    const later = ticks(from + D, from + 29 * D, 8, 'UTC').at;
    expect(later.filter((mark) => mark <= from + 28 * D)).toEqual(early.filter((mark) => mark >= from + D));
  });
});
