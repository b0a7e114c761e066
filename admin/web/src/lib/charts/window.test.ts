import { describe, expect, it } from 'vitest';
import {
  bounds, chooseStep, defaultRange, formatTime, formatZoom, MAX_SPAN_MS, MIN_SPAN_MS, moved, parseView, scaled, shownWindow, windowStart,
} from './window';

const MIN = 60_000;
const H = 60 * MIN;
const D = 24 * H;
const at = (text: string) => Date.parse(text);

describe('chooseStep', () => {
  it.each([
    ['an hour at 5 s on a wide screen is raw', H, 5_000, 800, undefined],
    ['on a phone it is not', H, 5_000, 320, '30s'],
    ['15 min at 5 s on a phone is raw', 15 * MIN, 5_000, 320, undefined],
    ['an hour at 1 s', H, 1_000, 800, '10s'],
    ['a day at 5 s matches the rollups', D, 5_000, 800, '5m'],
    ['a day at 10 min is raw', D, 600_000, 800, undefined],
    ['a month at 5 min', 30 * D, 300_000, 800, '2h'],
    ['a year', 365 * D, 5_000, 800, '1d'],
    ['a year on a phone', 365 * D, 5_000, 320, '7d'],
    ['no width at all still gets some points', H, 5_000, 0, '30s'],
  ])('%s', (_name, range, interval, width, expected) => {
    expect(chooseStep(range, interval, width)?.text).toBe(expected);
  });

  it('never draws more than a point for two pixels, and zooming in never coarsens', () => {
    let before = Infinity;
    for (let range = 400 * D; range > MIN; range *= 0.7) {
      const step = chooseStep(range, 5_000, 800);
      if (step) expect(range / step.ms).toBeLessThanOrEqual(400);
      else expect(range / 5_000).toBeLessThanOrEqual(800);
      expect(step?.ms ?? 0).toBeLessThanOrEqual(before);
      before = step?.ms ?? 0;
    }
  });

  it('does not ask anew for a scroll bar', () => {
    expect(chooseStep(6 * H, 5_000, 815)).toEqual(chooseStep(6 * H, 5_000, 801));
  });
});

describe('parseView', () => {
  const parse = (query: string) => parseView(new URLSearchParams(query), '1h');
  const zoom = { from: at('2026-03-01T10:00:00Z'), to: at('2026-03-01T11:00:00Z') };

  it.each([
    ['', { kind: 'last', ms: H }],
    ['range=6h', { kind: 'last', ms: 6 * H }],
    ['range=1y', { kind: 'last', ms: 365 * D }],
    ['range=soon', { kind: 'last', ms: H }],
    ['range=6h&from=1000&to=2000', { kind: 'fixed', from: 1_000, to: 2_000 }],
    ['from=2026-03-01T10:00:00Z&to=2026-03-01T12:00:00%2B01:00', { kind: 'fixed', ...zoom }],
    ['from=2000&to=1000', { kind: 'last', ms: H }],
    ['from=2000', { kind: 'last', ms: H }],
    ['from=yesterday&to=now', { kind: 'last', ms: H }],
    ['from=1&to=99999999999999999', { kind: 'last', ms: H }],
    [`from=0&to=${MAX_SPAN_MS + 1}`, { kind: 'last', ms: H }],
    ['from=2026-03-01&to=2026-03-02', { kind: 'last', ms: H }],
  ])('%s', (query, base) => {
    expect(parse(query).base).toEqual(base);
  });

  it('keeps the range behind a zoom, for the way back', () => {
    const view = parse(`range=24h&zoom=${formatZoom(zoom)}`);
    expect(view).toEqual({ base: { kind: 'last', ms: D }, zoom });
    expect(shownWindow(view)).toEqual({ kind: 'fixed', ...zoom });
    expect(shownWindow({ ...view, zoom: undefined })).toEqual(view.base);
    expect(parse('zoom=nonsense').zoom).toBeUndefined();
  });

  it('writes times that it reads', () => {
    expect(formatTime(zoom.from + 321)).toBe('2026-03-01T10:00:00Z');
    expect(formatZoom(zoom)).toBe('2026-03-01T10:00:00Z~2026-03-01T11:00:00Z');
  });
});

describe('window', () => {
  it('is an hour by default, and shorter for a kiosk that has not lived that long', () => {
    expect(defaultRange(D)).toBe('1h');
    expect(defaultRange(MIN)).toBe('15m');
  });

  it('has bounds that move only when it is live', () => {
    expect(bounds({ kind: 'last', ms: 10 }, 100)).toEqual({ from: 90, to: 100 });
    expect(bounds({ kind: 'fixed', from: 1, to: 2 }, 100)).toEqual({ from: 1, to: 2 });
  });

  it('zooms around a moment that keeps its place', () => {
    expect(scaled({ from: 0, to: H }, 0.5, H / 4)).toEqual({ from: H / 8, to: H * 5 / 8 });
    expect(scaled({ from: 0, to: MIN }, 0.001, 0).to).toBe(MIN_SPAN_MS);
    const { from, to } = scaled({ from: 0, to: MAX_SPAN_MS }, 10, 0);
    expect(to - from).toBe(MAX_SPAN_MS);
  });

  it('moves, but not into the future', () => {
    expect(moved({ from: 0, to: H }, -0.5, 2 * H)).toEqual({ from: -H / 2, to: H / 2 });
    expect(moved({ from: 0, to: H }, 0.5, H + 10)).toEqual({ from: 10, to: H + 10 });
    expect(moved({ from: 0, to: 2 * H }, 0.5, H)).toEqual({ from: 0, to: 2 * H });
  });
});

describe('windowStart', () => {
  it('is aligned to the epoch, and to midnights of the zone for days', () => {
    const t = at('2026-03-29T12:34:56Z');
    expect(windowStart(t, 5 * MIN, 'Europe/Madrid')).toBe(at('2026-03-29T12:30:00Z'));
    expect(windowStart(t, D, 'UTC')).toBe(at('2026-03-29T00:00:00Z'));
    // The clocks went forward that night: midnight was still in winter time.
    expect(windowStart(t, D, 'Europe/Madrid')).toBe(at('2026-03-28T23:00:00Z'));
    expect(windowStart(at('2026-03-29T22:30:00Z'), D, 'Europe/Madrid')).toBe(at('2026-03-29T22:00:00Z'));
  });

  it('counts several days from 1970-01-01 there', () => {
    const week = windowStart(at('2026-03-29T12:00:00Z'), 7 * D, 'Europe/Madrid');
    expect(week).toBe(at('2026-03-25T23:00:00Z'));
    expect((at('2026-03-26T00:00:00Z') / D) % 7).toBe(0);
  });
});
