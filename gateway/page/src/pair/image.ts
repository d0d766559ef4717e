/** An image file as a picture: browsers know PNG and JPEG, TIFF is read here. */

import { fromBlob } from "geotiff";

export interface Header {
  width: number;
  height: number;
  tiff: boolean;
}

export interface Picture {
  width: number;
  height: number;
  /** An object URL. */
  url: string;
}

/** Size and kind of a file, without reading all of it where it is a TIFF. */
export async function headerOf(file: Blob): Promise<Header> {
  if (await isTiff(file)) {
    const image = await (await fromBlob(file)).getImage();
    return { width: image.getWidth(), height: image.getHeight(), tiff: true };
  }
  const bitmap = await bitmapOf(file);
  const header = { width: bitmap.width, height: bitmap.height, tiff: false };
  bitmap.close();
  return header;
}

/** A picture of a file; its URL has to be revoked. */
export async function pictureOf(file: Blob, header: Header): Promise<Picture> {
  if (!header.tiff) return { ...header, url: URL.createObjectURL(file) };
  const image = await (await fromBlob(file)).getImage();
  const { width, height } = header;
  const rgb = await image.readRGB({ interleave: true });
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let at = 0; at < width * height; at++) {
    for (let band = 0; band < 3; band++) pixels[at * 4 + band] = Number(rgb[at * 3 + band]);
    pixels[at * 4 + 3] = 255;
  }
  return { width, height, url: URL.createObjectURL(await pngOf(pixels, width, height)) };
}

export function pngOf(pixels: Uint8ClampedArray<ArrayBuffer>, width: number, height: number): Promise<Blob> {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser gives no canvas");
  context.putImageData(new ImageData(pixels, width, height), 0, 0);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture cannot be made"))));
  });
}

async function isTiff(file: Blob): Promise<boolean> {
  const start = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  const [a, b, c, d] = start;
  // Little- or big-endian, classic or BigTIFF.
  return (a === 0x49 && b === 0x49 && (c === 42 || c === 43)) || (a === 0x4d && b === 0x4d && (d === 42 || d === 43));
}

async function bitmapOf(file: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error("this file is no image that can be shown; give a PNG, JPEG or TIFF in 8-bit colour");
  }
}
