import type { Kiosk } from '$lib/api/types';
import { numberAt } from './metrics';
import { severity } from './verdict';

/** What a list can be sorted by: severity is worst first, `-name` is a column downwards. */
export interface Sort {
  by: string;
  descending: boolean;
}

export const WORST_FIRST: Sort = { by: 'severity', descending: false };

type Comparison = (a: Kiosk, b: Kiosk) => number;

const text = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const time = (value: string | undefined, missing: number) => (value ? Date.parse(value) : missing);

/** Worst first; among equals the one that has been so for longest, then by serial. */
export const bySeverity: Comparison = (a, b) =>
  severity(a.verdict) - severity(b.verdict) ||
  time(a.verdict_since, 0) - time(b.verdict_since, 0) ||
  text(a.serial, b.serial);

const COMPARISONS: Record<string, Comparison> = {
  severity: bySeverity,
  serial: (a, b) => text(a.serial, b.serial),
  site: (a, b) => text(a.site, b.site),
  model: (a, b) => text(a.model, b.model),
  presence: (a, b) => text(a.presence, b.presence),
  version: (a, b) => text(a.agent_version ?? '', b.agent_version ?? ''),
  reading: (a, b) => time(b.last_reading?.timestamp, 0) - time(a.last_reading?.timestamp, 0),
};

/** Returns the kiosks in order; those without the value asked for come last either way. */
export function sortKiosks(kiosks: Kiosk[], sort: Sort): Kiosk[] {
  const known = COMPARISONS[sort.by];
  const sign = sort.descending ? -1 : 1;
  if (known) return [...kiosks].sort((a, b) => sign * known(a, b) || bySeverity(a, b));
  const values = new Map(kiosks.map((kiosk) => [kiosk, numberAt(kiosk.last_reading, sort.by)]));
  return [...kiosks].sort((a, b) => {
    const [x, y] = [values.get(a), values.get(b)];
    if (x === undefined || y === undefined) {
      return Number(x === undefined) - Number(y === undefined) || bySeverity(a, b);
    }
    return sign * (x - y) || bySeverity(a, b);
  });
}
