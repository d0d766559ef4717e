"""Answers decoded together against each by itself; short and explained, with and without `<SEG>`."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from reasoncd.ports import ReasonDone, ReasonEvent, ReasonText
from services.reasoner import answer_batch
from services.reasoner.answer_batch import AnswerBatch
from services.reasoner.answering import Answering
from services.reasoner.build import merge
from services.reasoner.engine import ReasonerEngine
from services.reasoner.generation import Decoding, step
from services.reasoner.model import ReasonerModel
from services.reasoner.rows import Rows
from services.wire import to_torch
from tests.services.reasoner.conftest import LESSONS, Lesson, engine_of

MakeModel = Callable[..., ReasonerModel]


@pytest.fixture(scope="module", params=["taught", "random", "two turns"])
def engine(
    request: pytest.FixtureRequest, make_model: MakeModel, taught_model: ReasonerModel
) -> ReasonerEngine:
    """Of a model that answers, of one that repeats a token and so fails every guess, and of one that is
    asked twice for an explanation."""
    if request.param == "taught":
        return engine_of(taught_model)
    model = merge(make_model(4), dtype=torch.float32)
    model.config = replace(model.config, decide_first=request.param == "two turns")
    return engine_of(model)


def begin(engine: ReasonerEngine, lesson: Lesson) -> Answering:
    return engine.start(engine.question(lesson.features, lesson.query, lesson.mode))


def by_itself(engine: ReasonerEngine, lesson: Lesson) -> list[ReasonEvent]:
    return list(engine.reason(lesson.features, lesson.query, lesson.mode))


class Heard:
    """The events of each answer, as a caller would collect them."""

    def __init__(self, batch: AnswerBatch) -> None:
        self._batch = batch
        self._events: dict[Answering, list[ReasonEvent]] = {}

    def add(self, *newcomers: Answering) -> None:
        self._note(newcomers, self._batch.add(newcomers))

    def advance(self) -> None:
        answers = self._batch.answers
        self._note(answers, self._batch.advance())

    def finish(self) -> None:
        while self._batch.answers:
            self.advance()

    def of(self, answer: Answering) -> list[ReasonEvent]:
        return self._events[answer]

    def _note(self, answers: Sequence[Answering], outcomes: Sequence[answer_batch.Outcome]) -> None:
        for answer, outcome in zip(answers, outcomes, strict=True):
            assert not isinstance(outcome, Exception), outcome
            self._events.setdefault(answer, []).extend(outcome)


def check_same(found: list[ReasonEvent], expected: list[ReasonEvent]) -> None:
    """The same text and tokens; embedding and probability within rounding."""
    *texts, done = found
    *expected_texts, expected_done = expected
    assert isinstance(done, ReasonDone) and isinstance(expected_done, ReasonDone)
    assert "".join(e.text for e in texts if isinstance(e, ReasonText)) == done.answer
    assert texts == expected_texts
    assert (done.answer, done.token_count) == (expected_done.answer, expected_done.token_count)
    assert done.seg_probability == pytest.approx(expected_done.seg_probability, abs=1e-4)
    assert (done.seg_embedding is None) == (expected_done.seg_embedding is None)
    if done.seg_embedding is not None and expected_done.seg_embedding is not None:
        found_seg, expected_seg = to_torch(done.seg_embedding), to_torch(expected_done.seg_embedding)
        torch.testing.assert_close(found_seg, expected_seg, atol=1e-4, rtol=0)


@pytest.mark.parametrize("lesson", LESSONS)
def test_an_answer_alone_is_bit_for_bit_that_of_the_engine(engine: ReasonerEngine, lesson: Lesson) -> None:
    heard = Heard(engine.batch())
    answer = begin(engine, lesson)
    heard.add(answer)
    heard.finish()
    assert heard.of(answer) == by_itself(engine, lesson)


def test_answers_together_are_those_of_each_alone(engine: ReasonerEngine) -> None:
    heard = Heard(engine.batch())
    answers = [begin(engine, lesson) for lesson in LESSONS]
    heard.add(*answers)
    heard.finish()
    for answer, lesson in zip(answers, LESSONS, strict=True):
        check_same(heard.of(answer), by_itself(engine, lesson))


def test_the_taught_answers_are_worth_comparing(taught_engine: ReasonerEngine) -> None:
    found = [by_itself(taught_engine, lesson)[-1] for lesson in LESSONS]
    assert [done.answer for done in found if isinstance(done, ReasonDone)] == [
        lesson.answer.removesuffix(": <SEG>") for lesson in LESSONS
    ]


@pytest.mark.parametrize("passes", [1, 2, 5])
def test_answers_that_join_late_are_those_of_each_alone(engine: ReasonerEngine, passes: int) -> None:
    heard = Heard(engine.batch())
    answers = [begin(engine, lesson) for lesson in LESSONS]
    for answer in answers:
        heard.add(answer)
        for _ in range(passes):
            heard.advance()
    heard.finish()
    for answer, lesson in zip(answers, LESSONS, strict=True):
        check_same(heard.of(answer), by_itself(engine, lesson))


@pytest.mark.parametrize("leaver", range(3))
def test_who_leaves_changes_nothing_for_the_others(engine: ReasonerEngine, leaver: int) -> None:
    batch = engine.batch()
    heard = Heard(batch)
    answers = [begin(engine, lesson) for lesson in LESSONS[:3]]
    heard.add(*answers)
    heard.advance()
    batch.remove([answers[leaver]])
    assert answers[leaver] not in batch.answers
    heard.finish()
    assert not answers[leaver].decoding.finished or len(heard.of(answers[leaver])) > 0
    for n, (answer, lesson) in enumerate(zip(answers, LESSONS, strict=False)):
        if n != leaver:
            check_same(heard.of(answer), by_itself(engine, lesson))


def test_when_all_leave_the_batch_can_be_used_again(engine: ReasonerEngine) -> None:
    batch = engine.batch()
    heard = Heard(batch)
    first = begin(engine, LESSONS[1])
    heard.add(first)
    batch.remove([first])
    assert batch.answers == ()
    assert batch.advance() == []
    again = begin(engine, LESSONS[1])
    heard.add(again)
    heard.finish()
    assert heard.of(again) == by_itself(engine, LESSONS[1])


def test_a_failing_answer_fails_alone(engine: ReasonerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [begin(engine, lesson) for lesson in LESSONS]
    broken = answers[1].decoding
    passes = 0

    def step_that_breaks(rows: Rows, decodings: Sequence[Decoding]) -> None:
        nonlocal passes
        passes += 1
        step(rows, decodings)
        # Only now: some have already read their tokens, and must not lose or double any.
        if broken in decodings and passes > 2:
            raise RuntimeError("the row is broken")

    monkeypatch.setattr(answer_batch, "step", step_that_breaks)
    batch = engine.batch()
    heard: dict[int, list[ReasonEvent]] = {n: [] for n in range(len(answers))}
    failed: list[tuple[int, Exception]] = []

    def note(those: Sequence[Answering], outcomes: Sequence[answer_batch.Outcome]) -> None:
        for answer, outcome in zip(those, outcomes, strict=True):
            n = answers.index(answer)
            if isinstance(outcome, Exception):
                failed.append((n, outcome))
            else:
                heard[n] += outcome

    note(answers, batch.add(answers))
    while batch.answers:
        those = batch.answers
        note(those, batch.advance())
    assert [n for n, _ in failed] == [1]
    assert "the row is broken" in str(failed[0][1])
    monkeypatch.undo()
    for n, lesson in enumerate(LESSONS):
        if n != 1:
            check_same(heard[n], by_itself(engine, lesson))


def test_a_batch_that_never_works_still_answers_everybody(
    engine: ReasonerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step_for_one(rows: Rows, decodings: Sequence[Decoding]) -> None:
        if len(decodings) > 1:
            raise torch.OutOfMemoryError("no memory for so many")
        step(rows, decodings)

    monkeypatch.setattr(answer_batch, "step", step_for_one)
    heard = Heard(engine.batch())
    answers = [begin(engine, lesson) for lesson in LESSONS[:3]]
    heard.add(*answers)
    heard.finish()
    monkeypatch.undo()
    for answer, lesson in zip(answers, LESSONS, strict=False):
        check_same(heard.of(answer), by_itself(engine, lesson))
