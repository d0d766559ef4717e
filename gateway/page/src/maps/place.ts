/** The changed place under a pixel, found in the map as it is shown, so it follows the threshold. */

import type { ProbabilityMap } from "./probability";

export type Segment = [from: [x: number, y: number], to: [x: number, y: number]];

export interface Place {
  /** In pixels. */
  area: number;
  meanProbability: number;
  /** Its border along the edges of pixels, x to the right and y down. */
  border: Segment[];
}

/** The place that holds a pixel; null where nothing changed there. Regions are joined over edges. */
export function placeAt(map: ProbabilityMap, threshold: number, x: number, y: number): Place | null {
  const { width, height, values } = map;
  const column = Math.floor(x);
  const row = Math.floor(y);
  if (column < 0 || row < 0 || column >= width || row >= height) return null;
  const changed = (at: number): boolean => (values[at] ?? 0) >= threshold;
  const start = row * width + column;
  if (!changed(start)) return null;

  const inside = new Uint8Array(values.length);
  const members: number[] = [];
  const waiting = [start];
  inside[start] = 1;
  let sum = 0;
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    members.push(at);
    sum += values[at] ?? 0;
    for (const next of neighbours(at, width, height)) {
      if (!inside[next] && changed(next)) {
        inside[next] = 1;
        waiting.push(next);
      }
    }
  }
  return {
    area: members.length,
    meanProbability: sum / members.length,
    border: borderOf(members, inside, width, height),
  };
}

function neighbours(at: number, width: number, height: number): number[] {
  const column = at % width;
  const found = [];
  if (column > 0) found.push(at - 1);
  if (column < width - 1) found.push(at + 1);
  if (at >= width) found.push(at - width);
  if (at < width * (height - 1)) found.push(at + width);
  return found;
}

function borderOf(members: number[], inside: Uint8Array, width: number, height: number): Segment[] {
  const border: Segment[] = [];
  for (const at of members) {
    const x = at % width;
    const y = Math.floor(at / width);
    if (y === 0 || !inside[at - width]) border.push([[x, y], [x + 1, y]]);
    if (y === height - 1 || !inside[at + width]) border.push([[x, y + 1], [x + 1, y + 1]]);
    if (x === 0 || !inside[at - 1]) border.push([[x, y], [x, y + 1]]);
    if (x === width - 1 || !inside[at + 1]) border.push([[x + 1, y], [x + 1, y + 1]]);
  }
  return border;
}
