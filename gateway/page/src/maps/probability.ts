/** A map of probabilities in the browser: thresholded and coloured here, so that the sliders act at once. */

import type { Tensor } from "../api/types";

export type Colour = readonly [red: number, green: number, blue: number];

/** Stands out from vegetation, soil, water and roofs, also to readers who see red and green alike. */
export const CHANGED: Colour = [229, 0, 125];

export interface ProbabilityMap {
  width: number;
  height: number;
  /** Row by row, each in [0, 1]. */
  values: Float32Array;
}

/** The map that a tensor of the wire holds. */
export function mapOf(tensor: Tensor): ProbabilityMap {
  const [height, width] = tensor.shape;
  const bytes = Uint8Array.from(atob(tensor.data), (character) => character.charCodeAt(0));
  if (tensor.dtype !== "float32" || bytes.length !== height * width * 4) {
    throw new Error("the probability map cannot be read");
  }
  const view = new DataView(bytes.buffer);
  // Little-endian on the wire, whatever this machine is.
  const values = Float32Array.from({ length: height * width }, (_, at) => view.getFloat32(at * 4, true));
  return { width, height, values };
}

/** Opaque colour where the probability reaches the threshold, more solid where it is higher. */
export function paint(
  values: ArrayLike<number>,
  threshold: number,
  pixels: Uint8ClampedArray,
  colour: Colour = CHANGED,
): void {
  for (let at = 0; at < values.length; at++) {
    const probability = values[at] ?? 0;
    const to = at * 4;
    pixels[to] = colour[0];
    pixels[to + 1] = colour[1];
    pixels[to + 2] = colour[2];
    pixels[to + 3] = probability >= threshold ? 150 + 105 * Math.min(probability, 1) : 0;
  }
}

/** Changed part of the area, in [0, 1]. */
export function changedFraction(map: ProbabilityMap, threshold: number): number {
  let count = 0;
  for (const value of map.values) if (value >= threshold) count++;
  return map.values.length ? count / map.values.length : 0;
}

/** A gray picture of the map: 0 to 255 for 0 to 1; or, with a threshold, 0 or 255. */
export function grayPixels(map: ProbabilityMap, threshold?: number): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(map.values.length * 4);
  map.values.forEach((value, at) => {
    const gray = threshold === undefined ? Math.round(value * 255) : value >= threshold ? 255 : 0;
    pixels.set([gray, gray, gray, 255], at * 4);
  });
  return pixels;
}
