import type { Kiosk, Verdict } from '$lib/api/types';

/** Worst first, as every list shows them. */
export const VERDICTS: Verdict[] = ['cannot_serve', 'degraded', 'unknown', 'can_serve'];

const SEVERITY = new Map(VERDICTS.map((verdict, index) => [verdict, index]));

/** 0 is the worst. A verdict from a newer server sorts last. */
export const severity = (verdict: Verdict) => SEVERITY.get(verdict) ?? VERDICTS.length;

/** The short names that CSS classes and tokens use. */
export const TONES = { cannot_serve: 'bad', degraded: 'warn', unknown: 'unknown', can_serve: 'ok' } as const;
export type Tone = (typeof TONES)[Verdict];

export const tone = (verdict: Verdict): Tone => TONES[verdict] ?? 'unknown';

/** How many kiosks have each verdict. */
export function countVerdicts(kiosks: Iterable<Kiosk>): Record<Verdict, number> {
  const counts: Record<Verdict, number> = { cannot_serve: 0, degraded: 0, unknown: 0, can_serve: 0 };
  for (const kiosk of kiosks) counts[kiosk.verdict]++;
  return counts;
}

/** The worst verdict among the counted; an empty fleet has none. */
export function worstOf(counts: Record<Verdict, number>): Verdict | undefined {
  return VERDICTS.find((verdict) => counts[verdict] > 0);
}
