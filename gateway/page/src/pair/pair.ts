/** What is asked about: two files, or two scenes that lie on the server. */

import { headerOf, pictureOf, type Header, type Picture } from "./image";

export interface UploadedPair {
  kind: "files";
  t1: File;
  t2: File;
  header: Header;
  /** Null where the images are too large to be shown before a job has made views of them. */
  pictures: { t1: Picture; t2: Picture } | null;
}

export interface NamedPair {
  kind: "names";
  t1Name: string;
  t2Name: string;
}

export type Pair = UploadedPair | NamedPair;

/** Two files, looked at: readable, and of one size unless they are scenes on grids of their own. */
export async function openPair(t1: File, t2: File, largestSide: number): Promise<UploadedPair> {
  const headers = await Promise.all([named(t1, headerOf(t1)), named(t2, headerOf(t2))]);
  const [first, second] = headers;
  const same = first.width === second.width && first.height === second.height;
  const scenes = first.tiff && second.tiff;
  if (!same && !scenes) {
    throw new Error(
      `${t1.name} has ${first.width} × ${first.height} pixels and ${t2.name} has ${second.width} × ${second.height}; ` +
        "give two images of one size",
    );
  }
  if (!scenes && Math.max(first.width, first.height) > largestSide) {
    throw new Error(
      `${t1.name} has ${first.width} × ${first.height} pixels, more than ${largestSide} a side; ` +
        "give a GeoTIFF, which a job works on tile by tile, or cut it",
    );
  }
  const fits = same && Math.max(first.width, first.height) <= largestSide;
  const pictures = fits
    ? { t1: await named(t1, pictureOf(t1, first)), t2: await named(t2, pictureOf(t2, second)) }
    : null;
  return { kind: "files", t1, t2, header: first, pictures };
}

export function closePair(pair: Pair): void {
  if (pair.kind !== "files" || !pair.pictures) return;
  URL.revokeObjectURL(pair.pictures.t1.url);
  URL.revokeObjectURL(pair.pictures.t2.url);
}

async function named<Value>(file: File, work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    throw new Error(`${file.name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
