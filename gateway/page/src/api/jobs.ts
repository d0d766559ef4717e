/** Scene jobs: whole scenes, worked on tile by tile while nobody has to wait. */

import { ApiError, type Api } from "./http";
import { eventsOf } from "./sse";
import type { Job, JobFile, JobState, Mode } from "./types";

export type SceneInput = { t1: File; t2: File } | { t1Name: string; t2Name: string };

export interface JobRequest {
  input: SceneInput;
  query: string;
  mode: Mode;
  threshold?: number;
}

const ENDED: readonly JobState[] = ["done", "failed", "cancelled"];

export function hasEnded(job: Job): boolean {
  return ENDED.includes(job.state);
}

export function jobForm(request: JobRequest): FormData {
  const form = new FormData();
  const { input } = request;
  if ("t1" in input) {
    form.append("t1", input.t1, input.t1.name);
    form.append("t2", input.t2, input.t2.name);
  } else {
    form.append("t1_name", input.t1Name);
    form.append("t2_name", input.t2Name);
  }
  form.append("query", request.query);
  form.append("mode", request.mode);
  if (request.threshold !== undefined) form.append("threshold", String(request.threshold));
  // The map shows the two dates as eight-bit views.
  form.append("views", "true");
  return form;
}

/** Submit; a second submission with the same key is the same job. */
export function submit(api: Api, request: JobRequest, key: string): Promise<Job> {
  return api.json<Job>("/v1/jobs", {
    method: "POST",
    body: jobForm(request),
    headers: { "Idempotency-Key": key },
  });
}

export function newKey(): string {
  // randomUUID is kept from pages that are not served over TLS.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function listJobs(api: Api): Promise<Job[]> {
  const body = await api.json<Job[] | { jobs: Job[] }>("/v1/jobs");
  return Array.isArray(body) ? body : body.jobs;
}

export async function listScenes(api: Api): Promise<string[]> {
  const body = await api.json<unknown>("/v1/scenes");
  const list = Array.isArray(body) ? body : ((body as { scenes?: unknown[] }).scenes ?? []);
  return list.map((one) => (typeof one === "string" ? one : String((one as { name: unknown }).name)));
}

export function cancel(api: Api, id: string): Promise<Job> {
  return api.json<Job>(`/v1/jobs/${encodeURIComponent(id)}/cancel`, { method: "POST" });
}

export async function remove(api: Api, id: string): Promise<void> {
  await api.call(`/v1/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** The job whenever it changes, until it has ended. */
export async function* watch(api: Api, id: string, signal: AbortSignal): AsyncGenerator<Job> {
  const response = await api.call(`/v1/jobs/${encodeURIComponent(id)}/events`, { signal });
  for await (const event of eventsOf(response)) {
    const value = JSON.parse(event.data) as Job & { error?: { message: string } | string | null };
    if (event.name === "error" && typeof value.error === "object" && value.error !== null) {
      throw new ApiError((value.error as { message: string }).message, 500);
    }
    if (value.id === id) yield value;
  }
}

export function fileOf(job: Job, name: string): JobFile | undefined {
  return job.files.find((file) => file.name === name);
}

/** Done part in [0, 1]; null where it is not known. */
export function fractionOf(job: Job): number | null {
  const progress = job.progress;
  return progress && progress.total > 0 ? Math.min(progress.done / progress.total, 1) : null;
}

/** "3 min 20 s left". */
export function timeLeft(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s left`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s left`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}
