/**
 * Longitude and latitude as pixels of a scene, to lay its polygons over its views.
 *
 * Knows WGS 84, Web Mercator and UTM by their EPSG numbers, and other systems by the WKT that the scene's item
 * holds. Where that is not enough, polygons are not drawn: in a wrong place they would be worse than none.
 */

import proj4 from "proj4";

export type ToPixel = (longitude: number, latitude: number) => [x: number, y: number];

export interface SceneGrid {
  width: number;
  height: number;
  /** x = a·column + b·row + c; y = d·column + e·row + f. */
  transform: readonly number[];
}

/** Of an EPSG number; null where it is none of those known here. */
export function definitionOf(epsg: number): string | null {
  if (epsg === 4326) return "+proj=longlat +datum=WGS84 +no_defs";
  if (epsg === 3857) return "+proj=merc +a=6378137 +b=6378137 +lon_0=0 +k=1 +units=m +no_defs";
  const zone = epsg % 100;
  const hemisphere = Math.floor(epsg / 100);
  if ((hemisphere === 326 || hemisphere === 327) && zone >= 1 && zone <= 60) {
    return `+proj=utm +zone=${zone} ${hemisphere === 327 ? "+south " : ""}+datum=WGS84 +units=m +no_defs`;
  }
  return null;
}

/** By the coordinate reference system: PROJ's words, or WKT. */
export function byProjection(definition: string, grid: SceneGrid): ToPixel {
  const project = proj4(definition);
  const [a = 1, b = 0, c = 0, d = 0, e = 1, f = 0] = grid.transform;
  const determinant = a * e - b * d;
  return (longitude, latitude) => {
    const [x, y] = project.forward([longitude, latitude]) as [number, number];
    return [(e * (x - c) - b * (y - f)) / determinant, (a * (y - f) - d * (x - c)) / determinant];
  };
}
