import type { Kiosk, Verdict } from '$lib/api/types';
import { type Sort, WORST_FIRST } from './order';
import { VERDICTS } from './verdict';

/** What the fleet page shows: exactly what the address bar holds. */
export interface FleetView {
  verdict: Verdict | undefined;
  site: string | undefined;
  query: string;
  sort: Sort;
}

export function parseView(params: URLSearchParams): FleetView {
  const verdict = VERDICTS.find((v) => v === params.get('verdict'));
  const sort = params.get('sort');
  return {
    verdict,
    site: params.get('site') ?? undefined,
    query: params.get('q') ?? '',
    sort: sort ? { by: sort.replace(/^-/, ''), descending: sort.startsWith('-') } : WORST_FIRST,
  };
}

/** The sort as the address bar holds it; the usual order needs no mention. */
export function formatSort(sort: Sort): string | undefined {
  if (sort.by === WORST_FIRST.by && !sort.descending) return undefined;
  return (sort.descending ? '-' : '') + sort.by;
}

/** Whether a kiosk belongs to the site and matches the words searched for. */
export function matches(kiosk: Kiosk, view: Pick<FleetView, 'site' | 'query'>): boolean {
  if (view.site !== undefined && kiosk.site !== view.site) return false;
  return matchesQuery(kiosk, view.query);
}

/** Every word must be part of the serial, site, model or a tag; case does not matter. */
export function matchesQuery(kiosk: Kiosk, query: string): boolean {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const haystack = [kiosk.serial, kiosk.site, kiosk.model, ...kiosk.tags].join('\n').toLowerCase();
  return words.every((word) => haystack.includes(word));
}

/** The sites of these kiosks with their numbers, by name. */
export function sitesOf(kiosks: Kiosk[]): { name: string; kiosks: number }[] {
  const counts = new Map<string, number>();
  for (const { site } of kiosks) counts.set(site, (counts.get(site) ?? 0) + 1);
  return [...counts].map(([name, n]) => ({ name, kiosks: n })).sort((a, b) => (a.name < b.name ? -1 : 1));
}
