import { severity } from '$lib/kiosks/verdict';
import type { Cluster } from './cluster';

/** On which side of its marker a name stands. */
export type Side = 'left' | 'right';

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const MARKER_PX = 24;
const DIGIT_PX = 8;
/** Mean width of a letter at the size of the names; they are only estimated, measuring would cost a layout. */
const LETTER_PX = 6.2;
const GAP_PX = 5;
const LINE_PX = 14;

const overlap = (a: Box, b: Box) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/**
 * Chooses which markers get their names, by index, and on which side: the worst and largest first,
 * and none that would cover a marker, another name or the edge.
 */
export function placeNames(clusters: Cluster[], names: string[], width: number): (Side | undefined)[] {
  const markers = clusters.map(({ x, y, members }): Box => {
    const half = (MARKER_PX + (members.length > 1 ? String(members.length).length * DIGIT_PX : 0)) / 2;
    return { left: x - half, right: x + half, top: y - MARKER_PX / 2, bottom: y + MARKER_PX / 2 };
  });
  const taken = [...markers];
  const sides: (Side | undefined)[] = clusters.map(() => undefined);
  const order = clusters
    .map((_, i) => i)
    .sort((a, b) => severity(clusters[a]!.worst) - severity(clusters[b]!.worst) || clusters[b]!.members.length - clusters[a]!.members.length);
  for (const i of order) {
    const [marker, name, y] = [markers[i]!, names[i], clusters[i]!.y];
    if (!name) continue;
    const length = name.length * LETTER_PX;
    const lines = { top: y - LINE_PX / 2, bottom: y + LINE_PX / 2 };
    const candidates: [Side, Box][] = [
      ['right', { left: marker.right + GAP_PX, right: marker.right + GAP_PX + length, ...lines }],
      ['left', { left: marker.left - GAP_PX - length, right: marker.left - GAP_PX, ...lines }],
    ];
    const free = candidates.find(([, box]) => box.left >= 0 && box.right <= width && !taken.some((other) => overlap(box, other)));
    if (!free) continue;
    sides[i] = free[0];
    taken.push(free[1]);
  }
  return sides;
}
