/** A finished job as something to look at. */

import { fileOf } from "../api/jobs";
import type { Api } from "../api/http";
import type { Job, PlaceFeature, Places } from "../api/types";
import { openCog, type Cog } from "./cog";
import { byProjection, type ToPixel } from "./georeference";

/** Polygon files beyond this are for a GIS, not for a page. */
const MOST_BYTES = 32 * 2 ** 20;

export interface SceneView {
  t1: Cog | null;
  t2: Cog | null;
  probability: Cog;
  places: readonly PlaceFeature[];
  toPixel: ToPixel;
  /** Why there are no polygons, where that is so. */
  without: string | null;
  /** At which the polygons were made; null where the job does not say it. */
  threshold: number | null;
}

/** The job's catalogue entry. */
interface Item {
  properties?: { "proj:wkt2"?: string | null; "reasoncd:threshold"?: number };
}

export async function openScene(api: Api, job: Job): Promise<SceneView> {
  const open = async (name: string): Promise<Cog | null> => {
    const file = fileOf(job, name);
    return file ? openCog(new URL(file.href, location.href).href, api.headers) : null;
  };
  const [t1, t2, probability] = await Promise.all(["t1_view.tif", "t2_view.tif", "probability.tif"].map(open));
  if (!probability) throw new Error("this job has no map of probabilities");
  const entry = fileOf(job, "item.json");
  const item = entry ? await api.json<Item>(entry.href) : {};
  const polygons = await placesOf(api, job, probability, item);
  const threshold = item.properties?.["reasoncd:threshold"] ?? null;
  return { t1: t1 ?? null, t2: t2 ?? null, probability, threshold, ...polygons };
}

type Polygons = Pick<SceneView, "places" | "toPixel" | "without">;

async function placesOf(api: Api, job: Job, grid: Cog, item: Item): Promise<Polygons> {
  const asIs: ToPixel = (x, y) => [x, y];
  const none = (without: string): Polygons => ({ places: [], toPixel: asIs, without });
  const file = fileOf(job, "changes.geojson");
  if (!file) return none("This job has no polygons.");
  if (file.size > MOST_BYTES) return none("There are too many polygons to draw here; open changes.gpkg in a GIS.");
  const collection = await api.json<Places & { coordinates?: string }>(file.href);
  if (!grid.transform || collection.coordinates === "pixels") {
    return { places: collection.features, toPixel: asIs, without: null };
  }
  const definition = grid.definition ?? item.properties?.["proj:wkt2"];
  if (!definition) return none("The polygons' coordinates are not known here; open changes.gpkg in a GIS.");
  const toPixel = byProjection(definition, { ...grid, transform: grid.transform });
  return { places: collection.features, toPixel, without: null };
}
