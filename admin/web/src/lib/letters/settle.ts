import { discardLetters, replayLetters, type LetterFilter } from '$lib/api/calls';
import { maySend } from '$lib/kiosks/commands';
import type { Role } from '$lib/api/types';

/** Whether a role may replay and discard: operators, as with commands that are not named otherwise. */
export const maySettle = (role: Role | undefined) => maySend(role, 'settle dead letters');

export type Deed = 'replay' | 'discard';

export interface Settled {
  done: number;
  /** Of a replay: what would be refused again. */
  refused: number;
}

/** Replays or discards all of a filter, share by share; progress hears of each. Throws ApiError. */
export async function settleMany(
  deed: Deed, filter: LetterFilter, through: string, progress: (settled: Settled) => void,
): Promise<Settled> {
  const sum: Settled = { done: 0, refused: 0 };
  let cursor: string | undefined;
  for (;;) {
    let more: boolean;
    if (deed === 'replay') {
      const share = await replayLetters(filter, through, cursor);
      sum.done += share.replayed;
      sum.refused += share.refused;
      cursor = share.next_cursor;
      more = cursor !== undefined;
    } else {
      const { discarded } = await discardLetters(filter, through);
      sum.done += discarded;
      more = discarded > 0;
    }
    progress({ ...sum });
    if (!more) return sum;
  }
}
