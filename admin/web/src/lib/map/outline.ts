import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import type { Position } from 'geojson';
import atlasUrl from 'world-atlas/countries-50m.json?url';
import { project } from './geo';

/** Land, coasts and borders as paths in the Mercator plane, to be drawn scaled. */
export interface Outline {
  land: Path2D;
  coasts: Path2D;
  borders: Path2D;
}

let outline: Promise<Outline> | undefined;

/** Loads the bundled outline of the world (Natural Earth, 1:50 million) once, when a map is first shown. */
export function loadOutline(): Promise<Outline> {
  outline ??= build();
  return outline;
}

async function build(): Promise<Outline> {
  const response = await fetch(atlasUrl);
  const atlas = (await response.json()) as Topology<{ countries: GeometryCollection; land: GeometryCollection }>;
  const { countries, land } = atlas.objects;
  const shapes = feature(atlas, land);
  const rings = shapes.features.flatMap(({ geometry }) =>
    geometry.type === 'MultiPolygon' ? geometry.coordinates.flat() : geometry.type === 'Polygon' ? geometry.coordinates : [],
  );
  return {
    land: toPath(rings),
    coasts: toPath(mesh(atlas, countries, (a, b) => a === b).coordinates),
    borders: toPath(mesh(atlas, countries, (a, b) => a !== b).coordinates),
  };
}

function toPath(lines: Position[][]): Path2D {
  const path = new Path2D();
  for (const line of lines) {
    let before: number | undefined;
    for (const [lng = 0, lat = 0] of line) {
      const { x, y } = project({ lat, lng });
      // Where a line leaves the map at 180° it comes back on the other side, not across the world.
      if (before === undefined || Math.abs(lng - before) > 180) path.moveTo(x, y);
      else path.lineTo(x, y);
      before = lng;
    }
  }
  return path;
}
