import { describe, expect, it } from 'vitest';
import { formatDistance, formatShare, formatValue } from './number';
import { formatAge, formatDuration, formatFull, formatInZone, formatMoment, formatSpan, formatStep } from './time';

const S = 1_000;
const MIN = 60 * S;
const H = 60 * MIN;
const D = 24 * H;

describe('formatAge', () => {
  it.each([
    [-5 * S, '0 s'], [999, '0 s'], [42 * S, '42 s'], [MIN, '1 min'], [14 * MIN + 59 * S, '14 min'], [H, '1 h'],
    [3 * H + 12 * MIN, '3 h 12 min'], [D, '1 d'], [5 * D + 3 * H, '5 d 3 h'],
  ])('%i ms: %s', (ms, expected) => {
    expect(formatAge(ms)).toBe(expected);
  });
});

describe('formatDuration', () => {
  it.each([[820, 'en', '0.8 s'], [820, 'es', '0,8 s'], [9_940, 'en', '9.9 s'], [9_960, 'en', '9 s'], [90 * S, 'en', '1 min']])(
    '%i ms in %s: %s', (ms, locale, expected) => {
      expect(formatDuration(ms, locale)).toBe(expected);
    },
  );
});

describe('formatStep', () => {
  it.each([[38, '+38 ms'], [-3, '+0 ms'], [1_234, '+1.2 s'], [75 * S, '+1 min']])('%i: %s', (ms, expected) => {
    expect(formatStep(ms, 'en')).toBe(expected);
  });
});

describe('formatMoment', () => {
  const now = new Date(2026, 5, 10, 15, 0, 0).getTime();

  it.each([
    [new Date(2026, 5, 10, 9, 5, 7), '09:05'],
    [new Date(2026, 5, 9, 23, 59), '9 Jun 23:59'],
    [new Date(2025, 11, 31, 8, 0), '31 Dec 2025 08:00'],
  ])('%s', (date, expected) => {
    expect(formatMoment(date.getTime(), now, 'en-GB')).toBe(expected);
  });

  it('has seconds where they matter', () => {
    expect(formatMoment(new Date(2026, 5, 10, 9, 5, 7).getTime(), now, 'en-GB', true)).toBe('09:05:07');
  });
});

describe('formatInZone', () => {
  const noon = Date.UTC(2026, 0, 2, 12, 0, 0);

  it('says the time there, by the name of the zone', () => {
    expect(formatInZone(noon, 'en-GB', 'Asia/Kathmandu')).toBe('2 Jan 2026, 17:45:00 Asia/Kathmandu');
  });

  it.each(['', 'Not/AZone', Intl.DateTimeFormat().resolvedOptions().timeZone])('says nothing for %j', (zone) => {
    expect(formatInZone(noon, 'en-GB', zone)).toBeUndefined();
  });
});

describe('times of a zone', () => {
  const at = (text: string) => Date.parse(text);

  it('name the zone, also on the two sides of a change of the clocks', () => {
    expect(formatFull(at('2026-10-25T00:30:00Z'), 'en-GB', 'Europe/Madrid')).toBe('25 Oct 2026, 02:30:00 CEST');
    expect(formatFull(at('2026-10-25T01:30:00Z'), 'en-GB', 'Europe/Madrid')).toBe('25 Oct 2026, 02:30:00 CET');
  });

  it('say once what both ends of a stretch have in common', () => {
    const span = (from: string, to: string) => formatSpan(at(from), at(to), 'en-GB', 'UTC').replaceAll(/\s*–\s*/g, '–');
    expect(span('2026-03-01T10:00:00Z', '2026-03-01T12:30:00Z')).toBe('1 Mar 2026, 10:00–12:30');
    expect(span('2026-03-01T10:00:05Z', '2026-03-01T10:01:00Z')).toBe('1 Mar 2026, 10:00:05–10:01:00');
    expect(span('2026-03-01T10:00:00Z', '2026-03-02T12:30:00Z')).toBe('1 Mar 2026, 10:00–2 Mar 2026, 12:30');
  });
});

describe('numbers', () => {
  it.each([[0, '0.0'], [0.123, '0.12'], [20, '20.0'], [51.23, '51.2'], [-61, '-61.0'], [120.4, '120'], [12_345, '12,345']])(
    'value %d: %s', (value, expected) => {
      expect(formatValue(value, 'en')).toBe(expected);
    },
  );

  it.each([[0, 0, '–'], [0, 10, '0 %'], [1, 3, '33 %'], [1, 1_000, '<1 %'], [999, 1_000, '>99 %'], [5, 5, '100 %']])(
    'share %i of %i: %s', (part, whole, expected) => {
      expect(formatShare(part, whole)).toBe(expected);
    },
  );

  it.each([[8.4, '8 m'], [3_400, '3.4 km'], [1_250_000, '1,250 km']])('distance %d: %s', (metres, expected) => {
    expect(formatDistance(metres, 'en')).toBe(expected);
  });
});
