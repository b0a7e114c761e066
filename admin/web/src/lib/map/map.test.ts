import { describe, expect, it } from 'vitest';
import { kiosk } from '$lib/testkit';
import { cluster } from './cluster';
import { placeNames } from './names';
import { distance, fit, graticuleStep, metresPerPixel, offset, project, roundLength, toPixels, unproject } from './geo';

const ezeiza = { lat: -34.815, lng: -58.5348 };
const aeroparque = { lat: -34.5592, lng: -58.4156 };
const madrid = { lat: 40.4722, lng: -3.5608 };

describe('projection', () => {
  it.each([ezeiza, madrid, { lat: 0, lng: 0 }, { lat: 85, lng: 179 }])('comes back from %o', (place) => {
    const back = unproject(project(place));
    expect(back.lat).toBeCloseTo(place.lat, 9);
    expect(back.lng).toBeCloseTo(place.lng, 9);
  });

  it('stays within the world at the poles', () => {
    expect(project({ lat: 90, lng: 0 }).y).toBeCloseTo(0, 5);
    expect(project({ lat: -90, lng: 0 }).y).toBeCloseTo(1, 5);
  });
});

describe('distance', () => {
  it('is the great circle', () => {
    // Ezeiza to Madrid-Barajas: about 10,070 km.
    expect(distance(ezeiza, madrid) / 1_000).toBeCloseTo(10_070, -2);
    expect(distance(ezeiza, ezeiza)).toBe(0);
  });

  it('agrees with the offset nearby', () => {
    const near = { lat: ezeiza.lat + 0.001, lng: ezeiza.lng - 0.002 };
    const { east, north } = offset(ezeiza, near);
    expect(Math.hypot(east, north)).toBeCloseTo(distance(ezeiza, near), 0);
    expect(east).toBeLessThan(0);
    expect(north).toBeGreaterThan(0);
  });
});

describe('fit', () => {
  it('holds all points inside the margin', () => {
    const points = [ezeiza, aeroparque, madrid].map(project);
    const view = fit(points, 400, 600, 40);
    for (const { x, y } of points.map((p) => toPixels(p, view))) {
      expect(x).toBeGreaterThanOrEqual(39.9);
      expect(x).toBeLessThanOrEqual(360.1);
      expect(y).toBeGreaterThanOrEqual(39.9);
      expect(y).toBeLessThanOrEqual(560.1);
    }
  });

  it('shows the surroundings of a single place, and the world for none', () => {
    const view = fit([project(ezeiza)], 400, 400, 40);
    expect(metresPerPixel(view) * 400).toBeGreaterThan(20_000);
    expect(fit([], 400, 400, 40).scale).toBe(400);
  });
});

describe('cluster', () => {
  const placed = [
    { kiosk: kiosk('a', { verdict: 'can_serve' }), point: project(ezeiza) },
    { kiosk: kiosk('b', { verdict: 'cannot_serve' }), point: project(aeroparque) },
    { kiosk: kiosk('c', { verdict: 'degraded' }), point: project(madrid) },
  ];

  it('joins neighbours under the worst of them', () => {
    const view = fit(placed.map((p) => p.point), 400, 600, 40);
    const groups = cluster(placed, view, 36).map((c) => [c.members.map((m) => m.kiosk.serial).sort().join(''), c.worst]);
    expect(groups).toEqual([['ab', 'cannot_serve'], ['c', 'degraded']]);
  });

  it('parts them when there is room, and leaves out what is elsewhere', () => {
    const view = fit(placed.slice(0, 2).map((p) => p.point), 400, 600, 40);
    expect(cluster(placed, view, 36).map((c) => c.members.length)).toEqual([1, 1]);
  });
});

describe('placeNames', () => {
  const at = (x: number, y: number, verdict: 'can_serve' | 'cannot_serve' = 'can_serve') => ({
    x, y, worst: verdict, members: [{ kiosk: kiosk('k', { verdict }), point: { x: 0, y: 0 } }],
  });

  it('puts names right, at the edge left, and never over a marker', () => {
    expect(placeNames([at(50, 50), at(280, 100)], ['Retiro', 'São Paulo'], 300)).toEqual(['right', 'left']);
    expect(placeNames([at(50, 50), at(90, 50)], ['A long name', 'B'], 300)).toEqual([undefined, 'right']);
  });

  it('gives the room to the worst', () => {
    expect(placeNames([at(14, 50), at(14, 60, 'cannot_serve')], ['Good', 'Bad'], 90)).toEqual([undefined, 'right']);
  });
});

describe('scales', () => {
  it.each([[1_234, 1_000], [999, 500], [260, 200], [5, 5]])('%d m of room: a bar of %d m', (metres, expected) => {
    expect(roundLength(metres)).toBe(expected);
  });

  it('draws a coarser graticule the more it shows', () => {
    const near = fit([project(ezeiza)], 400, 400, 40);
    const far = fit([ezeiza, madrid].map(project), 400, 400, 40);
    expect(graticuleStep(near, 110)).toBeLessThan(graticuleStep(far, 110));
  });
});
