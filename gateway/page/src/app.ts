/** The page: panels at the side, the map, and what passes between them and the gateway. */

import { Answers, answerOf, type Answer } from "./answers";
import { ask, type Question } from "./api/detect";
import { Api, ApiError, isAbort, wordsOf } from "./api/http";
import { cancel, hasEnded, listScenes, newKey, remove, submit, type SceneInput } from "./api/jobs";
import type { Describe, Job, Offers, PlaceFeature, Sample } from "./api/types";
import { fetchFile, save, slug } from "./downloads";
import { JobWatch } from "./jobWatch";
import { placeAt } from "./maps/place";
import { changedFraction, grayPixels } from "./maps/probability";
import { pngOf } from "./pair/image";
import { closePair, openPair, type Pair } from "./pair/pair";
import { AnswerPanel, type FileKind } from "./panels/answerPanel";
import { AskPanel, type Asked } from "./panels/askPanel";
import { button, h } from "./panels/dom";
import { HistoryPanel } from "./panels/historyPanel";
import { JobsPanel } from "./panels/jobsPanel";
import { MapTools } from "./panels/mapTools";
import { Notice } from "./panels/notice";
import { PairPanel } from "./panels/pairPanel";
import { TokenDialog } from "./panels/tokenDialog";
import { openScene } from "./scene/result";
import { Viewer } from "./viewer/viewer";

/** What the gateway takes until it has said so itself. */
const LARGEST_SIDE = 4096;

export class App {
  readonly #api = new Api();
  readonly #answers = new Answers();
  readonly #notice = new Notice();
  readonly #viewer = new Viewer((x, y, place) => this.#point(x, y, place));
  readonly #pairPanel = new PairPanel({
    files: (t1, t2) => void this.#try(() => this.#open(t1, t2)),
    sample: (sample) => void this.#try(() => this.#openSample(sample)),
    names: (t1Name, t2Name) => this.#use({ kind: "names", t1Name, t2Name }, t1Name, t2Name),
  });
  readonly #askPanel = new AskPanel({
    ask: (asked) => void this.#try(() => (asked.asJob ? this.#submit(asked) : this.#ask(asked))),
    stop: () => this.#working?.abort(),
  });
  readonly #answerPanel = new AnswerPanel((kind) => void this.#try(() => this.#download(kind)));
  readonly #history = new HistoryPanel((index) => this.#show(index));
  readonly #tools = new MapTools({
    opacity: (value) => (this.#viewer.opacity = value),
    threshold: (value) => this.#threshold(value),
    correct: () => void this.#try(() => this.#correct()),
    undo: () => this.#undo(),
  });
  readonly #jobs = new JobsPanel({
    open: (job) => void this.#try(() => this.#openJob(job)),
    cancel: (job) => void this.#try(async () => this.#jobs.update(await cancel(this.#api, job.id))),
    remove: (job) => void this.#try(() => this.#removeJob(job)),
    download: (file) => void this.#try(() => fetchFile(this.#api, file.href, file.name)),
  });
  readonly #watch = new JobWatch(this.#api, (job) => this.#jobs.update(job));
  readonly #token = new TokenDialog(this.#api.token, (token) => {
    this.#api.token = token;
    this.#notice.clear();
    void this.#try(() => this.#look());
  });
  readonly #tokenButton = button("Token", () => this.#token.ask("The gateway's operator gives it out."), {
    hidden: true,
  });
  #pair: Pair | null = null;
  #working: AbortController | null = null;
  #largestSide = LARGEST_SIDE;

  constructor(root: HTMLElement) {
    const head = h(
      "header",
      {},
      h("h1", {}, "ReasonCD"),
      h("span", { class: "tagline" }, "Ask what changed between two images"),
      this.#tokenButton,
      h("a", { href: "/docs" }, "HTTP API"),
    );
    const side = h(
      "div",
      { class: "side" },
      this.#notice.element,
      this.#pairPanel.element,
      this.#askPanel.element,
      this.#answerPanel.element,
      this.#history.element,
      this.#jobs.element,
    );
    const stage = h("div", { class: "stage" }, this.#viewer.element, this.#tools.element);
    root.append(head, h("main", {}, stage, side), this.#token.element);
  }

  async start(): Promise<void> {
    await this.#try(() => this.#look());
  }

  /** What the gateway offers; parts that it does not have are not shown. */
  async #look(): Promise<void> {
    const { jobs, token } = await this.#api.json<Offers>("/page.json");
    this.#tokenButton.hidden = !token;
    this.#askPanel.offerJobs(jobs);
    if (token && !this.#api.token) {
      this.#token.ask("This gateway asks for a token; its operator gives it out.");
      return;
    }
    const { limits } = await this.#api.json<Describe>("/v1/describe");
    this.#largestSide = limits.image_side;
    const { samples } = await this.#api.json<{ samples: Sample[] }>("/v1/samples");
    this.#pairPanel.offerSamples(samples);
    if (!jobs) return;
    this.#jobs.show(await this.#watch.list());
    this.#pairPanel.offerScenes(await listScenes(this.#api));
  }

  async #open(t1: File, t2: File): Promise<void> {
    const pair = await openPair(t1, t2, this.#largestSide);
    this.#use(pair, t1.name, t2.name);
  }

  async #openSample(sample: Sample): Promise<void> {
    const fetched = [sample.t1, sample.t2].map(async (href) => {
      const blob = await (await this.#api.call(href)).blob();
      return new File([blob], href.slice(href.lastIndexOf("/") + 1), { type: blob.type });
    });
    const [t1, t2] = await Promise.all(fetched);
    if (t1 && t2) await this.#open(t1, t2);
    this.#pairPanel.forget();
    this.#askPanel.offer(sample.questions);
  }

  #use(pair: Pair, t1: string, t2: string): void {
    this.#working?.abort();
    if (this.#pair) closePair(this.#pair);
    this.#pair = pair;
    this.#answers.clear();
    this.#answerPanel.hide();
    this.#pairPanel.show(t1, t2);
    const pictures = pair.kind === "files" ? pair.pictures : null;
    if (pictures) this.#viewer.showPictures(pictures.t1, pictures.t2);
    else this.#viewer.showNothing("Scenes are shown when the job that works on them is done.");
    const tiff = pair.kind === "names" || pair.header.tiff;
    this.#askPanel.ready(true, pictures === null ? "must" : tiff ? "may" : "never");
    this.#refresh();
  }

  async #ask({ query, mode }: Asked): Promise<void> {
    const detection = await this.#stream({ query, mode });
    if (detection) this.#answers.add(detection);
    this.#show(this.#answers.index);
  }

  async #correct(): Promise<void> {
    const answer = this.#answers.current;
    if (!answer?.detection.meaning) return;
    const { query, mode, clicks } = answer;
    const corrected = await this.#stream({ query, mode, clicks, meaning: answer.detection.meaning }, answer);
    if (corrected) this.#answers.replace(answer, corrected);
    this.#show(this.#answers.index);
  }

  /** Null where the reader stopped it. */
  async #stream(asked: Omit<Question, "t1" | "t2">, before?: Answer): Promise<Answer | null> {
    const pair = this.#pair;
    if (pair?.kind !== "files") return null;
    this.#working?.abort();
    const working = (this.#working = new AbortController());
    this.#askPanel.working(true);
    this.#answerPanel.begin(asked.query);
    let found: Answer | null = null;
    try {
      for await (const told of ask(this.#api, { ...asked, t1: pair.t1, t2: pair.t2 }, working.signal)) {
        if (told.kind === "progress") this.#answerPanel.progress(told.stage, told.done, told.total);
        else if (told.kind === "text") this.#answerPanel.write(told.text);
        else found = answerOf(asked.query, asked.mode, told.detection, before);
      }
      if (!found && !working.signal.aborted) throw new Error("the answer broke off; ask again");
    } catch (error) {
      this.#answerPanel.state("");
      if (!isAbort(error)) throw error;
    } finally {
      if (this.#working === working) {
        this.#working = null;
        this.#askPanel.working(false);
      }
    }
    // An answer about a pair that was put aside meanwhile is of no use.
    return pair === this.#pair ? found : null;
  }

  #show(index: number): void {
    this.#answers.index = index;
    const answer = this.#answers.current;
    this.#viewer.select(null);
    if (answer) {
      this.#tools.threshold = this.#viewer.threshold = answer.threshold;
      this.#answerPanel.show(answer.detection, shareOf(answer), answer.threshold);
    } else {
      this.#answerPanel.hide();
    }
    this.#viewer.showChange(answer?.map ?? null);
    this.#refresh();
  }

  #refresh(): void {
    const answer = this.#answers.current;
    const items = this.#answers.all.map(({ query, detection, corrected }) => ({
      query,
      answer: detection.answer,
      corrected: corrected > 0,
    }));
    this.#history.show(items, this.#answers.index);
    const clicks = answer?.clicks ?? [];
    this.#viewer.showMarks(clicks);
    const correctable = Boolean(answer?.detection.meaning && answer.detection.seg_emitted);
    this.#tools.marking(correctable, clicks.length);
  }

  #threshold(value: number): void {
    this.#viewer.threshold = value;
    this.#viewer.select(null);
    const answer = this.#answers.current;
    if (!answer) return;
    answer.threshold = value;
    this.#answerPanel.figures(answer.detection, shareOf(answer), value);
  }

  #point(x: number, y: number, place: PlaceFeature | null): void {
    const answer = this.#answers.current;
    if (!answer) {
      this.#answerPanel.place(place ? figuresOf(place) : null);
      return;
    }
    const { map } = answer;
    if (!map || x < 0 || y < 0 || x >= map.width || y >= map.height) return;
    if (this.#tools.mode === "look") {
      const found = placeAt(map, answer.threshold, x, y);
      this.#viewer.select(found?.border ?? null);
      this.#answerPanel.place(found && { pixels: found.area, meanProbability: found.meanProbability });
      return;
    }
    answer.clicks = [...answer.clicks, { x, y, changed: this.#tools.mode === "changed" }];
    this.#refresh();
  }

  #undo(): void {
    const answer = this.#answers.current;
    if (answer) answer.clicks = answer.clicks.slice(0, -1);
    this.#refresh();
  }

  async #download(kind: FileKind): Promise<void> {
    const answer = this.#answers.current;
    if (!answer?.map) return;
    const { map, threshold, query } = answer;
    const name = slug(query);
    if (kind === "geojson") {
      save(await this.#geojson(answer), `${name}.geojson`);
      return;
    }
    const pixels = grayPixels(map, kind === "map" ? threshold : undefined);
    save(await pngOf(pixels, map.width, map.height), `${name}-${kind}.png`);
  }

  /** The server's own polygons; asked for again where the threshold was moved, which reasons nothing anew. */
  async #geojson(answer: Answer): Promise<Blob> {
    const pair = this.#pair;
    let { detection } = answer;
    if (pair?.kind === "files" && Math.abs(answer.threshold - detection.threshold) >= 0.005) {
      const { query, mode, threshold } = answer;
      const clicks = answer.clicks.slice(0, answer.corrected);
      const { meaning } = detection;
      const question = { t1: pair.t1, t2: pair.t2, query, mode, threshold, clicks, ...(meaning ? { meaning } : {}) };
      for await (const told of ask(this.#api, question, new AbortController().signal)) {
        if (told.kind === "answer") detection = told.detection;
      }
    }
    return new Blob([JSON.stringify(detection.polygons)], { type: "application/geo+json" });
  }

  async #submit({ query, mode }: Asked): Promise<void> {
    const pair = this.#pair;
    if (!pair) return;
    const input: SceneInput = pair.kind === "files" ? pair : { t1Name: pair.t1Name, t2Name: pair.t2Name };
    this.#askPanel.working(true);
    try {
      const job = await submit(this.#api, { input, query, mode }, newKey());
      this.#jobs.update(job);
      this.#watch.follow(job);
    } finally {
      this.#askPanel.working(false);
    }
  }

  async #openJob(job: Job): Promise<void> {
    const scene = await openScene(this.#api, job);
    this.#working?.abort();
    if (this.#pair) closePair(this.#pair);
    this.#pair = null;
    this.#pairPanel.show("of the job", "of the job");
    this.#askPanel.ready(false, "never");
    this.#answers.clear();
    this.#refresh();
    if (scene.threshold !== null) this.#tools.threshold = this.#viewer.threshold = scene.threshold;
    this.#viewer.showScene(scene.t1, scene.t2, scene.probability);
    this.#viewer.showPlaces(scene.places, scene.toPixel);
    this.#answerPanel.showJob(job.query, job.answer ?? "");
    if (scene.without) this.#answerPanel.state(scene.without);
  }

  async #removeJob(job: Job): Promise<void> {
    if (!hasEnded(job)) return;
    await remove(this.#api, job.id);
    this.#watch.leave(job.id);
    this.#jobs.show(await this.#watch.list());
  }

  /** Do something that the reader asked for; what is wrong is said in a sentence. */
  async #try(work: () => Promise<void>): Promise<void> {
    this.#notice.clear();
    try {
      await work();
    } catch (error) {
      if (isAbort(error)) return;
      if (error instanceof ApiError && error.asksForToken) this.#token.ask(wordsOf(error));
      else this.#notice.show(wordsOf(error));
    }
  }
}

function shareOf(answer: Answer): number {
  return answer.map ? changedFraction(answer.map, answer.threshold) : answer.detection.changed_fraction;
}

function figuresOf({ properties }: PlaceFeature) {
  const { area_px, area_m2, mean_probability } = properties;
  return { pixels: area_px, squareMetres: area_m2, meanProbability: mean_probability };
}
