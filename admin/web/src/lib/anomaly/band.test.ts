import { describe, expect, it } from 'vitest';
import { expectedAt, expectedIn, expectedOf, fromFirst, storySpan } from './band';

const HOUR = 3_600_000;
const noon = Date.UTC(2026, 0, 2, 12);
const band = Array.from({ length: 24 }, (_, hour) => ({ hour, low: hour, high: hour + 10 }));

describe('what is expected', () => {
  it('goes hour by hour of the kiosk’s clock', () => {
    expect(expectedIn(band, { from: noon - HOUR / 2, to: noon + HOUR }, 'UTC')).toEqual([
      { from: noon - HOUR / 2, to: noon, low: 11, high: 21 },
      { from: noon, to: noon + HOUR, low: 12, high: 22 },
    ]);
    expect(expectedIn(band, { from: noon, to: noon + HOUR }, 'America/Argentina/Buenos_Aires')[0]).toMatchObject({ low: 9 });
  });

  it('changes at the hours of zones that are half of one off', () => {
    const [first, second] = expectedIn(band, { from: noon, to: noon + HOUR }, 'Asia/Kolkata');
    expect(first).toEqual({ from: noon, to: noon + HOUR / 2, low: 17, high: 27 });
    expect(second).toEqual({ from: noon + HOUR / 2, to: noon + HOUR, low: 18, high: 28 });
  });

  it('has a gap where nothing can be said, and joins hours that are alike', () => {
    const some = [{ hour: 12, low: 1, high: 2 }, { hour: 13, low: 1, high: 2 }, { hour: 15, low: 1, high: 2 }];
    expect(expectedIn(some, { from: noon, to: noon + 6 * HOUR }, 'UTC')).toEqual([
      { from: noon, to: noon + 2 * HOUR, low: 1, high: 2 },
      { from: noon + 3 * HOUR, to: noon + 4 * HOUR, low: 1, high: 2 },
    ]);
    expect(expectedIn([], { from: noon, to: noon + HOUR }, 'UTC')).toEqual([]);
  });

  it('is of a sensor what its hours say, else what was said while it was unusual', () => {
    const [span, unusual] = [{ from: noon, to: noon + 2 * HOUR }, { from: noon + HOUR, to: noon + 2 * HOUR }];
    const sensor = { metric: 'a.b', kind: 'level' as const, share: 1, text: '' };
    expect(expectedOf({ ...sensor, band, low: 1, high: 2 }, span, 'UTC', unusual)).toEqual(expectedIn(band, span, 'UTC'));
    expect(expectedOf({ ...sensor, low: 1, high: 2 }, span, 'UTC', unusual)).toEqual([{ ...unusual, low: 1, high: 2 }]);
    expect(expectedOf(sensor, span, 'UTC', unusual)).toEqual([]);
    expect(expectedOf({ ...sensor, kind: 'relation', band, low: 1, high: 2 }, { ...span, to: noon + 3 * HOUR }, 'UTC', unusual)).toEqual([
      { from: noon, to: noon + HOUR, low: 12, high: 22 }, { ...unusual, low: 1, high: 2 }, { from: noon + 2 * HOUR, to: noon + 3 * HOUR, low: 14, high: 24 },
    ]);
  });

  it('is known at a moment', () => {
    const stretches = expectedIn(band, { from: noon, to: noon + 2 * HOUR }, 'UTC');
    expect(expectedAt(stretches, noon + HOUR)).toMatchObject({ low: 13 });
    expect(expectedAt(stretches, noon + 2 * HOUR)).toBeUndefined();
  });
});

it('the story begins a day before and goes on until now, or a little beyond the end', () => {
  expect(storySpan(noon, undefined, noon + HOUR)).toEqual({ from: noon - 24 * HOUR, to: noon + HOUR });
  expect(storySpan(noon, noon + HOUR, noon + 90 * HOUR).to).toBe(noon + 4 * HOUR);
  expect(storySpan(noon, noon + HOUR, noon + 2 * HOUR).to).toBe(noon + 2 * HOUR);
});

describe('a story without the empty time before it', () => {
  const span = { from: noon - 24 * HOUR, to: noon + HOUR };

  it.each([
    ['is whole where values reach back as far', noon - 25 * HOUR, noon - 24 * HOUR],
    ['begins with the first value', noon - 5 * HOUR, noon - 5 * HOUR],
    ['begins a quarter of an hour before at the latest', noon + HOUR / 2, noon - HOUR / 4],
    ['is whole while no value is known', undefined, noon - 24 * HOUR],
  ])('%s', (_name, first, from) => {
    expect(fromFirst(span, noon, first)).toEqual({ from, to: span.to });
  });
});
