/** The jobs of the server, with progress, and their files when they have ended. */

import { fractionOf, hasEnded, timeLeft } from "../api/jobs";
import type { Job, JobFile } from "../api/types";
import { bytes } from "../maps/numbers";
import { button, h, section } from "./dom";

export interface JobEvents {
  open(job: Job): void;
  cancel(job: Job): void;
  remove(job: Job): void;
  download(file: JobFile): void;
}

const STATES: Record<Job["state"], string> = {
  queued: "Waiting",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

export class JobsPanel {
  readonly element: HTMLElement;
  readonly #list = h("ul", { class: "jobs-list" });
  readonly #rows = new Map<string, HTMLLIElement>();

  constructor(private readonly events: JobEvents) {
    this.element = section("jobs", "Jobs", this.#list);
    this.element.hidden = true;
  }

  /** The newest first. */
  show(jobs: readonly Job[]): void {
    const known = new Set(jobs.map((job) => job.id));
    for (const [id, row] of this.#rows) {
      if (known.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    for (const job of jobs) this.update(job);
    this.#list.append(...jobs.map((job) => this.#rows.get(job.id)).filter((row) => row !== undefined));
    this.element.hidden = jobs.length === 0;
  }

  update(job: Job): void {
    this.element.hidden = false;
    let row = this.#rows.get(job.id);
    if (!row) {
      row = h("li", { class: "job", "data-job": job.id });
      this.#rows.set(job.id, row);
      this.#list.prepend(row);
    }
    // What has the focus keeps it when the row is drawn anew.
    const focused = row.contains(document.activeElement) ? document.activeElement?.textContent : null;
    row.replaceChildren(...this.#content(job));
    row.dataset["state"] = job.state;
    if (focused) [...row.querySelectorAll("button")].find((one) => one.textContent === focused)?.focus();
  }

  #content(job: Job): (Node | string)[] {
    const head = h("div", { class: "job-head" }, h("span", { class: "job-query" }, job.query), this.#state(job));
    const parts: (Node | string)[] = [head];
    if (!hasEnded(job)) parts.push(...this.#progress(job));
    if (job.answer) parts.push(h("p", { class: "job-answer" }, job.answer));
    if (job.error) parts.push(h("p", { class: "job-error" }, job.error));
    const failed = Array.isArray(job.failed_tiles) ? job.failed_tiles.length : (job.failed_tiles ?? 0);
    if (failed) parts.push(h("p", { class: "job-error" }, `${failed} tiles could not be computed.`));
    const about = (label: string, act: (job: Job) => void): HTMLButtonElement =>
      button(label, () => act(job), { "aria-label": `${label}: ${job.query}` });
    const acts = hasEnded(job)
      ? [job.state === "done" ? about("Show", this.events.open) : null, about("Delete", this.events.remove)]
      : [about("Cancel", this.events.cancel)];
    parts.push(h("div", { class: "row" }, ...acts));
    if (job.files.length) parts.push(this.#files(job));
    return parts;
  }

  #state(job: Job): HTMLElement {
    return h("span", { class: "badge" }, STATES[job.state] ?? job.state);
  }

  #progress(job: Job): Node[] {
    const fraction = fractionOf(job);
    const bar = h("progress", { max: "1", "aria-label": `Progress: ${job.query}` });
    if (fraction !== null) bar.value = fraction;
    const progress = job.progress;
    const left = timeLeft(progress?.seconds_left);
    const words = progress
      ? `${progress.stage}: ${progress.done} of ${progress.total}${left ? `, ${left}` : ""}`
      : "";
    return [bar, h("p", { class: "hint" }, words)];
  }

  #files(job: Job): HTMLElement {
    const rows = job.files.map((file) => {
      const label = `${file.name} (${bytes(file.size)})`;
      return h("li", {}, button(label, () => this.events.download(file), { class: "link" }));
    });
    return h("details", {}, h("summary", {}, `Files (${job.files.length})`), h("ul", { class: "files" }, ...rows));
  }
}
