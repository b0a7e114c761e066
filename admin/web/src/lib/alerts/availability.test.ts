import { expect, it } from 'vitest';
import { at } from '$lib/testkit';
import { type AvailabilityRow, formatLevel, tabulate } from './availability';

const row = (name: string, day: number, serve: number, cannot: number): AvailabilityRow => ({
  name, from: at(day * 86_400), to: at((day + 1) * 86_400), kiosks: 2, maintenance_seconds: 5,
  seconds: { can_serve: serve, degraded: 0, cannot_serve: cannot, unknown: 0 },
});

it('makes a table of a report, the worst first', () => {
  const { periods, lines } = tabulate([row('Hall 1', 1, 90, 10), row('Hall 1', 0, 0, 100), row('Hall 2', 0, 99, 1), row('Hall 3', 0, 0, 0)]);
  expect(periods).toEqual([at(0), at(86_400)]);
  expect(lines.map(({ name, share }) => [name, share])).toEqual([['Hall 1', 0.45], ['Hall 2', 0.99], ['Hall 3', undefined]]);
  expect(lines[0]?.maintenanceSeconds).toBe(10);
  expect(lines[1]?.cells.get(at(86_400))).toBeUndefined();
});

it.each([[1, '100.00 %'], [0.99999, '99.99 %'], [0.5, '50.00 %'], [0, '0.00 %'], [undefined, '–']])('writes %s as %s', (share, want) => {
  expect(formatLevel(share, 'en')).toBe(want);
});
