import type { Role } from '$lib/api/types';

const ROLES: Role[] = ['viewer', 'technician', 'operator', 'admin'];
const atLeast = (role: Role | undefined, least: Role) => role !== undefined && ROLES.indexOf(role) >= ROLES.indexOf(least);

// The server decides; these only hide what it would refuse.

/** Whether a role may acknowledge, assign, snooze and comment. */
export const mayCare = (role: Role | undefined) => atLeast(role, 'technician');

/** Whether a role may resolve by hand, silence, plan maintenance, try rules over history and send messages again. */
export const mayOperate = (role: Role | undefined) => atLeast(role, 'operator');

/** Whether a role may change rules, targets and routes. */
export const mayAdminister = (role: Role | undefined) => atLeast(role, 'admin');
