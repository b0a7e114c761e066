import { getIntake } from '$lib/api/calls';
import { Asked } from './asked.svelte';

/** How the journal and its consumers do. */
export const intake = new Asked(getIntake, { visible: 5_000, hidden: 10_000 });
