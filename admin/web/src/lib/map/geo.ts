import type { Location } from '$lib/api/types';

/** A point of the Mercator plane, both axes 0..1 over the world, y growing southwards. */
export interface MapPoint {
  x: number;
  y: number;
}

/** What part of the plane a picture shows: its centre, and pixels for the width of the world. */
export interface Viewport {
  center: MapPoint;
  scale: number;
  width: number;
  height: number;
}

const EARTH_RADIUS_M = 6_371_008.8; // IUGG mean radius
const EQUATOR_M = 40_075_016.7; // WGS 84
/** Mercator grows without bound towards the poles; the usual cut makes the world a square. */
const MAX_LATITUDE = 85.0511;

export function project({ lat, lng }: Location): MapPoint {
  const phi = (Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, lat)) * Math.PI) / 180;
  return { x: lng / 360 + 0.5, y: 0.5 - Math.log(Math.tan(Math.PI / 4 + phi / 2)) / (2 * Math.PI) };
}

export function unproject({ x, y }: MapPoint): Location {
  return { lng: (x - 0.5) * 360, lat: (Math.atan(Math.sinh((0.5 - y) * 2 * Math.PI)) * 180) / Math.PI };
}

export const toPixels = (p: MapPoint, v: Viewport) => ({
  x: (p.x - v.center.x) * v.scale + v.width / 2,
  y: (p.y - v.center.y) * v.scale + v.height / 2,
});

/** Metres that one pixel covers at the centre of a picture. */
export function metresPerPixel(v: Viewport): number {
  const { lat } = unproject(v.center);
  return (EQUATOR_M * Math.cos((lat * Math.PI) / 180)) / v.scale;
}

/** Pixels for the width of the world beyond which a kiosk's surroundings say nothing more. */
export const MAX_SCALE = 2 ** 26;

/** The part of the plane that holds all points with a margin in pixels; at least minSpanMetres wide. */
export function fit(points: MapPoint[], width: number, height: number, margin: number, minSpanMetres = 20_000): Viewport {
  if (points.length === 0) return { center: { x: 0.5, y: 0.42 }, scale: width, width, height };
  const xs = points.map((p) => p.x);
  const ys = points.map((p) => p.y);
  const [left, right] = [xs.reduce((a, b) => Math.min(a, b)), xs.reduce((a, b) => Math.max(a, b))];
  const [top, bottom] = [ys.reduce((a, b) => Math.min(a, b)), ys.reduce((a, b) => Math.max(a, b))];
  const center = { x: (left + right) / 2, y: (top + bottom) / 2 };
  const minSpan = minSpanMetres / (EQUATOR_M * Math.cos((unproject(center).lat * Math.PI) / 180));
  const room = (pixels: number) => Math.max(pixels - 2 * margin, pixels / 4);
  const scale = Math.min(room(width) / Math.max(right - left, minSpan), room(height) / Math.max(bottom - top, minSpan));
  return { center, scale: Math.min(scale, MAX_SCALE), width, height };
}

/** Great-circle distance in metres (haversine). */
export function distance(a: Location, b: Location): number {
  const rad = Math.PI / 180;
  const h =
    Math.sin(((b.lat - a.lat) * rad) / 2) ** 2 +
    Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * Math.sin(((b.lng - a.lng) * rad) / 2) ** 2;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** The largest round length (1, 2 or 5 times a power of ten) that is at most this many metres. */
export function roundLength(metres: number): number {
  const power = 10 ** Math.floor(Math.log10(metres));
  return [5, 2, 1].map((n) => n * power).find((n) => n <= metres) ?? power;
}

/** Degrees between the lines of a graticule so that they lie about `wanted` pixels apart. */
export function graticuleStep(v: Viewport, wanted: number): number {
  const degrees = (wanted / v.scale) * 360;
  const steps = [45, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
  return steps.findLast((step) => step >= degrees) ?? 45;
}

/** How far b lies east and north of a, in metres; good for the neighbourhood of a kiosk. */
export function offset(a: Location, b: Location): { east: number; north: number } {
  const rad = Math.PI / 180;
  return {
    east: (b.lng - a.lng) * rad * EARTH_RADIUS_M * Math.cos(a.lat * rad),
    north: (b.lat - a.lat) * rad * EARTH_RADIUS_M,
  };
}
