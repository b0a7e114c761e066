import type { Metric, Reason } from '$lib/api/types';
import { humanise, splitName } from '$lib/kiosks/metrics';
import { prefs } from '$lib/state/prefs.svelte';
import type { Language, Messages } from './catalogue';
import { en } from './en';
import { es } from './es';

const CATALOGUES: Record<Language, Messages> = { en, es };

/** The texts in the chosen language; read it as `i18n.t.fleet.title`. */
class I18n {
  t = $derived(CATALOGUES[prefs.language]);
  /** For numbers and dates: the browser's own variant of the language where it has one. */
  locale = $derived(navigator.languages.find((tag) => tag.startsWith(prefs.language)) ?? prefs.language);

  /** A reason in words; one that this page does not know yet in the server's English. */
  reason(reason: Reason): string {
    return this.t.reason[reason.code] ?? reason.text;
  }

  /** A state or other word of the protocol. */
  word(word: string): string {
    return this.t.status[word] ?? word.replaceAll('_', ' ');
  }

  /** A length of windows or ranges as the API writes it, such as 5m or 1y, with the unit as people write it. */
  step(text: string): string {
    const [, n = '', unit = ''] = /^(\d+)(\w+)$/.exec(text) ?? [];
    return `${n} ${this.t.unit[unit] ?? unit}`;
  }

  metric(metric: Pick<Metric, 'name'>): string {
    return this.t.metric[metric.name] ?? humanise(splitName(metric.name).field);
  }
}

export const i18n = new I18n();
