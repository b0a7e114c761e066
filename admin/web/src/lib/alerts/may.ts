import type { Role } from '$lib/api/types';
import { maySend } from '$lib/kiosks/commands';

/** Whether a role may deal with alerts and change rules. The server decides; this only hides what it would refuse. */
export const mayDeal = (role: Role | undefined) => maySend(role, 'deal with alerts');
