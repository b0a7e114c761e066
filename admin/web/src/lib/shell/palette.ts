import type { Kiosk } from '$lib/api/types';
import { bySeverity } from '$lib/kiosks/order';
import { matchesQuery } from '$lib/kiosks/view';

/** More would not be read; typing on is faster. */
const MAX_KIOSKS = 12;

/** The kiosks to offer for what was typed: serials that begin so first, then the worst. */
export function findKiosks(kiosks: Kiosk[], typed: string): Kiosk[] {
  const start = typed.trim().toLowerCase();
  const begins = (kiosk: Kiosk) => Number(!kiosk.serial.toLowerCase().startsWith(start));
  return kiosks
    .filter((kiosk) => matchesQuery(kiosk, typed))
    .sort((a, b) => begins(a) - begins(b) || bySeverity(a, b))
    .slice(0, MAX_KIOSKS);
}
