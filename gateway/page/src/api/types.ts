/** What the gateway sends and takes, as its OpenAPI page describes it. */

import type { Geometry } from "./geometry";

export type Mode = "short" | "explained";

export interface Tensor {
  dtype: "uint8" | "float32";
  shape: [height: number, width: number];
  /** Base64, little-endian, row by row. */
  data: string;
}

export interface PlaceProperties {
  id: number;
  area_px?: number;
  area_m2?: number;
  mean_probability: number;
  query: string;
  [name: string]: unknown;
}

export interface PlaceFeature {
  type: "Feature";
  geometry: Geometry;
  properties: PlaceProperties;
}

export interface Places {
  type: "FeatureCollection";
  features: PlaceFeature[];
}

export interface Detection {
  query: string;
  answer: string;
  seg_emitted: boolean;
  presence: number;
  confidence: number | null;
  threshold: number;
  presence_threshold: number;
  changed_fraction: number;
  polygons: Places;
  place_count: number;
  fingerprints: Record<string, string>;
  timings_s: Record<string, number>;
  probability?: Tensor;
  /** Sent back with corrections, as it was given. */
  meaning?: string;
}

/** A place that the reader marked, in pixels of the pair. */
export interface Click {
  x: number;
  y: number;
  changed: boolean;
}

export interface Describe {
  version: string;
  limits: { image_bytes: number; image_side: number; message_bytes: number };
}

/** What this gateway has. */
export interface Offers {
  jobs: boolean;
  token: boolean;
}

export interface Sample {
  name: string;
  title: string;
  t1: string;
  t2: string;
  questions: string[];
}

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled";

export interface JobFile {
  name: string;
  size: number;
  href: string;
}

export interface Job {
  id: string;
  state: JobState;
  query: string;
  progress: { stage: string; done: number; total: number; seconds_left: number | null } | null;
  answer: string | null;
  failed_tiles: unknown[] | number | null;
  files: JobFile[];
  created: string;
  error: string | null;
}
