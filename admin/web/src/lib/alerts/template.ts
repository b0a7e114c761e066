import type { Kiosk } from '$lib/api/types';
import { numberAt, textAt } from '$lib/kiosks/metrics';

/** The value of a metric of a kiosk as it last said; undefined when it does not have it. */
export const valueNow = (kiosk: Kiosk | undefined, name: string): number | undefined => numberAt(kiosk?.last_reading, name);

const WORDS: Record<string, (kiosk: Kiosk) => string> = {
  'kiosk.serial': (kiosk) => kiosk.serial,
  'kiosk.site': (kiosk) => kiosk.site,
  'kiosk.model': (kiosk) => kiosk.model,
  presence: (kiosk) => kiosk.presence,
  presence_reason: (kiosk) => kiosk.presence_reason,
  verdict: (kiosk) => kiosk.verdict,
  status: (kiosk) => kiosk.status,
};

/**
 * The text of an alert as a kiosk would have it now, roughly: names become values with their unit, and what only
 * the server can work out stays as a name. {{ and }} are braces.
 */
export function previewText(text: string, kiosk: Kiosk | undefined, unit: (metric: string) => string): string {
  return text.replace(/\{\{|\}\}|\{([^{}]*)\}/g, (whole, inside: string | undefined) => {
    if (inside === undefined) return whole.charAt(0);
    const [expression = '', digits] = inside.split('|').map((part) => part.trim());
    const number = valueNow(kiosk, expression);
    if (number !== undefined) {
      const shown = digits === undefined ? String(Math.round(number * 10) / 10) : number.toFixed(Math.min(10, Number.parseInt(digits, 10) || 0));
      return unit(expression) ? `${shown} ${unit(expression)}` : shown;
    }
    const word = kiosk && (textAt(kiosk.last_reading, expression) ?? WORDS[expression]?.(kiosk));
    return word ?? `‹${expression}›`;
  });
}
