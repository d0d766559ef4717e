/** Keeps the list of jobs true: one stream for each job that has not ended, taken up again when it breaks. */

import { hasEnded, listJobs, watch } from "./api/jobs";
import { ApiError, isAbort, type Api } from "./api/http";
import type { Job } from "./api/types";

const AGAIN_MS = 3000;

export class JobWatch {
  readonly #watched = new Map<string, AbortController>();

  constructor(
    private readonly api: Api,
    private readonly changed: (job: Job) => void,
  ) {}

  async list(): Promise<Job[]> {
    const jobs = await listJobs(this.api);
    for (const job of jobs) this.follow(job);
    return jobs;
  }

  follow(job: Job): void {
    if (hasEnded(job) || this.#watched.has(job.id)) return;
    const controller = new AbortController();
    this.#watched.set(job.id, controller);
    void this.#follow(job.id, controller.signal).finally(() => this.#watched.delete(job.id));
  }

  leave(id: string): void {
    this.#watched.get(id)?.abort();
  }

  async #follow(id: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const job of watch(this.api, id, signal)) {
          this.changed(job);
          if (hasEnded(job)) return;
        }
      } catch (error) {
        if (isAbort(error)) return;
        // A job that is gone, or not ours, is not asked for again.
        if (error instanceof ApiError && error.status >= 400 && error.status < 500) return;
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}
