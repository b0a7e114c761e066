import { describe, expect, it } from 'vitest';
import { formatWall, parseWall, readRange } from './custom';

const at = (text: string) => Date.parse(text);
const NOW = at('2026-12-01T00:00:00Z');
const read = (from: string, to: string, zone = 'Europe/Madrid') => readRange(from, to, zone, NOW);

describe('a typed range', () => {
  it('is read by the clocks of the zone', () => {
    expect(read('2026-07-01T10:00', '2026-07-01T11:30:15').span).toEqual({ from: at('2026-07-01T08:00:00Z'), to: at('2026-07-01T09:30:15Z') });
  });

  it('takes in the whole of an hour that comes twice', () => {
    expect(read('2026-10-25T02:00', '2026-10-25T02:30').span).toEqual({ from: at('2026-10-25T00:00:00Z'), to: at('2026-10-25T01:30:00Z') });
  });

  it.each([
    ['nothing', '', '', 'missing', 'missing'],
    ['half a time', '2026-07-01T10:00', '2026-07-01', undefined, 'missing'],
    ['a skipped time', '2026-03-29T02:30', '2026-03-29T04:00', 'skipped', undefined],
    ['the same twice', '2026-07-01T10:00', '2026-07-01T10:00', undefined, 'order'],
    ['turned round', '2026-07-02T10:00', '2026-07-01T10:00', undefined, 'order'],
    ['the future', '2027-07-01T10:00', '2027-07-02T10:00', 'future', undefined],
    ['eleven years', '2015-07-01T10:00', '2026-07-01T10:00', undefined, 'long'],
  ])('says what is wrong with %s', (_name, from, to, fromFault, toFault) => {
    expect(read(from, to)).toEqual({ from: fromFault, to: toFault, span: undefined });
  });

  it('is written as it is read', () => {
    const text = formatWall(at('2026-07-01T08:05:09Z'), 'Europe/Madrid');
    expect(text).toBe('2026-07-01T10:05:09');
    expect(parseWall(text)).toEqual({ year: 2026, month: 7, day: 1, hour: 10, minute: 5, second: 9 });
    expect(parseWall('2026-13-01T00:00')).toBeUndefined();
  });
});
