import type { Tone } from '$lib/kiosks/verdict';

interface Part {
  d: string;
  fill: boolean;
}

const circle = (r: number) => `M8 ${8 - r}a${r} ${r} 0 1 1 0 ${2 * r}a${r} ${r} 0 1 1 0 ${-2 * r}z`;

/**
 * The shapes of the four verdicts in a 16 × 16 box, shared by list, map, chart and favicon. They
 * differ in outline, so that nobody needs to see their colours.
 */
export const SHAPES: Record<Tone, Part[]> = {
  ok: [{ d: circle(6), fill: true }],
  warn: [
    { d: circle(5.25), fill: false },
    { d: 'M8 2.75a5.25 5.25 0 0 0 0 10.5z', fill: true },
  ],
  bad: [
    {
      // A square with the cross left open: lines of 1.75 with round corners would blur at 14 px.
      d: 'M4 1.5h8A2.5 2.5 0 0 1 14.5 4v8a2.5 2.5 0 0 1-2.5 2.5H4A2.5 2.5 0 0 1 1.5 12V4A2.5 2.5 0 0 1 4 1.5z'
        + 'M8 6.9 6 4.9 4.9 6l2 2-2 2L6 11.1l2-2 2 2 1.1-1.1-2-2 2-2L10 4.9z',
      fill: true,
    },
  ],
  unknown: [{ d: circle(5.25), fill: false }],
};
