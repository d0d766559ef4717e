import { describe, expect, it } from "vitest";

import { Answers, answerOf } from "../src/answers";
import { formOf } from "../src/api/detect";
import { fractionOf, hasEnded, jobForm, timeLeft } from "../src/api/jobs";
import { wordsOf } from "../src/api/http";
import type { Detection, Job } from "../src/api/types";
import { slug } from "../src/downloads";
import { area, share } from "../src/maps/numbers";
import { asProbability } from "../src/scene/cog";
import { byProjection, definitionOf } from "../src/scene/georeference";
import { movedBy } from "../src/viewer/swipe";

const job: Job = {
  id: "a", state: "running", query: "q", progress: { stage: "tiles", done: 3, total: 12, seconds_left: 200 },
  answer: null, failed_tiles: [], files: [], created: "", error: null,
};

const detection = { threshold: 0.4, answer: "New buildings", seg_emitted: true } as Detection;

describe("forms", () => {
  const question = { t1: new Blob(["1"]), t2: new Blob(["2"]), query: "new?", mode: "short" as const };

  it("asks for probabilities and no map", () => {
    const form = formOf(question);
    expect([form.get("with_probability"), form.get("map_format")]).toEqual(["true", "none"]);
    expect([form.has("meaning"), form.has("clicks"), form.has("threshold")]).toEqual([false, false, false]);
  });

  it("sends meaning and marks with a correction", () => {
    const clicks = [{ x: 1.5, y: 2, changed: false }];
    const form = formOf({ ...question, meaning: "AbC-_", clicks });
    expect(form.get("meaning")).toBe("AbC-_");
    expect(JSON.parse(form.get("clicks") as string)).toEqual(clicks);
  });

  it("names scenes or uploads them, never both", () => {
    const named = jobForm({ input: { t1Name: "a.tif", t2Name: "b.tif" }, query: "q", mode: "short" });
    expect([named.get("t1_name"), named.has("t1"), named.get("views")]).toEqual(["a.tif", false, "true"]);
    const [t1, t2] = [new File(["1"], "x.tif"), new File(["2"], "y.tif")];
    const sent = jobForm({ input: { t1, t2 }, query: "q", mode: "short" });
    expect([(sent.get("t1") as File).name, sent.has("t1_name")]).toEqual(["x.tif", false]);
  });
});

describe("answers", () => {
  it("keeps threshold and marks of the answer that it corrects, in its place", () => {
    const answers = new Answers();
    const first = answerOf("q", "short", detection);
    answers.add(first);
    answers.add(answerOf("other", "short", detection));
    first.threshold = 0.7;
    first.clicks = [{ x: 1, y: 1, changed: true }];
    const corrected = answerOf("q", "short", detection, first);
    answers.replace(first, corrected);
    expect(answers.all.map(({ query }) => query)).toEqual(["q", "other"]);
    expect(answers.current).toMatchObject({ threshold: 0.7, corrected: 1 });
  });

  it("starts at the answer's own threshold", () => {
    expect(answerOf("q", "short", detection)).toMatchObject({ threshold: 0.4, corrected: 0, map: null });
  });
});

describe("jobs", () => {
  it("tell their progress", () => {
    expect(fractionOf(job)).toBe(0.25);
    expect(fractionOf({ ...job, progress: null })).toBeNull();
    expect(fractionOf({ ...job, progress: { stage: "", done: 0, total: 0, seconds_left: null } })).toBeNull();
    expect([hasEnded(job), hasEnded({ ...job, state: "failed" })]).toEqual([false, true]);
  });

  it.each([[12, "12 s left"], [200, "3 min 20 s left"], [7260, "2 h 1 min left"], [null, ""]])(
    "%s seconds are %s",
    (seconds, words) => expect(timeLeft(seconds)).toBe(words),
  );
});

describe("a scene's grid", () => {
  const grid = { width: 100, height: 100, transform: [10, 0, 500000, 0, -10, 5000000] };

  it("places longitude and latitude on pixels", () => {
    // On the central meridian of zone 31, 3 degrees east, easting is 500 km.
    const definition = definitionOf(32631) ?? "";
    const [x, y] = byProjection(definition, grid)(3, 45.153559);
    expect(x).toBeCloseTo(0, 3);
    expect(Math.abs(y)).toBeLessThan(5);
  });

  it("knows UTM of both hemispheres, and says what it does not know", () => {
    expect(definitionOf(32733)).toContain("+south");
    expect([definitionOf(32661), definitionOf(25832), definitionOf(0)]).toEqual([null, null, null]);
  });

  it("takes no data for no change, and whole ranges for 0 to 1", () => {
    expect([...asProbability([-1, 0.5, NaN], 1, -1)]).toEqual([0, 0.5, 0]);
    expect([...asProbability([0, 255], 255, null)]).toEqual([0, 1]);
  });
});

describe("the swipe handle", () => {
  it("moves by keys and stays on the map", () => {
    expect(movedBy("ArrowRight", 0.5)).toBeCloseTo(0.52);
    expect(movedBy("ArrowLeft", 0.01)).toBe(0);
    expect([movedBy("Home", 0.5), movedBy("End", 0.5), movedBy("Tab", 0.5)]).toEqual([0, 1, null]);
  });
});

describe("words", () => {
  it("are readable", () => {
    expect([area(950), area(123456), area(2.5e6)]).toEqual(["950 m²", "12.35 ha", "2.50 km²"]);
    expect([share(0), share(0.0001), share(0.123)]).toEqual(["0 %", "less than 0.1 %", "12.3 %"]);
    expect(slug("Where are new Häuser?")).toBe("where-are-new-ha-user");
    expect(slug("???")).toBe("change");
    expect(wordsOf(new Error("t1 is missing"))).toBe("t1 is missing");
  });
});
