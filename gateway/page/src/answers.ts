/** The questions asked about one pair, their answers, and the marks that wait to correct them. */

import type { Click, Detection, Mode } from "./api/types";
import { mapOf, type ProbabilityMap } from "./maps/probability";

export interface Answer {
  query: string;
  mode: Mode;
  detection: Detection;
  map: ProbabilityMap | null;
  threshold: number;
  /** All marks, sent or not. */
  clicks: Click[];
  /** How many of them the map already follows. */
  corrected: number;
}

export function answerOf(query: string, mode: Mode, detection: Detection, before?: Answer): Answer {
  return {
    query,
    mode,
    detection,
    map: detection.probability ? mapOf(detection.probability) : null,
    threshold: before?.threshold ?? detection.threshold,
    clicks: before?.clicks ?? [],
    corrected: before?.clicks.length ?? 0,
  };
}

export class Answers {
  readonly all: Answer[] = [];
  index = -1;

  get current(): Answer | null {
    return this.all[this.index] ?? null;
  }

  add(answer: Answer): void {
    this.index = this.all.push(answer) - 1;
  }

  /** A corrected answer takes the place of the one that it corrects. */
  replace(old: Answer, answer: Answer): void {
    this.index = this.all.indexOf(old);
    this.all[this.index] = answer;
  }

  clear(): void {
    this.all.length = 0;
    this.index = -1;
  }
}
