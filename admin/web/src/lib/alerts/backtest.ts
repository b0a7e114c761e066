import type { BacktestAnswer } from '$lib/api/types';

/** How often a rule would have fired for one kiosk. */
export interface KioskCount {
  serial: string;
  times: number;
  /** When it first would have opened. */
  first: string;
}

/** By kiosk, most often first. */
export function perKiosk(answer: BacktestAnswer): KioskCount[] {
  const counts = new Map<string, KioskCount>();
  for (const { serial, opened_at: first } of answer.alerts) {
    const count = counts.get(serial);
    if (count) count.times++;
    else counts.set(serial, { serial, times: 1, first });
  }
  return [...counts.values()].sort((a, b) => b.times - a.times || (a.serial < b.serial ? -1 : 1));
}
