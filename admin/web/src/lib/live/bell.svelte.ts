import { summariseAlerts } from '$lib/api/alerts';
import { Asked } from './asked.svelte';
import { fleet } from './fleet.svelte';

/** A storm of alerts asks once for all of them. */
const GATHER_MS = 500;

/** How many alerts stand open, asked for anew whenever one changes. */
export const bell = new Asked(summariseAlerts, { visible: 60_000, hidden: 120_000 }, (ask) => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const soon = () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      ask();
    }, GATHER_MS);
  };
  const stops = [fleet.onAlert(soon), fleet.onMissed(soon)];
  return () => {
    clearTimeout(timer);
    for (const stop of stops) stop();
  };
});
