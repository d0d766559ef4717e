/** The answer as it is written, its figures, and its files. */

import type { Detection } from "../api/types";
import { area, percent, share } from "../maps/numbers";
import { button, h, section } from "./dom";

export type FileKind = "geojson" | "map" | "probability";

const STAGES: Record<string, string> = {
  encode: "Looking at the images",
  reason: "Thinking about the question",
  decode: "Drawing the map",
};

export interface PlaceFigures {
  pixels?: number | undefined;
  squareMetres?: number | undefined;
  meanProbability: number;
}

export class AnswerPanel {
  readonly element: HTMLElement;
  readonly #question = h("p", { class: "question" });
  readonly #text = h("p", { class: "answer-text", "aria-live": "polite" });
  readonly #state = h("p", { class: "state", role: "status" });
  readonly #figures = h("dl", { class: "figures" });
  readonly #place = h("p", { class: "place", role: "status" });
  readonly #files = h("div", { class: "row downloads", role: "group", "aria-label": "Downloads", hidden: true });

  constructor(download: (kind: FileKind) => void) {
    this.#files.append(
      button("GeoJSON", () => download("geojson")),
      button("Map (PNG)", () => download("map")),
      button("Probability (PNG)", () => download("probability")),
    );
    this.element = section(
      "answer",
      "Answer",
      this.#question,
      this.#text,
      this.#state,
      this.#figures,
      this.#place,
      this.#files,
    );
    this.element.hidden = true;
  }

  hide(): void {
    this.element.hidden = true;
  }

  begin(query: string): void {
    this.element.hidden = false;
    this.element.scrollIntoView({ block: "nearest" });
    this.#question.textContent = query;
    this.#text.textContent = "";
    this.#figures.replaceChildren();
    this.#place.textContent = "";
    this.#files.hidden = true;
    this.state("Sending the images");
  }

  state(words: string): void {
    this.#state.textContent = words;
  }

  progress(stage: string, done: number, total: number): void {
    this.state(`${STAGES[stage] ?? stage} … ${total > 1 ? `${done} of ${total}` : ""}`.trim());
  }

  write(text: string): void {
    this.#text.append(text);
  }

  show(detection: Detection, changed: number, threshold: number): void {
    this.element.hidden = false;
    this.#question.textContent = detection.query;
    this.#text.textContent = detection.answer;
    this.state("");
    this.#place.textContent = "";
    this.#files.hidden = false;
    this.figures(detection, changed, threshold);
    this.element.scrollIntoView({ block: "nearest" });
  }

  /** The answer of a job, which has its files in the job list. */
  showJob(query: string, answer: string): void {
    this.begin(query);
    this.#text.textContent = answer;
    this.state("");
  }

  /** Where the threshold is not the answer's own, the share that is shown says so. */
  figures(detection: Detection, changed: number, threshold: number): void {
    const own = Math.abs(threshold - detection.threshold) < 0.005;
    const rows: [string, string, string][] = [
      ["Presence", percent(detection.presence), "How sure the model is that this change is there at all"],
      [
        "Confidence",
        detection.confidence === null ? "no map" : percent(detection.confidence),
        "How well the model expects the map to fit (predicted overlap)",
      ],
      [own ? "Changed" : `Changed at ${threshold.toFixed(2)}`, share(changed), "Part of the area that is marked"],
    ];
    this.#figures.replaceChildren(
      ...rows.map(([name, value, meaning]) =>
        h("div", { title: meaning }, h("dt", {}, name), h("dd", {}, value)),
      ),
    );
  }

  place(figures: PlaceFigures | null): void {
    if (!figures) {
      this.#place.textContent = "Nothing is marked at this point.";
      return;
    }
    const sizes = [
      figures.squareMetres === undefined ? null : area(figures.squareMetres),
      figures.pixels === undefined ? null : `${figures.pixels} pixels`,
    ].filter((size) => size !== null);
    this.#place.textContent = `This place: ${sizes.join(", ")}; mean probability ${percent(figures.meanProbability)}.`;
  }
}
