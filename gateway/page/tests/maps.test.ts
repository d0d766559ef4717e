import { describe, expect, it } from "vitest";

import { changedFraction, grayPixels, mapOf, paint, type ProbabilityMap } from "../src/maps/probability";
import { placeAt } from "../src/maps/place";

function map(rows: number[][]): ProbabilityMap {
  return { width: rows[0]?.length ?? 0, height: rows.length, values: Float32Array.from(rows.flat()) };
}

const FIELD = map([
  [0.9, 0.8, 0.1, 0.0],
  [0.0, 0.7, 0.0, 0.6],
  [0.5, 0.0, 0.6, 0.0],
]);

describe("mapOf", () => {
  it("reads little-endian numbers row by row", () => {
    const bytes = new Uint8Array(new Float32Array([0, 0.25, 0.5, 1]).buffer);
    const data = btoa(String.fromCharCode(...bytes));
    const found = mapOf({ dtype: "float32", shape: [2, 2], data });
    expect([found.width, found.height, ...found.values]).toEqual([2, 2, 0, 0.25, 0.5, 1]);
  });

  it("refuses what has another length", () => {
    expect(() => mapOf({ dtype: "float32", shape: [2, 2], data: btoa("abcd") })).toThrow("cannot be read");
  });
});

describe("the threshold", () => {
  it("is reached by what equals it", () => {
    const pixels = new Uint8ClampedArray(FIELD.values.length * 4);
    paint(FIELD.values, 0.5, pixels);
    const shown = [...FIELD.values].map((_, at) => (pixels[at * 4 + 3] ?? 0) > 0);
    expect(shown).toEqual([...FIELD.values].map((value) => value >= 0.5));
    expect(changedFraction(FIELD, 0.5)).toBe(6 / 12);
  });

  it("makes the saved map black and white", () => {
    const shades = (pixels: Uint8ClampedArray) => pixels.filter((_, at) => at % 4 === 0);
    expect(new Set(shades(grayPixels(FIELD, 0.55)))).toEqual(new Set([0, 255]));
    expect(shades(grayPixels(FIELD))[1]).toBe(204);
  });
});

describe("placeAt", () => {
  it("joins pixels over edges, not over corners", () => {
    const place = placeAt(FIELD, 0.5, 0.5, 0.5);
    expect(place?.area).toBe(3);
    expect(place?.meanProbability).toBeCloseTo(0.8, 6);
    expect(placeAt(FIELD, 0.5, 2.2, 2.9)?.area).toBe(1);
  });

  it("follows the threshold", () => {
    expect(placeAt(FIELD, 0.75, 0, 0)?.area).toBe(2);
    expect(placeAt(FIELD, 0.95, 0, 0)).toBeNull();
  });

  it("has a border as long as its circumference", () => {
    expect(placeAt(FIELD, 0.5, 2, 2)?.border).toHaveLength(4);
    expect(placeAt(FIELD, 0.5, 0, 0)?.border).toHaveLength(8);
  });

  it("does not run on into the next row at the map's edge", () => {
    expect(placeAt(map([[0, 0.9], [0.9, 0]]), 0.5, 1, 0)?.area).toBe(1);
  });

  it("knows nothing outside the map", () => {
    for (const [x, y] of [[-1, 0], [4, 0], [0, 3], [0, -0.1]] as const) expect(placeAt(FIELD, 0, x, y)).toBeNull();
  });
});
