/** The layers of the map, from below: the later image, the earlier one left of the swipe, the change, marks. */

import ImageLayer from "ol/layer/Image";
import VectorLayer from "ol/layer/Vector";
import type Layer from "ol/layer/Layer";
import type Projection from "ol/proj/Projection";
import type RenderEvent from "ol/render/Event";
import { getRenderPixel } from "ol/render";
import ImageCanvas from "ol/source/ImageCanvas";
import Static from "ol/source/ImageStatic";
import VectorSource from "ol/source/Vector";
import { Circle, Fill, RegularShape, Stroke, Style, Text } from "ol/style";

import type { Picture } from "../pair/image";

export function pictureLayer(picture: Picture, projection: Projection): ImageLayer<Static> {
  return new ImageLayer({
    source: new Static({
      url: picture.url,
      imageExtent: [0, 0, picture.width, picture.height],
      projection,
      interpolate: false,
    }),
  });
}

/** A canvas of the pair's size as a layer; `changed()` on its source shows what was drawn since. */
export function canvasLayer(canvas: HTMLCanvasElement, projection: Projection): ImageLayer<ImageCanvas> {
  const source = new ImageCanvas({
    projection,
    ratio: 1,
    canvasFunction: (extent, _resolution, _ratio, [width = 1, height = 1]) => {
      const view = document.createElement("canvas");
      view.width = Math.max(1, Math.round(width));
      view.height = Math.max(1, Math.round(height));
      const context = view.getContext("2d");
      const [left = 0, lower = 0, right = 1, upper = 1] = extent;
      const [across, down] = [view.width / (right - left), view.height / (upper - lower)];
      if (context) {
        context.imageSmoothingEnabled = false;
        context.drawImage(
          canvas,
          -left * across,
          (upper - canvas.height) * down,
          canvas.width * across,
          canvas.height * down,
        );
      }
      return view;
    },
  });
  return new ImageLayer({ source });
}

/** Draw a layer only left of the swipe. */
export function clipTo(layer: Layer, size: () => [number, number], fraction: () => number): void {
  layer.on("prerender", (event: RenderEvent) => {
    const context = event.context as CanvasRenderingContext2D;
    const [width, height] = size();
    const right = width * fraction();
    const corners = [[0, 0], [right, 0], [right, height], [0, height]].map((pixel) => getRenderPixel(event, pixel));
    context.save();
    context.beginPath();
    corners.forEach(([x = 0, y = 0], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    context.clip();
  });
  layer.on("postrender", (event: RenderEvent) => (event.context as CanvasRenderingContext2D).restore());
}

/** Outlines over any ground: a light line within a dark one. */
export function outlineLayer(width: number): VectorLayer<VectorSource> {
  return new VectorLayer({
    source: new VectorSource(),
    style: [
      // Without a fill, only the line itself could be clicked.
      new Style({ stroke: new Stroke({ color: "#1b0010", width: width + 2 }), fill: new Fill({ color: "#0000" }) }),
      new Style({ stroke: new Stroke({ color: "#ffe3f2", width }) }),
    ],
  });
}

/** Marks of corrections: a plus where it changed, a minus where not. */
export function markLayer(): VectorLayer<VectorSource> {
  return new VectorLayer({
    source: new VectorSource(),
    style: (feature) => {
      const changed = feature.get("changed") === true;
      const fill = new Fill({ color: changed ? "#e5007d" : "#10324a" });
      const stroke = new Stroke({ color: "#fff", width: 2 });
      const text = new Text({ text: changed ? "+" : "−", font: "bold 16px sans-serif", fill: new Fill({ color: "#fff" }) });
      // Told apart by shape too, not by colour alone.
      const image = changed
        ? new Circle({ radius: 10, fill, stroke })
        : new RegularShape({ points: 4, radius: 13, angle: Math.PI / 4, fill, stroke });
      return new Style({ image, text });
    },
  });
}
