import type { Verdict } from '$lib/api/types';
import { type Tone, tone } from '$lib/kiosks/verdict';
import { SHAPES } from '$lib/ui/shapes';

// A browser's tab may be light or dark whatever the page's theme is; these stand out on both.
const COLOURS: Record<Tone, string> = { ok: '#2fa36b', warn: '#d9942a', bad: '#e5484d', unknown: '#8b94a5' };

/** The favicon with the worst verdict as its badge, as the address of a picture. */
export function faviconHref(worst: Verdict | undefined): string {
  if (!worst || worst === 'can_serve') return '/favicon.svg';
  const colour = COLOURS[tone(worst)];
  const badge = SHAPES[tone(worst)]
    .map(({ d, fill }) => (fill ? `<path d="${d}" fill="${colour}"/>` : `<path d="${d}" fill="none" stroke="${colour}" stroke-width="2.5"/>`))
    .join('');
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
    <rect x="4" y="2" width="20" height="20" rx="4" fill="#7ea6ff"/>
    <rect x="8" y="6" width="12" height="9" rx="1.5" fill="#0e1014"/>
    <path d="M14 22v5M9 28h8" stroke="#7ea6ff" stroke-width="3" stroke-linecap="round"/>
    <g transform="translate(14 14) scale(1.125)"><circle cx="8" cy="8" r="8" fill="#fff"/>${badge}</g></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
