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
