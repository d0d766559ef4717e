/** Where the two images come from: files, the sample, or scenes that lie on the server. */

import type { Sample } from "../api/types";
import { button, h, section } from "./dom";

export interface PairEvents {
  files(t1: File, t2: File): void;
  sample(sample: Sample): void;
  names(t1Name: string, t2Name: string): void;
}

type Slot = "t1" | "t2";

const SLOTS: Record<Slot, string> = { t1: "T1, earlier", t2: "T2, later" };

export class PairPanel {
  readonly element: HTMLElement;
  readonly #files: Partial<Record<Slot, File>> = {};
  readonly #shown: Record<Slot, HTMLElement>;
  readonly #samples = h("div", { class: "row" });
  readonly #scenes = h("details", { class: "scenes", hidden: true }, h("summary", {}, "Scenes on the server"));

  constructor(private readonly events: PairEvents) {
    this.#shown = { t1: h("span", { class: "file-name" }), t2: h("span", { class: "file-name" }) };
    const slots = h("div", { class: "slots" }, this.#slot("t1"), this.#slot("t2"));
    const hint = h("p", { class: "hint" }, "PNG, JPEG or TIFF in 8-bit colour; drop both at once if you like.");
    this.element = section("pair", "Images", slots, hint, this.#samples, this.#scenes);
    this.#name();
  }

  offerSamples(samples: readonly Sample[]): void {
    this.#samples.replaceChildren(
      ...samples.map((sample) => button(`Try the sample: ${sample.title}`, () => this.events.sample(sample))),
    );
  }

  offerScenes(names: readonly string[]): void {
    this.#scenes.hidden = names.length === 0;
    const choose = (label: string): HTMLSelectElement =>
      h("select", { "aria-label": label }, ...names.map((name) => h("option", { value: name }, name)));
    const t1 = choose("Earlier scene");
    const t2 = choose("Later scene");
    t2.selectedIndex = Math.min(1, names.length - 1);
    const use = button("Use these scenes", () => this.events.names(t1.value, t2.value));
    this.#scenes.replaceChildren(h("summary", {}, "Scenes on the server"), t1, t2, use);
  }

  /** What is in use, whoever chose it. */
  show(t1: string, t2: string): void {
    this.#shown.t1.textContent = t1;
    this.#shown.t2.textContent = t2;
  }

  /** Files chosen before are not part of another pair. */
  forget(): void {
    delete this.#files.t1;
    delete this.#files.t2;
  }

  #slot(slot: Slot): HTMLElement {
    const input = h("input", { type: "file", accept: "image/png,image/jpeg,image/tiff,.tif,.tiff", id: `file-${slot}` });
    const label = h("label", { class: "slot", for: input.id }, h("strong", {}, SLOTS[slot]), this.#shown[slot]);
    input.addEventListener("change", () => {
      this.#take(slot, [...(input.files ?? [])]);
      // The same file may be chosen again after it was changed.
      input.value = "";
    });
    label.addEventListener("dragover", (event) => {
      event.preventDefault();
      label.classList.add("over");
    });
    label.addEventListener("dragleave", () => label.classList.remove("over"));
    label.addEventListener("drop", (event) => {
      event.preventDefault();
      label.classList.remove("over");
      this.#take(slot, [...(event.dataTransfer?.files ?? [])]);
    });
    return h("div", { class: "slot-box" }, input, label);
  }

  #take(slot: Slot, files: File[]): void {
    const [first, second] = files;
    if (!first) return;
    if (second) {
      this.#files.t1 = first;
      this.#files.t2 = second;
    } else {
      this.#files[slot] = first;
    }
    this.#name();
    const { t1, t2 } = this.#files;
    if (t1 && t2) this.events.files(t1, t2);
  }

  #name(): void {
    this.show(this.#files.t1?.name ?? "choose or drop a file", this.#files.t2?.name ?? "choose or drop a file");
  }
}
