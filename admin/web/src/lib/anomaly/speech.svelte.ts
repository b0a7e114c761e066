import { formatValue } from '$lib/format/number';
import { i18n } from '$lib/i18n/i18n.svelte';
import { catalogue } from '$lib/live/catalogue.svelte';
import { prefs } from '$lib/state/prefs.svelte';
import type { Speech } from './words';

/** How this page speaks of anomalies now. */
export function speech(): Speech {
  return {
    t: i18n.t,
    english: prefs.language === 'en',
    metric: (name) => i18n.metric({ name }),
    value: (value, metric) => `${formatValue(value, i18n.locale)} ${catalogue.get(metric).unit}`.trim(),
  };
}
