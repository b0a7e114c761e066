import { describe, expect, it } from 'vitest';
import { at, event } from '$lib/testkit';
import { segments, spanFor, troubles } from './timeline';

const ms = (seconds: number) => Date.parse(at(seconds));
const window = { from: ms(0), to: ms(100), knownFrom: ms(-1_000) };
const short = (parts: ReturnType<typeof segments>) => parts.map((p) => [p.state, (p.from - ms(0)) / 1_000, (p.to - ms(0)) / 1_000]);

describe('segments', () => {
  it('is one stretch of the current state without events', () => {
    expect(short(segments([], window, 'ready'))).toEqual([['ready', 0, 100]]);
  });

  it('cuts at each change, whatever the order of the events', () => {
    const events = [event(60, 'paper_jam', 'ready'), event(20, 'ready', 'paper_jam')];
    expect(short(segments(events, window, 'ready'))).toEqual([['ready', 0, 20], ['paper_jam', 20, 60], ['ready', 60, 100]]);
  });

  it('knows the state at the left edge from an event before it', () => {
    expect(short(segments([event(-50, 'ready', 'low_ink')], window, 'low_ink'))).toEqual([['low_ink', 0, 100]]);
  });

  it('claims nothing about the time before it is known', () => {
    expect(short(segments([event(60, 'ready', 'error')], { ...window, knownFrom: ms(40) }, 'error'))).toEqual([
      ['ready', 40, 60], ['error', 60, 100],
    ]);
  });

  it('joins neighbours in the same state', () => {
    expect(short(segments([event(30, 'ready', 'ready')], window, 'ready'))).toEqual([['ready', 0, 100]]);
  });
});

describe('troubles', () => {
  it('are the times of a bad verdict only', () => {
    const events = [event(20, 'can_serve', 'degraded'), event(30, 'degraded', 'cannot_serve'), event(60, 'cannot_serve', 'can_serve')];
    const verdicts = events.map((e) => ({ ...e, kind: 'verdict' as const }));
    const found = troubles(verdicts, window, 'can_serve').map(({ from, to, token }) => [from - ms(0), to - ms(0), token]);
    expect(found).toEqual([[20_000, 30_000, '--warn-tint'], [30_000, 60_000, '--bad-tint']]);
  });
});

describe('spanFor', () => {
  it.each([[1, 5], [6, 15], [15, 15], [20, 60], [90, 360], [5_000, 1_440]])('%i min of history: %i min shown', (known, shown) => {
    expect(spanFor(known * 60_000)).toBe(shown * 60_000);
  });
});
