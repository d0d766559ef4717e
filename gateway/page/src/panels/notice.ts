/** What went wrong, in one sentence, until the next attempt or until it is closed. */

import { button, h } from "./dom";

export class Notice {
  readonly element = h("div", { class: "notice", role: "alert", hidden: true });
  readonly #words = h("p");

  constructor() {
    this.element.append(this.#words, button("Close", () => this.clear()));
  }

  show(words: string): void {
    this.#words.textContent = words;
    this.element.hidden = false;
  }

  clear(): void {
    this.element.hidden = true;
    this.#words.textContent = "";
  }
}
