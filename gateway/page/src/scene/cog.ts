/**
 * A Cloud-Optimized GeoTIFF as map tiles, read by range requests.
 *
 * OpenLayers' own GeoTIFF source draws with WebGL alone, which remote desktops and locked-down machines lack;
 * here its file reader is used and tiles are canvases, which every browser draws.
 */

import { fromUrl, type GeoTIFF, type GeoTIFFImage } from "geotiff";
import ImageTile from "ol/source/ImageTile";
import TileGrid from "ol/tilegrid/TileGrid";
import type Projection from "ol/proj/Projection";

import { paint } from "../maps/probability";
import { definitionOf } from "./georeference";

const TILE = 256;
const KEPT_TILES = 200;

export interface Cog {
  width: number;
  height: number;
  /** a, b, c, d, e, f; null where the file has no georeference. */
  transform: number[] | null;
  /** For proj4; null where it is not known here. */
  definition: string | null;
  /** Coarsest first. */
  levels: GeoTIFFImage[];
}

type Bands = ArrayLike<number>;

export async function openCog(href: string, headers: Record<string, string>): Promise<Cog> {
  const file: GeoTIFF = await fromUrl(href, { headers, allowFullFile: false });
  const count = await file.getImageCount();
  const images = await Promise.all(Array.from({ length: count }, (_, at) => file.getImage(at)));
  const full = images[0];
  if (!full) throw new Error(`${href} holds no image`);
  // Masks are images of the file too.
  const levels = images.filter((image) => ((image.fileDirectory.getValue("NewSubfileType") ?? 0) & 4) === 0);
  return {
    width: full.getWidth(),
    height: full.getHeight(),
    transform: transformOf(full),
    definition: definitionOf(epsgOf(full)),
    levels: levels.sort((a, b) => a.getWidth() - b.getWidth()),
  };
}

/** Tiles of an 8-bit colour file. */
export function pictureTiles(cog: Cog, projection: Projection): ImageTile {
  return tiles(cog, projection, async (level, window) => {
    const rgb = (await level.readRGB({ window, interleave: true })) as unknown as Bands;
    return (pixels) => {
      for (let at = 0; at < pixels.length / 4; at++) {
        pixels[at * 4] = rgb[at * 3] ?? 0;
        pixels[at * 4 + 1] = rgb[at * 3 + 1] ?? 0;
        pixels[at * 4 + 2] = rgb[at * 3 + 2] ?? 0;
        pixels[at * 4 + 3] = 255;
      }
    };
  });
}

/** Tiles of a file of probabilities, coloured by the threshold at the time. */
export class ProbabilityTiles {
  readonly source: ImageTile;
  #threshold: number;
  // What was read is kept, so that another threshold reads nothing.
  readonly #read = new Map<string, Promise<Float32Array>>();

  constructor(cog: Cog, projection: Projection, threshold: number) {
    this.#threshold = threshold;
    this.source = tiles(cog, projection, async (level, window) => {
      const values = await this.#values(level, window);
      return (pixels) => paint(values, this.#threshold, pixels);
    });
  }

  set threshold(value: number) {
    if (value === this.#threshold) return;
    this.#threshold = value;
    this.source.refresh();
  }

  #values(level: GeoTIFFImage, window: number[]): Promise<Float32Array> {
    const key = `${level.getWidth()}:${window.join()}`;
    const known = this.#read.get(key);
    if (known) return known;
    const reading = probabilities(level, window);
    this.#read.set(key, reading);
    const oldest = this.#read.keys().next().value;
    if (this.#read.size > KEPT_TILES && oldest !== undefined) this.#read.delete(oldest);
    return reading;
  }
}

/** Integers count their whole range as 0 to 1; what is no number is no change. */
export function asProbability(values: ArrayLike<number>, largest: number, nodata: number | null): Float32Array {
  return Float32Array.from({ length: values.length }, (_, at) => {
    const value = values[at] ?? 0;
    return Number.isFinite(value) && value !== nodata ? value / largest : 0;
  });
}

async function probabilities(level: GeoTIFFImage, window: number[]): Promise<Float32Array> {
  const values = (await level.readRasters({ window, samples: [0], interleave: true })) as unknown as Bands;
  const largest = values instanceof Uint8Array ? 255 : values instanceof Uint16Array ? 65535 : 1;
  return asProbability(values, largest, level.getGDALNoData());
}

type Read = (level: GeoTIFFImage, window: number[]) => Promise<(pixels: Uint8ClampedArray) => void>;

function tiles(cog: Cog, projection: Projection, read: Read): ImageTile {
  const { width, height, levels } = cog;
  const resolutions = levels.map((level) => width / level.getWidth());
  const tileGrid = new TileGrid({ extent: [0, 0, width, height], origin: [0, height], resolutions, tileSize: TILE });
  return new ImageTile({
    projection,
    tileGrid,
    wrapX: false,
    interpolate: false,
    transition: 0,
    loader: async (z, x, y) => {
      const level = levels[z];
      if (!level) throw new Error("there is no such level");
      const right = Math.min((x + 1) * TILE, level.getWidth());
      const lower = Math.min((y + 1) * TILE, level.getHeight());
      const window = [x * TILE, y * TILE, right, lower];
      const [columns, rows] = [right - x * TILE, lower - y * TILE];
      const canvas = document.createElement("canvas");
      // The tiles at the right and lower edge are only partly covered.
      canvas.width = canvas.height = TILE;
      const context = canvas.getContext("2d");
      if (!context) throw new Error("this browser gives no canvas");
      const image = new ImageData(columns, rows);
      (await read(level, window))(image.data);
      context.putImageData(image, 0, 0);
      return canvas;
    },
  });
}

function transformOf(image: GeoTIFFImage): number[] | null {
  try {
    const [c = 0, f = 0] = image.getOrigin();
    const [a = 1, e = -1] = image.getResolution();
    return [a, 0, c, 0, e, f];
  } catch {
    return null;
  }
}

function epsgOf(image: GeoTIFFImage): number {
  const keys = image.getGeoKeys() as { ProjectedCSTypeGeoKey?: number; GeographicTypeGeoKey?: number } | null;
  return keys?.ProjectedCSTypeGeoKey ?? keys?.GeographicTypeGeoKey ?? 0;
}
