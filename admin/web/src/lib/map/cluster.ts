import type { Kiosk, Verdict } from '$lib/api/types';
import { severity } from '$lib/kiosks/verdict';
import { type MapPoint, toPixels, type Viewport } from './geo';

export interface PlacedKiosk {
  kiosk: Kiosk;
  point: MapPoint;
}

/** Kiosks too close together to tell apart in a picture; x and y in pixels. */
export interface Cluster {
  x: number;
  y: number;
  members: PlacedKiosk[];
  worst: Verdict;
}

/**
 * Groups the kiosks inside the picture by cells of so many pixels. The cells hang on the world and
 * not on the picture, so that groups stay together while it is moved.
 */
export function cluster(placed: PlacedKiosk[], view: Viewport, cell: number): Cluster[] {
  const cells = new Map<string, { members: PlacedKiosk[]; x: number; y: number }>();
  for (const item of placed) {
    const { x, y } = toPixels(item.point, view);
    if (x < -cell || y < -cell || x > view.width + cell || y > view.height + cell) continue;
    const key = `${Math.floor((item.point.x * view.scale) / cell)}:${Math.floor((item.point.y * view.scale) / cell)}`;
    const held = cells.get(key);
    if (held) {
      held.members.push(item);
      held.x += x;
      held.y += y;
    } else {
      cells.set(key, { members: [item], x, y });
    }
  }
  const clusters = [...cells.values()].map(({ members, x, y }) => ({
    x: x / members.length,
    y: y / members.length,
    members,
    worst: members.map((m) => m.kiosk.verdict).reduce((a, b) => (severity(a) <= severity(b) ? a : b)),
  }));
  return joinNear(clusters, cell * 0.7);
}

/** Joins groups that a cell's border had separated although they touch. */
function joinNear(clusters: Cluster[], reach: number): Cluster[] {
  const joined: Cluster[] = [];
  for (const c of clusters) {
    const near = joined.find((other) => Math.hypot(other.x - c.x, other.y - c.y) < reach);
    if (!near) {
      joined.push(c);
      continue;
    }
    const [a, b] = [near.members.length, c.members.length];
    near.x = (near.x * a + c.x * b) / (a + b);
    near.y = (near.y * a + c.y * b) / (a + b);
    near.members.push(...c.members);
    if (severity(c.worst) < severity(near.worst)) near.worst = c.worst;
  }
  return joined;
}
