/** Server-sent events over fetch: EventSource can send neither a form nor a token. */

export interface ServerEvent {
  name: string;
  data: string;
}

/** Cuts text that comes in pieces into events. */
export class EventParser {
  #rest = "";

  /** The events that end in this piece. */
  push(piece: string): ServerEvent[] {
    // A piece may end between \r and \n, so the last \r waits for the next piece.
    const text = this.#rest + piece;
    const held = text.endsWith("\r") ? "\r" : "";
    const blocks = (held ? text.slice(0, -1) : text).replace(/\r\n?/g, "\n").split("\n\n");
    this.#rest = (blocks.pop() ?? "") + held;
    return blocks.map(parseBlock).filter((event) => event !== null);
  }
}

function parseBlock(block: string): ServerEvent | null {
  let name = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    // Lines that begin with a colon are comments: the stream's pulse.
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    if (field === "data") data.push(value);
  }
  return data.length ? { name, data: data.join("\n") } : null;
}

/** The events of a response, as they arrive. */
export async function* eventsOf(response: Response): AsyncGenerator<ServerEvent> {
  if (!response.body) return;
  const parser = new EventParser();
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    // Whoever stops listening lets the server stop working.
    await reader.cancel().catch(() => undefined);
  }
}
