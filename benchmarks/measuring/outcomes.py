"""What came of each question: the pipeline's answer, held against the labels, beside the controls.

Controls answer the same question in another way and are scored alike:

- `all positive`: every pixel is marked.
- `any change`: the question is ignored; the union of the model's own maps for any
  change of each of the five classes.
- `any change, truth`: the question is ignored; the union of the true changes of the five classes: the best
  that marking all change can do.
- `oracle`: the model, prompted with the plain wording of the true target.
- `lexicon`, `lexicon or nothing`: the model, prompted with the plain wording of the target that keywords
  suggest; where they suggest none, `any change` or an empty map. The one does better where the change is
  there, the other where it is not.
- `nearest phrases`, `logistic regression`: the model, prompted with the plain wording of the target whose
  training phrases resemble the question most; nothing where those are off-topic lines.
- `shuffled`: the model, prompted with the plain wording of another target.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.answers import named_target, says_nothing_seen, says_off_topic
from benchmarks.measuring.measures import overlap
from benchmarks.measuring.score_counts import ScoreCounts
from benchmarks.queries.lexicon import lexicon_target
from benchmarks.queries.questions import DIRECTED, UNDIRECTED, Question, canonical_query, opposite
from gateway.detection import Detection
from gateway.pipeline import Pipeline
from reasoncd.errors import ReasonCDError
from reasoncd.ontology import Target
from reasoncd.ports import Mode
from training.data.labels import NO, UNKNOWN, YES, LabelledPair, target_masks
from training.metrics import Confusion

Mask = NDArray[np.bool_]

ORACLE, LEXICON, LEXICON_OR_NOTHING = "oracle", "lexicon", "lexicon or nothing"
NEAREST, REGRESSION = "nearest phrases", "logistic regression"
SHUFFLED, ANY_CHANGE = "shuffled", "any change"
CONTROLS = (
    ORACLE, LEXICON, LEXICON_OR_NOTHING, NEAREST, REGRESSION, SHUFFLED, ANY_CHANGE, "any change, truth",
    "all positive",
)  # fmt: skip
MODEL = "model"
Guess = Callable[[str], Target | None]
"""A way to find the target of a query without the model; None where it finds none."""
_AT_ONCE = 16
"""Questions in one call of the pipeline; enough to share the work, few enough to bound the memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A question that got no answer."""

    query: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One question, its answer, and how far both agree with the labels."""

    question: Question
    scores: dict[str, Confusion]
    """Of `model` and each control, against the truth of the accepted target that fits best."""
    empty: bool
    """No pixel is marked."""
    named: Target | None
    """The target that the answer names."""
    right_words: bool
    """The answer names an accepted target, or says what an absent or off-topic one calls for."""
    seg_emitted: bool
    presence: float
    confidence: float | None
    wrong_direction: int
    """Marked pixels on which the opposite of the asked change happened and the asked one did not."""
    marked: int
    """Marked pixels of known truth."""
    answer: str
    score_counts: ScoreCounts
    """Of the model's probabilities, against the truth of its score."""
    failed: bool = False

    @property
    def correct_empty(self) -> bool:
        """Nothing is marked and the answer says so; for an off-topic question it says why."""
        return self.empty and self.right_words and not self.question.present

    def as_json(self) -> dict[str, Any]:
        """Everything but the pixels, with numbers and texts only."""
        q = self.question
        return {
            "pair": q.pair, "level": q.level, "wording": q.wording, "query": q.query,
            "accept": [t.key for t in q.accept], "present": q.present,
            "named": self.named.key if self.named else None, "answer": self.answer,
            "empty": self.empty, "right_words": self.right_words, "seg_emitted": self.seg_emitted,
            "presence": round(self.presence, 5), "confidence": self.confidence,
            "wrong_direction": self.wrong_direction, "marked": self.marked, "failed": self.failed,
            "scores": {name: [c.tp, c.fp, c.fn, c.tn] for name, c in self.scores.items()},
            "score_counts": self.score_counts.as_json(),
        }  # fmt: skip


def ask(
    pipeline: Pipeline, images: NDArray[np.uint8], queries: Sequence[str], *, mode: Mode = Mode.SHORT
) -> dict[str, Detection | Failure]:
    """Ask distinct questions about a pair; one that fails does not take the others with it."""
    found: dict[str, Detection | Failure] = {}
    distinct = list(dict.fromkeys(queries))
    for start in range(0, len(distinct), _AT_ONCE):
        part = distinct[start : start + _AT_ONCE]
        answered = _try(pipeline, images, part, mode)
        if isinstance(answered, Failure) and len(part) > 1:
            for query in part:
                alone = _try(pipeline, images, [query], mode)
                found[query] = alone if isinstance(alone, Failure) else alone[0]
        elif isinstance(answered, Failure):
            found[part[0]] = answered
        else:
            found.update(zip(part, answered, strict=True))
    return found


def _try(
    pipeline: Pipeline, images: NDArray[np.uint8], queries: list[str], mode: Mode
) -> list[Detection] | Failure:
    try:
        return pipeline.detect(images, queries, mode=mode)
    except (ReasonCDError, RuntimeError, ValueError, IndexError, KeyError) as error:
        # Whatever an engine stumbles over is a result of the measurement, not its end.
        return Failure(query=queries[0], reason=f"{type(error).__name__}: {error}")


def stacked(pair: LabelledPair) -> NDArray[np.uint8]:
    """The images of a pair as the pipeline takes them: (2, H, W, 3)."""
    return np.stack([pair.image_t1, pair.image_t2])


def measure_pair(
    pipeline: Pipeline,
    pair: LabelledPair,
    questions: Sequence[Question],
    rng: np.random.Generator,
    *,
    guesses: Mapping[str, Guess] | None = None,
    controls: bool = True,
) -> tuple[list[Outcome], list[Failure]]:
    """Ask all questions about one pair, and what the controls need, and score the answers.

    A question that fails counts as an empty map and wrong words.

    Args:
        pipeline: what is measured.
        pair: images and labels.
        questions: about this pair.
        rng: of the shuffled control.
        guesses: further controls by name, which mark nothing where they find no target.
        controls: whether the controls are asked; else only the model is scored.
    """
    prompts = _control_prompts(questions, rng, guesses or {}) if controls else {}
    needed = {t for targets in prompts.values() for t in targets if t is not None}
    needed.update(UNDIRECTED if controls else ())
    queries = [q.query for q in questions] + sorted(canonical_query(t) for t in needed)
    answers = ask(pipeline, stacked(pair), queries)

    size = pair.land_t1.shape
    nothing = np.zeros(size, dtype=bool)

    def map_of(query: str) -> Mask:
        answer = answers[query]
        return nothing if isinstance(answer, Failure) else answer.change_map

    ignoring: dict[str, Mask] = {}
    if controls:
        ignoring = {
            ANY_CHANGE: np.any([map_of(canonical_query(t)) for t in UNDIRECTED], axis=0),
            "any change, truth": (target_masks(pair, UNDIRECTED) == YES).any(axis=0),
            "all positive": ~nothing,
        }
    outcomes = []
    for number, question in enumerate(questions):
        maps = {MODEL: map_of(question.query), **ignoring}
        for name, targets in prompts.items():
            target = targets[number]
            # With no word for it the one marks what changed, the others nothing.
            fallback = ignoring[ANY_CHANGE] if name == LEXICON else nothing
            maps[name] = map_of(canonical_query(target)) if target else fallback
        outcomes.append(_outcome(pair, question, answers[question.query], maps))
    return outcomes, [a for a in answers.values() if isinstance(a, Failure)]


def _control_prompts(
    questions: Sequence[Question], rng: np.random.Generator, guesses: Mapping[str, Guess]
) -> dict[str, list[Target | None]]:
    """The target that each control prompts the model with, for each question."""
    suggested = [lexicon_target(question.query) for question in questions]
    others = [[t for t in DIRECTED if t not in question.accept] for question in questions]
    return {
        ORACLE: [question.target for question in questions],
        LEXICON: suggested,
        LEXICON_OR_NOTHING: suggested,
        SHUFFLED: [wrong[int(rng.integers(len(wrong)))] for wrong in others],
        **{name: [guess(question.query) for question in questions] for name, guess in guesses.items()},
    }


def _outcome(
    pair: LabelledPair, question: Question, answer: Detection | Failure, maps: dict[str, Mask]
) -> Outcome:
    truths: Sequence[NDArray[np.uint8]] = [np.zeros(pair.land_t1.shape, dtype=np.uint8)]
    if question.accept:
        # What is unknown everywhere would score any map as perfect.
        truths = [m for m in target_masks(pair, question.accept) if (m != UNKNOWN).any()]
    scores = {name: _best(change_map, truths) for name, change_map in maps.items()}
    wrong, marked = _wrong_direction(pair, question, maps[MODEL])
    nothing = np.zeros(pair.land_t1.shape, dtype=np.float32)
    probability = nothing if isinstance(answer, Failure) else answer.probability
    counts = ScoreCounts.of(probability, _best_truth(maps[MODEL], truths))
    if isinstance(answer, Failure):
        return Outcome(
            question=question, scores=scores, empty=True, named=None, right_words=False, seg_emitted=False,
            presence=0.0, confidence=None, wrong_direction=wrong, marked=marked, answer="",
            score_counts=counts, failed=True,
        )  # fmt: skip
    named = named_target(answer.answer)
    return Outcome(
        question=question, scores=scores, empty=not answer.change_map.any(), named=named,
        right_words=_right_words(question, answer.answer, named), seg_emitted=answer.seg_emitted,
        presence=answer.presence, confidence=answer.confidence, wrong_direction=wrong, marked=marked,
        answer=answer.answer, score_counts=counts,
    )  # fmt: skip


def _right_words(question: Question, answer: str, named: Target | None) -> bool:
    if not question.accept:
        return says_off_topic(answer)
    return named in question.accept if question.present else says_nothing_seen(answer)


def _best(change_map: Mask, truths: Sequence[NDArray[np.uint8]]) -> Confusion:
    return Confusion.of(change_map, _best_truth(change_map, truths))


def _best_truth(change_map: Mask, truths: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The first of the truths that a map fits best."""
    return max(truths, key=lambda truth: Confusion.of(change_map, truth).f1)


def _wrong_direction(pair: LabelledPair, question: Question, change_map: Mask) -> tuple[int, int]:
    target = question.target
    other = opposite(target) if target else None
    if target is None or other is None:
        return 0, 0
    asked, against = target_masks(pair, (target, other))
    known = asked != UNKNOWN
    return (
        int(np.count_nonzero(change_map & (against == YES) & (asked == NO))),
        int(np.count_nonzero(change_map & known)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Swap:
    """A map beside that of the opposite question on the exchanged images."""

    iou: float
    """0 where a question failed."""
    empty: bool
    """Both maps are, so that their agreement says nothing of direction."""


def swap_test(
    pipeline: Pipeline, pair: LabelledPair, target: Target, on_failure: Callable[[Failure], None]
) -> Swap:
    """Ask for one change, and for its opposite with the images exchanged; a failure is no agreement."""
    other = opposite(target)
    assert other is not None  # only gains and losses are swapped
    images = stacked(pair)
    found = []
    for order, asked in ((images, target), (images[::-1], other)):
        query = canonical_query(asked)
        answer = ask(pipeline, np.ascontiguousarray(order), [query])[query]
        if isinstance(answer, Failure):
            on_failure(answer)
            return Swap(iou=0.0, empty=False)
        found.append(answer.change_map)
    return Swap(iou=overlap(found[0], found[1]), empty=not (found[0].any() or found[1].any()))
