/** What acts on the map: opacity, threshold, and the marks of a correction. */

import { button, h } from "./dom";

export type PointMode = "look" | "changed" | "unchanged";

export interface ToolEvents {
  opacity(value: number): void;
  threshold(value: number): void;
  correct(): void;
  undo(): void;
}

const MODES: Record<PointMode, string> = { look: "Figures", changed: "+ Changed", unchanged: "− Unchanged" };

export class MapTools {
  readonly element: HTMLElement;
  readonly #threshold: HTMLInputElement;
  readonly #shownThreshold = h("output", { for: "threshold" });
  readonly #modes: HTMLElement;
  readonly #correct: HTMLButtonElement;
  readonly #undo: HTMLButtonElement;
  #mode: PointMode = "look";

  constructor(events: ToolEvents) {
    const opacity = slider("opacity", 0, 1, 0.05, 0.75);
    const shownOpacity = h("output", { for: "opacity" }, "75 %");
    opacity.addEventListener("input", () => {
      shownOpacity.textContent = `${Math.round(opacity.valueAsNumber * 100)} %`;
      events.opacity(opacity.valueAsNumber);
    });
    this.#threshold = slider("threshold", 0.01, 0.99, 0.01, 0.5);
    this.#threshold.addEventListener("input", () => {
      this.#shownThreshold.textContent = this.#threshold.valueAsNumber.toFixed(2);
      events.threshold(this.#threshold.valueAsNumber);
    });
    this.#correct = button("Correct", () => events.correct(), { class: "primary" });
    this.#undo = button("Undo mark", () => events.undo());
    this.#modes = h(
      "fieldset",
      { class: "modes" },
      h("legend", {}, "A click on the map"),
      ...Object.entries(MODES).map(([mode, label]) => this.#choice(mode as PointMode, label)),
    );
    this.element = h(
      "div",
      { class: "tools", role: "group", "aria-label": "Map tools" },
      h("label", { class: "tool", for: "opacity" }, "Opacity", opacity, shownOpacity),
      h("label", { class: "tool", for: "threshold" }, "Threshold", this.#threshold, this.#shownThreshold),
      this.#modes,
      h("div", { class: "row" }, this.#correct, this.#undo),
    );
    this.threshold = 0.5;
    this.marking(false, 0);
  }

  get mode(): PointMode {
    return this.#mode;
  }

  set threshold(value: number) {
    this.#threshold.value = String(value);
    this.#shownThreshold.textContent = value.toFixed(2);
  }

  /** Whether the shown answer can be corrected, and how many marks wait. */
  marking(possible: boolean, marks: number): void {
    for (const input of this.#modes.querySelectorAll("input")) {
      input.disabled = !possible && input.value !== "look";
      if (!possible) input.checked = input.value === "look";
    }
    if (!possible) this.#mode = "look";
    this.#correct.disabled = !possible || marks === 0;
    this.#undo.disabled = !possible || marks === 0;
    this.#correct.textContent = marks ? `Correct with ${marks} ${marks === 1 ? "mark" : "marks"}` : "Correct";
  }

  #choice(mode: PointMode, label: string): HTMLElement {
    const input = h("input", { type: "radio", name: "mode", value: mode, id: `mode-${mode}` });
    input.checked = mode === this.#mode;
    input.addEventListener("change", () => (this.#mode = mode));
    return h("label", { for: input.id, class: "mode" }, input, label);
  }
}

function slider(id: string, min: number, max: number, step: number, value: number): HTMLInputElement {
  const element = h("input", { type: "range", id, min: String(min), max: String(max), step: String(step) });
  element.value = String(value);
  return element;
}
