/** The question. */

import type { Mode } from "../api/types";
import { button, h, section } from "./dom";

const EXAMPLES = [
  "Where are new buildings?",
  "Where did people get more living space?",
  "Where was forest cut down?",
  "Where did a lake or pond dry up?",
];

export interface Asked {
  query: string;
  mode: Mode;
  asJob: boolean;
}

/** Jobs work on GeoTIFFs; what is too large for an answer at once can only be one. */
export type JobChoice = "never" | "may" | "must";

export interface AskEvents {
  ask(asked: Asked): void;
  stop(): void;
}

export class AskPanel {
  readonly element: HTMLElement;
  readonly #query = h("textarea", {
    id: "query",
    rows: "2",
    maxlength: "2000",
    placeholder: "Where did ... ?",
    "aria-label": "Question in plain words",
  });
  readonly #explain = h("input", { type: "checkbox", id: "explain" });
  readonly #job = h("input", { type: "checkbox", id: "as-job" });
  readonly #jobChoice = h(
    "label",
    { class: "check", for: "as-job" },
    this.#job,
    "As a job: GeoTIFFs of any size",
  );
  readonly #ask = h("button", { type: "submit", class: "primary" }, "Ask");
  readonly #stop: HTMLButtonElement;
  readonly #examples = h("div", { class: "chips", role: "group", "aria-label": "Examples" });

  constructor(events: AskEvents) {
    this.#stop = button("Stop", () => events.stop(), { hidden: true });
    const form = h(
      "form",
      { class: "ask-form" },
      this.#query,
      this.#examples,
      h("label", { class: "check", for: "explain" }, this.#explain, "Explain the answer"),
      this.#jobChoice,
      h("div", { class: "row" }, this.#ask, this.#stop),
    );
    const submit = (): void => {
      const query = this.#query.value.trim();
      if (!query || this.#ask.disabled) {
        this.#query.focus();
        return;
      }
      events.ask({ query, mode: this.#explain.checked ? "explained" : "short", asJob: this.#job.checked });
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      submit();
    });
    this.#query.addEventListener("keydown", (event) => {
      // As in any chat: Enter sends, Shift and Enter break the line.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      submit();
    });
    this.element = section("ask", "Question", form);
    this.offer(EXAMPLES);
    this.ready(false, "never");
  }

  offer(questions: readonly string[]): void {
    const chips = questions.map((question) =>
      button(question, () => {
        this.#query.value = question;
        this.#query.focus();
      }),
    );
    this.#examples.replaceChildren(...chips);
  }

  /** Whether there is a pair to ask about, and whether it can, or can only, be a job. */
  ready(pair: boolean, job: JobChoice): void {
    this.#ask.disabled = !pair;
    this.#job.checked = job === "must";
    this.#job.disabled = job !== "may";
  }

  /** Whether the gateway takes jobs. */
  offerJobs(yes: boolean): void {
    this.#jobChoice.hidden = !yes;
  }

  working(yes: boolean): void {
    this.#ask.hidden = yes;
    this.#stop.hidden = !yes;
  }
}
