import type { AvailabilityAnswer } from '$lib/api/types';

export type AvailabilityRow = AvailabilityAnswer['items'][number];

/** One kiosk, site or the fleet over the periods of a report. */
export interface AvailabilityLine {
  name: string;
  kiosks: number;
  /** By the beginning of their period. */
  cells: Map<string, AvailabilityRow>;
  /** Of all periods together; undefined when nothing counts. */
  share: number | undefined;
  seconds: AvailabilityRow['seconds'];
  maintenanceSeconds: number;
}

/** What the periods of a row say together: seconds can be added up, shares cannot. */
function addUp(name: string, rows: AvailabilityRow[]): AvailabilityLine {
  const seconds = { can_serve: 0, degraded: 0, cannot_serve: 0, unknown: 0 };
  let maintenanceSeconds = 0;
  for (const row of rows) {
    for (const verdict of Object.keys(seconds) as (keyof typeof seconds)[]) seconds[verdict] += row.seconds[verdict];
    maintenanceSeconds += row.maintenance_seconds;
  }
  const all = seconds.can_serve + seconds.degraded + seconds.cannot_serve + seconds.unknown;
  return {
    name, seconds, maintenanceSeconds, kiosks: Math.max(0, ...rows.map((row) => row.kiosks)), cells: new Map(rows.map((row) => [row.from, row])),
    share: all > 0 ? (seconds.can_serve + seconds.degraded) / all : undefined,
  };
}

/** The report as a table: the periods, newest last, and a line for each name, the worst first. */
export function tabulate(items: AvailabilityRow[]): { periods: string[]; lines: AvailabilityLine[] } {
  const byName = new Map<string, AvailabilityRow[]>();
  for (const row of items) byName.set(row.name, [...(byName.get(row.name) ?? []), row]);
  const periods = [...new Set(items.map((row) => row.from))].sort((a, b) => Date.parse(a) - Date.parse(b));
  const lines = [...byName].map(([name, rows]) => addUp(name, rows));
  return { periods, lines: lines.sort((a, b) => (a.share ?? 2) - (b.share ?? 2) || (a.name < b.name ? -1 : 1)) };
}

/** A share as reports of service levels have it: two digits, and never 100 % while anything is missing. */
export function formatLevel(share: number | undefined, locale: string): string {
  if (share === undefined) return '–';
  const percent = share >= 1 ? 100 : Math.floor(share * 10_000) / 100;
  return `${new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(percent)} %`;
}
