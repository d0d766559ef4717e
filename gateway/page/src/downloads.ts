/** Files for the reader's disk. */

import type { Api } from "./api/http";

export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  link(url, name);
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A file of the server, which may be large: handed to the browser unless it has to bring a token. */
export async function fetchFile(api: Api, href: string, name: string): Promise<void> {
  if (!api.token) {
    link(href, name);
    return;
  }
  save(await (await api.call(href)).blob(), name);
}

/** A question as part of a file's name. */
export function slug(query: string): string {
  const words = query.toLowerCase().normalize("NFKD").match(/[a-z0-9]+/g) ?? [];
  return words.slice(0, 6).join("-").slice(0, 40) || "change";
}

function link(href: string, name: string): void {
  const anchor = document.createElement("a");
  anchor.href = href;
  anchor.download = name;
  anchor.click();
}
