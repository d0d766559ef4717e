/** The questions that were asked about this pair. */

import { h, section } from "./dom";

export interface HistoryItem {
  query: string;
  answer: string;
  corrected: boolean;
}

export class HistoryPanel {
  readonly element: HTMLElement;
  readonly #list = h("ol", { class: "history-list" });

  constructor(private readonly chosen: (index: number) => void) {
    this.element = section("history", "Asked about this pair", this.#list);
    this.element.hidden = true;
  }

  show(items: readonly HistoryItem[], current: number): void {
    this.element.hidden = items.length === 0;
    const rows = items.map((item, index) => {
      const corrected = item.corrected ? h("span", { class: "badge" }, "corrected") : null;
      const line = h(
        "button",
        { type: "button", class: "history-item", ...(index === current ? { "aria-current": "true" } : {}) },
        h("span", { class: "history-query" }, item.query),
        corrected,
        h("span", { class: "history-answer" }, item.answer),
      );
      line.addEventListener("click", () => this.chosen(index));
      return h("li", {}, line);
    });
    this.#list.replaceChildren(...rows.reverse());
  }
}
