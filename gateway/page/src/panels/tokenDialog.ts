/** The token that the gateway asks for. */

import { button, h } from "./dom";

export class TokenDialog {
  readonly element: HTMLDialogElement;
  readonly #input = h("input", {
    type: "password",
    id: "token",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "token-why",
  });
  readonly #why = h("p", { id: "token-why" });

  constructor(token: string, given: (token: string) => void) {
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "token-title" }, "Access token"),
      this.#why,
      h("label", { for: "token" }, "Token"),
      this.#input,
      h(
        "div",
        { class: "row" },
        h("button", { type: "submit", class: "primary" }, "Use"),
        button("Close", () => this.element.close()),
      ),
    );
    this.element = h("dialog", { class: "token-dialog", "aria-labelledby": "token-title" }, form);
    form.addEventListener("submit", () => given(this.#input.value));
    this.#input.value = token;
  }

  ask(why: string): void {
    this.#why.textContent = why;
    if (!this.element.open) this.element.showModal();
    this.#input.focus();
  }
}
