import type { Command, CommandStatus, Kiosk, Role } from '$lib/api/types';

const ROLES: Role[] = ['viewer', 'technician', 'operator', 'admin'];
const TECHNICIAN_COMMANDS = ['ping', 'restart', 'maintenance'];

/** Whether a role may send a command. The server decides; this only hides what it would refuse. */
export function maySend(role: Role | undefined, command: string): boolean {
  if (!role) return false;
  if (ROLES.indexOf(role) >= ROLES.indexOf('operator')) return true;
  return role === 'technician' && TECHNICIAN_COMMANDS.includes(command);
}

const RANKS: Record<CommandStatus, number> = {
  queued: 0, sent: 1, received: 2, running: 3,
  succeeded: 4, failed: 4, rejected: 4, expired: 4,
  verified: 5, unverified: 5,
};

const FAILURES: CommandStatus[] = ['failed', 'rejected', 'expired', 'unverified'];

export const isFailure = (status: CommandStatus) => FAILURES.includes(status);

/** Commands whose effect the platform proves by what the kiosk reports afterwards; a ping is its own proof. */
const isVerifiable = (command: Command) => command.name !== 'ping';

/** Whether more rungs may come. */
export function isMoving(command: Command): boolean {
  const rank = RANKS[command.status];
  return rank < 4 || (command.status === 'succeeded' && isVerifiable(command));
}

export interface Rung {
  status: CommandStatus;
  state: 'reached' | 'current' | 'ahead' | 'failed' | 'skipped';
  time: string | undefined;
  note: string | undefined;
}

const CLIMB: CommandStatus[] = ['queued', 'sent', 'received', 'running', 'succeeded', 'verified'];

/**
 * The ladder of one command, lowest rung first: what it reached, where it stands, what lies ahead.
 * A failure takes the place of the rung it prevented, and nothing lies ahead of it.
 */
export function ladder(command: Command): Rung[] {
  const steps = new Map(command.steps.map((step) => [step.status, step]));
  const standing = RANKS[command.status];
  const rungs: Rung[] = [];
  for (const planned of isVerifiable(command) ? CLIMB : CLIMB.slice(0, 5)) {
    const rank = RANKS[planned];
    // The last of a rung counts: a kiosk that was cut off may prove what had expired here.
    const actual = [...steps.keys()].findLast((status) => RANKS[status] === rank) ?? planned;
    const step = steps.get(actual);
    let state: Rung['state'] = 'ahead';
    if (isFailure(actual) && step) state = 'failed';
    else if (rank === standing && isMoving(command)) state = 'current';
    else if (step) state = 'reached';
    else if (rank < standing) state = 'skipped';
    rungs.push({ status: actual, state, time: step?.time, note: step?.note });
    if (state === 'failed') break;
  }
  return rungs;
}

/** Puts a command into a list, newest first. An event that was overtaken does not take rungs away. */
export function mergeCommand(list: Command[], command: Command): Command[] {
  const held = list.find((c) => c.id === command.id);
  if (held && held.steps.length > command.steps.length) return list;
  const rest = list.filter((c) => c.id !== command.id);
  return [command, ...rest].sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
}

/** The state the kiosk itself last reported; the platform's offline and stale hide it in `status`. */
export function reportedState(kiosk: Kiosk): string {
  const own = !['offline', 'stale', 'unknown'].includes(kiosk.status);
  return own ? kiosk.status : (kiosk.last_reading?.status ?? kiosk.status);
}
