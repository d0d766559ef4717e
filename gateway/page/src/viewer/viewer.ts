/** The map: two dates of one place, what changed on top, and the places and marks of its reader. */

import Feature from "ol/Feature";
import OlMap from "ol/Map";
import View from "ol/View";
import { defaults as defaultControls } from "ol/control/defaults";
import { defaults as defaultInteractions } from "ol/interaction/defaults";
import MultiLineString from "ol/geom/MultiLineString";
import MultiPolygon from "ol/geom/MultiPolygon";
import Point from "ol/geom/Point";
import type BaseLayer from "ol/layer/Base";
import type Layer from "ol/layer/Layer";
import TileLayer from "ol/layer/Tile";
import Projection from "ol/proj/Projection";
import type ImageCanvas from "ol/source/ImageCanvas";
import "ol/ol.css";

import { polygonsOf } from "../api/geometry";
import type { Click, PlaceFeature } from "../api/types";
import type { Segment } from "../maps/place";
import { paint, type ProbabilityMap } from "../maps/probability";
import type { Picture } from "../pair/image";
import { h } from "../panels/dom";
import { pictureTiles, ProbabilityTiles, type Cog } from "../scene/cog";
import type { ToPixel } from "../scene/georeference";
import { canvasLayer, clipTo, markLayer, outlineLayer, pictureLayer } from "./layers";
import { SwipeHandle } from "./swipe";

/** In pixels of the pair, x to the right and y down. */
export type OnPoint = (x: number, y: number, place: PlaceFeature | null) => void;

export class Viewer {
  readonly element: HTMLElement;
  readonly #map: OlMap;
  readonly #swipe: SwipeHandle;
  readonly #empty: HTMLElement;
  readonly #labels: HTMLElement[];
  readonly #places = outlineLayer(1.5);
  readonly #selected = outlineLayer(3);
  readonly #marks = markLayer();
  #projection = new Projection({ code: "pixels", units: "pixels", extent: [0, 0, 1, 1] });
  #height = 1;
  #change: BaseLayer | null = null;
  #repaint: ((threshold: number) => void) | null = null;
  #opacity = 0.75;
  #threshold = 0.5;

  constructor(onPoint: OnPoint) {
    const ground = h("div", {
      class: "map-ground",
      tabindex: "0",
      role: "application",
      "aria-label": "Map of the two images. Arrow keys pan, plus and minus zoom, Enter acts at the centre.",
    });
    const cross = h("div", { class: "cross", "aria-hidden": "true" });
    this.#swipe = new SwipeHandle(() => this.#map?.render());
    this.#empty = h("p", { class: "map-empty" }, "Give two images of one place, or try the sample.");
    this.#labels = [
      h("span", { class: "date-label left", hidden: true }, "T1 earlier"),
      h("span", { class: "date-label right", hidden: true }, "T2 later"),
    ];
    this.element = h("div", { class: "map" }, ground, cross, this.#swipe.element, ...this.#labels, this.#empty);
    this.#map = new OlMap({
      target: ground,
      controls: defaultControls({ attribution: false, rotate: false }),
      // Two marks that follow each other quickly are two marks, and no leap of the map.
      interactions: defaultInteractions({ doubleClickZoom: false }),
      layers: [this.#places, this.#selected, this.#marks],
    });
    this.#map.on("click", (event) => {
      const [x = 0, y = 0] = event.coordinate;
      onPoint(x, this.#height - y, this.#placeUnder(event.pixel));
    });
    ground.addEventListener("keydown", (event) => {
      const centre = this.#map.getView().getCenter();
      if (event.key !== "Enter" || !centre || event.target !== ground) return;
      event.preventDefault();
      const [x = 0, y = 0] = centre;
      onPoint(x, this.#height - y, this.#placeUnder(this.#map.getPixelFromCoordinate(centre)));
    });
  }

  /** Two pictures of one size. */
  showPictures(t1: Picture, t2: Picture): void {
    this.#begin(t2.width, t2.height);
    this.#ground(pictureLayer(t2, this.#projection), pictureLayer(t1, this.#projection));
  }

  /** Two files that are read in pieces, and the probabilities over them. */
  showScene(t1: Cog | null, t2: Cog | null, probability: Cog): void {
    this.#begin(probability.width, probability.height);
    const layer = (cog: Cog) => new TileLayer({ source: pictureTiles(cog, this.#projection) });
    if (t1 && t2) this.#ground(layer(t2), layer(t1));
    const tiles = new ProbabilityTiles(probability, this.#projection, this.#threshold);
    this.#putChange(new TileLayer({ source: tiles.source }), (threshold) => (tiles.threshold = threshold));
  }

  /** Nothing is shown; a sentence says why. */
  showNothing(sentence: string): void {
    this.#begin(1, 1);
    this.#empty.textContent = sentence;
    this.#empty.hidden = false;
    this.#swipe.element.hidden = true;
    for (const label of this.#labels) label.hidden = true;
  }

  showChange(map: ProbabilityMap | null): void {
    if (!map) {
      this.#putChange(null, null);
      return;
    }
    const canvas = document.createElement("canvas");
    canvas.width = map.width;
    canvas.height = map.height;
    const layer = canvasLayer(canvas, this.#projection);
    const image = new ImageData(map.width, map.height);
    this.#putChange(layer, (threshold) => {
      paint(map.values, threshold, image.data);
      canvas.getContext("2d")?.putImageData(image, 0, 0);
      (layer.getSource() as ImageCanvas).changed();
    });
  }

  showPlaces(features: readonly PlaceFeature[], toPixel: ToPixel): void {
    const drawn = features.map((place) => {
      const coordinates = polygonsOf(place.geometry).map((rings) =>
        rings.map((ring) => ring.map(([x = 0, y = 0]) => this.#up(toPixel(x, y)))),
      );
      return new Feature({ geometry: new MultiPolygon(coordinates), place });
    });
    this.#replace(this.#places, drawn);
  }

  select(border: readonly Segment[] | null): void {
    const lines = border?.map(([from, to]) => [this.#up(from), this.#up(to)]) ?? [];
    this.#replace(this.#selected, lines.length ? [new Feature(new MultiLineString(lines))] : []);
  }

  showMarks(clicks: readonly Click[]): void {
    const points = clicks.map(
      ({ x, y, changed }) => new Feature({ geometry: new Point(this.#up([x, y])), changed }),
    );
    this.#replace(this.#marks, points);
  }

  set opacity(value: number) {
    this.#opacity = value;
    this.#change?.setOpacity(value);
  }

  set threshold(value: number) {
    this.#threshold = value;
    this.#repaint?.(value);
  }

  #begin(width: number, height: number): void {
    this.#projection = new Projection({ code: "pixels", units: "pixels", extent: [0, 0, width, height] });
    this.#height = height;
    this.#change = this.#repaint = null;
    this.#map.setLayers([this.#places, this.#selected, this.#marks]);
    this.#replace(this.#places, []);
    this.select(null);
    this.showMarks([]);
    const view = new View({
      projection: this.#projection,
      center: [width / 2, height / 2],
      // Sixteen screen pixels for one of the image; out to where the whole is a thumbnail.
      minResolution: 1 / 16,
      // Else small images do not fill the map.
      smoothResolutionConstraint: false,
      maxResolution: Math.max(width, height) / 64,
      showFullExtent: true,
      extent: [-width / 4, -height / 4, width * 1.25, height * 1.25],
    });
    this.#map.setView(view);
    view.fit([0, 0, width, height], { padding: [16, 16, 16, 16] });
    this.#empty.hidden = true;
    this.#swipe.element.hidden = false;
    for (const label of this.#labels) label.hidden = false;
  }

  #ground(later: Layer, earlier: Layer): void {
    clipTo(earlier, () => this.#map.getSize() as [number, number], () => this.#swipe.fraction);
    this.#map.getLayers().insertAt(0, later);
    this.#map.getLayers().insertAt(1, earlier);
  }

  #putChange(layer: BaseLayer | null, repaint: ((threshold: number) => void) | null): void {
    if (this.#change) this.#map.removeLayer(this.#change);
    this.#change = layer;
    this.#repaint = repaint;
    if (!layer) return;
    layer.setOpacity(this.#opacity);
    repaint?.(this.#threshold);
    this.#map.getLayers().insertAt(this.#map.getLayers().getLength() - 3, layer);
  }

  #placeUnder(pixel: number[]): PlaceFeature | null {
    const options = { layerFilter: (layer: BaseLayer) => layer === this.#places };
    const found = this.#map.forEachFeatureAtPixel(pixel, (feature) => feature, options);
    const place = found?.get("place") as PlaceFeature | undefined;
    const geometry = found?.getGeometry();
    if (!place || !(geometry instanceof MultiPolygon)) return null;
    const lines = geometry.getCoordinates().flat();
    this.#replace(this.#selected, [new Feature(new MultiLineString(lines))]);
    return place;
  }

  #replace(layer: ReturnType<typeof outlineLayer>, features: Feature[]): void {
    const source = layer.getSource();
    source?.clear();
    source?.addFeatures(features);
  }

  /** The map counts upwards, images count rows downwards. */
  #up([x, y]: readonly [number, number]): [number, number] {
    return [x, this.#height - y];
  }
}
