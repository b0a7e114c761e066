import type { AlertSummary } from '$lib/api/types';

/** How many there are of all severities. */
export const total = (counts: AlertSummary['open']): number => counts.critical + counts.warning + counts.info;
