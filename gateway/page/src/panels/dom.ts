/** Elements, briefly. Text is always set as text: nothing of a server or a file becomes markup. */

type Attributes = Record<string, string | boolean | undefined>;

export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: (Node | string | null)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (typeof value === "string") element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function button(label: string, act: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const element = h("button", { type: "button", ...attributes }, label);
  element.addEventListener("click", act);
  return element;
}

/** A part of the side bar, under its heading. */
export function section(name: string, title: string, ...children: (Node | string | null)[]): HTMLElement {
  const heading = h("h2", { id: `${name}-title` }, title);
  return h("section", { class: `panel ${name}`, "aria-labelledby": heading.id }, heading, ...children);
}
