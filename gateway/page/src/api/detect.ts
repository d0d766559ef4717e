/** One question about one pair, streamed. */

import { ApiError, type Api } from "./http";
import { eventsOf } from "./sse";
import type { Click, Detection, Mode } from "./types";

export interface Question {
  t1: Blob;
  t2: Blob;
  query: string;
  mode: Mode;
  threshold?: number;
  /** Of an earlier answer: the question is not reasoned about again. */
  meaning?: string;
  clicks?: readonly Click[];
}

export type Told =
  | { kind: "progress"; stage: string; done: number; total: number }
  | { kind: "text"; text: string }
  | { kind: "answer"; detection: Detection };

/** The form that asks a question. */
export function formOf(question: Question): FormData {
  const form = new FormData();
  form.append("t1", question.t1, "t1");
  form.append("t2", question.t2, "t2");
  form.append("query", question.query);
  form.append("mode", question.mode);
  form.append("with_probability", "true");
  // The map is drawn from the probabilities.
  form.append("map_format", "none");
  if (question.threshold !== undefined) form.append("threshold", String(question.threshold));
  if (question.meaning) form.append("meaning", question.meaning);
  if (question.clicks?.length) form.append("clicks", JSON.stringify(question.clicks));
  return form;
}

/** What is told on the way, and the answer last. */
export async function* ask(api: Api, question: Question, signal: AbortSignal): AsyncGenerator<Told> {
  const response = await api.call("/v1/detect/stream", { method: "POST", body: formOf(question), signal });
  for await (const event of eventsOf(response)) {
    const value = JSON.parse(event.data) as Record<string, unknown>;
    switch (event.name) {
      case "progress":
        yield {
          kind: "progress",
          stage: String(value["stage"]),
          done: Number(value["done"]),
          total: Number(value["total"]),
        };
        break;
      case "text":
        yield { kind: "text", text: String(value["text"]) };
        break;
      case "mask":
        yield { kind: "answer", detection: value["detection"] as Detection };
        break;
      case "error":
        throw new ApiError((value["error"] as { message: string }).message, 500);
    }
  }
}
