import { describe, expect, it } from "vitest";

import { EventParser, eventsOf } from "../src/api/sse";

describe("EventParser", () => {
  it("gives an event when its blank line has come, wherever the pieces end", () => {
    const stream = 'event: text\r\ndata: {"text":"a"}\r\n\r\n: working\n\nevent: done\ndata: {}\n\n';
    const expected = [
      { name: "text", data: '{"text":"a"}' },
      { name: "done", data: "{}" },
    ];
    for (let size = 1; size <= stream.length; size++) {
      const parser = new EventParser();
      const found = [];
      for (let at = 0; at < stream.length; at += size) found.push(...parser.push(stream.slice(at, at + size)));
      expect(found).toEqual(expected);
    }
  });

  it("joins lines of data", () => {
    expect(new EventParser().push("data: a\ndata:b\n\n")).toEqual([{ name: "message", data: "a\nb" }]);
  });

  it("keeps what has not ended to itself", () => {
    expect(new EventParser().push("event: mask\ndata: {}\n")).toEqual([]);
  });
});

describe("eventsOf", () => {
  it("reads letters that are cut in two", async () => {
    const bytes = new TextEncoder().encode("data: Gebäude\n\n");
    const cut = bytes.indexOf(0xc3) + 1;
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes.slice(0, cut));
        controller.enqueue(bytes.slice(cut));
        controller.close();
      },
    });
    const found = [];
    for await (const event of eventsOf(new Response(body))) found.push(event.data);
    expect(found).toEqual(["Gebäude"]);
  });

  it("cancels the stream when nobody listens any more", async () => {
    let cancelled = false;
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
      cancel: () => {
        cancelled = true;
      },
    });
    for await (const _ of eventsOf(new Response(body))) break;
    expect(cancelled).toBe(true);
  });
});
