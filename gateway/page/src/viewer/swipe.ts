/** The handle between the two dates: dragged, or moved by keys as a slider is. */

import { h } from "../panels/dom";

const STEP = 0.02;
const LEAP = 0.1;

/** Where a key moves the handle to; null for other keys. */
export function movedBy(key: string, fraction: number): number | null {
  const to: Record<string, number> = {
    ArrowLeft: fraction - STEP,
    ArrowDown: fraction - STEP,
    ArrowRight: fraction + STEP,
    ArrowUp: fraction + STEP,
    PageDown: fraction - LEAP,
    PageUp: fraction + LEAP,
    Home: 0,
    End: 1,
  };
  const moved = to[key];
  return moved === undefined ? null : Math.min(1, Math.max(0, moved));
}

export class SwipeHandle {
  readonly element: HTMLElement;
  #fraction = 0.5;

  constructor(private readonly moved: (fraction: number) => void) {
    const grip = h("span", { class: "swipe-grip", "aria-hidden": "true" }, "⇔");
    this.element = h(
      "div",
      {
        class: "swipe",
        role: "slider",
        tabindex: "0",
        "aria-label": "Swipe between the earlier and the later image",
        "aria-valuemin": "0",
        "aria-valuemax": "100",
        "aria-orientation": "horizontal",
        hidden: true,
      },
      grip,
    );
    this.element.addEventListener("keydown", (event) => {
      const to = movedBy(event.key, this.#fraction);
      if (to === null) return;
      event.preventDefault();
      event.stopPropagation();
      this.fraction = to;
    });
    this.element.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.element.focus({ preventScroll: true });
      this.element.setPointerCapture(event.pointerId);
    });
    this.element.addEventListener("pointermove", (event) => {
      const ground = this.element.parentElement;
      if (!ground || !this.element.hasPointerCapture(event.pointerId)) return;
      const { left, width } = ground.getBoundingClientRect();
      this.fraction = Math.min(1, Math.max(0, (event.clientX - left) / width));
    });
    this.fraction = 0.5;
  }

  get fraction(): number {
    return this.#fraction;
  }

  set fraction(value: number) {
    this.#fraction = value;
    // Set through the object model, which the page's policy allows, unlike an attribute `style`.
    this.element.style.left = `${value * 100}%`;
    const shown = Math.round(value * 100);
    this.element.setAttribute("aria-valuenow", String(shown));
    this.element.setAttribute("aria-valuetext", `${shown} % earlier, ${100 - shown} % later`);
    this.moved(value);
  }
}
