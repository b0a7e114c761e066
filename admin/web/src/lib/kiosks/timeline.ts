import type { KioskEvent } from '$lib/api/types';

/** A stretch of time in one state; times in Unix milliseconds. */
export interface Segment {
  from: number;
  to: number;
  state: string;
}

/**
 * Builds the states of one subject in [from, to) out of its change events, oldest first. What was
 * before the oldest event is its `from`, but not earlier than knownFrom, where the events begin.
 */
export function segments(
  events: KioskEvent[],
  window: { from: number; to: number; knownFrom: number },
  current: string | undefined,
): Segment[] {
  const ordered = events
    .map((event) => ({ at: Date.parse(event.time), before: event.from, after: event.to ?? '' }))
    .sort((a, b) => a.at - b.at);
  const first = ordered[0];
  const changes = [
    { at: Math.max(window.from, window.knownFrom), state: first ? (first.before ?? '') : (current ?? '') },
    ...ordered.map(({ at, after }) => ({ at, state: after })),
  ];
  const result: Segment[] = [];
  changes.forEach(({ at, state }, i) => {
    const from = Math.max(at, window.from);
    const to = Math.min(changes[i + 1]?.at ?? window.to, window.to);
    if (to <= from || state === '') return;
    const previous = result.at(-1);
    if (previous?.state === state && previous.to === from) previous.to = to;
    else result.push({ from, to, state });
  });
  return result;
}

/** When a kiosk was degraded or could not serve in [from, to), with the colour token of each; for the background of charts. */
export function troubles(events: KioskEvent[], window: { from: number; to: number }, current: string) {
  const verdicts = events.filter((event) => event.kind === 'verdict');
  const oldest = Math.min(window.to, ...events.map((event) => Date.parse(event.time)));
  const tokens: Record<string, string> = { degraded: '--warn-tint', cannot_serve: '--bad-tint' };
  return segments(verdicts, { ...window, knownFrom: oldest }, current).flatMap(({ from, to, state }) => {
    const token = tokens[state];
    return token ? [{ from, to, token }] : [];
  });
}

const HOUR = 3_600_000;

/** How much time to show for a kiosk that is known for so long: all of it, at most a day. */
export function spanFor(knownMs: number): number {
  return [HOUR / 12, HOUR / 4, HOUR, 6 * HOUR].find((span) => knownMs <= span) ?? 24 * HOUR;
}
