"""Callers of the decode loop: who joins, who leaves, and who is told what."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing

import pytest
import torch

from reasoncd.errors import CancelledError, DeadlineError, InvalidInputError, UnavailableError
from reasoncd.ports import Mode, ReasonDone, ReasonEvent
from reasoncd.rpc.scope import CallScope, enter
from services.reasoner import answer_batch
from services.reasoner.answering import Question
from services.reasoner.decode_loop import DecodeLoop
from services.reasoner.engine import ReasonerEngine
from services.reasoner.generation import Decoding, step
from services.reasoner.model import ReasonerModel
from services.reasoner.rows import Rows
from services.serving.health import Health
from services.serving.worker import Worker
from services.wire import from_torch
from tests.services.reasoner.conftest import LESSONS, Lesson, engine_of

MakeLoop = Callable[..., DecodeLoop]

# Two of them stream for long, so that there is time to come and to go.
SHORT, LONG, TREES, LAKE, REFUSED = LESSONS


@pytest.fixture(scope="module")
def engine(taught_model: ReasonerModel) -> ReasonerEngine:
    return engine_of(taught_model)


@pytest.fixture
def make_loop(engine: ReasonerEngine) -> MakeLoop:
    def make(**options: object) -> DecodeLoop:
        settings = {"max_batch": 8, **options}
        return DecodeLoop(engine, Worker("reasoner", Health(lambda: None)), **settings)  # type: ignore[arg-type]

    return make


class Passes:
    """What the model was run for."""

    def __init__(self) -> None:
        self.shared: list[tuple[Decoding, ...]] = []

    @property
    def sizes(self) -> list[int]:
        return [len(decodings) for decodings in self.shared]

    def __call__(self, rows: Rows, decodings: Sequence[Decoding]) -> None:
        self.shared.append(tuple(decodings))
        step(rows, decodings)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    counting = Passes()
    monkeypatch.setattr(answer_batch, "step", counting)
    return counting


def question(engine: ReasonerEngine, lesson: Lesson) -> Question:
    return engine.question(lesson.features, lesson.query, lesson.mode)


async def ask(loop: DecodeLoop, asked: Question, scope: CallScope | None = None) -> list[ReasonEvent]:
    if scope is not None:
        enter(scope)
    async with aclosing(loop.answer(asked)) as events:
        return [event async for event in events]


def text_and_tokens(events: Sequence[ReasonEvent]) -> tuple[str, int]:
    done = events[-1]
    assert isinstance(done, ReasonDone)
    return done.answer, done.token_count


def expected(engine: ReasonerEngine, lesson: Lesson) -> tuple[str, int]:
    return text_and_tokens(list(engine.reason(lesson.features, lesson.query, lesson.mode)))


@pytest.mark.parametrize("lesson", LESSONS)
def test_one_caller_gets_the_engines_answer_bit_for_bit(
    make_loop: MakeLoop, engine: ReasonerEngine, lesson: Lesson
) -> None:
    found = asyncio.run(ask(make_loop(), question(engine, lesson)))
    assert found == list(engine.reason(lesson.features, lesson.query, lesson.mode))


def test_callers_at_once_share_passes_whatever_they_ask(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes
) -> None:
    asked = LESSONS * 2

    async def all_at_once() -> list[list[ReasonEvent]]:
        loop = make_loop(max_batch=16)
        return await asyncio.gather(*(ask(loop, question(engine, lesson)) for lesson in asked))

    found = asyncio.run(all_at_once())
    assert [text_and_tokens(events) for events in found] == [expected(engine, lesson) for lesson in asked]
    assert max(passes.sizes) > 5
    # The longest answer takes a pass a token; nobody takes more of their own.
    assert len(passes.sizes) <= expected(engine, LONG)[1] + 5


def test_who_comes_later_joins_the_passes_of_who_is_there(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes
) -> None:
    async def one_after_the_other() -> list[list[ReasonEvent]]:
        loop = make_loop()
        second: asyncio.Task[list[ReasonEvent]] | None = None
        first: list[ReasonEvent] = []
        async with aclosing(loop.answer(question(engine, LONG))) as events:
            async for event in events:
                first.append(event)
                if second is None:
                    second = asyncio.create_task(ask(loop, question(engine, LAKE)))
        assert second is not None
        return [first, await second]

    first, second = asyncio.run(one_after_the_other())
    assert text_and_tokens(first) == expected(engine, LONG)
    assert text_and_tokens(second) == expected(engine, LAKE)
    assert passes.sizes[:2] == [1, 1]
    assert 2 in passes.sizes


@pytest.mark.parametrize("how", ["cancelled", "left", "late"])
def test_no_pass_begins_for_who_is_gone(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes, how: str
) -> None:
    async def leave_early() -> tuple[int, list[ReasonEvent]]:
        loop, scope = make_loop(), CallScope(timeout_s=3600)
        staying = asyncio.create_task(ask(loop, question(engine, LAKE)))
        await asyncio.sleep(0)
        enter(scope)
        events = loop.answer(question(engine, LONG))
        await anext(events)
        if how == "cancelled":
            scope.cancel()
        elif how == "late":
            scope._deadline = 0.0
        else:
            await events.aclose()
        # One more pass may be about to begin in the other thread.
        begun = len(passes.shared) + 1
        if how != "left":
            with pytest.raises(CancelledError if how == "cancelled" else DeadlineError):
                await ask_rest(events)
        return begun, await staying

    async def ask_rest(events: AsyncIterator[ReasonEvent]) -> None:
        async for _ in events:
            pass

    begun, others = asyncio.run(leave_early())
    assert text_and_tokens(others) == expected(engine, LAKE)
    suffix = question(engine, LONG).prompt.suffix
    took_part = [any(d._suffix == suffix for d in shared) for shared in passes.shared]
    assert any(took_part)
    assert not any(took_part[begun:])
    assert sum(took_part) < expected(engine, LONG)[1]


def test_who_is_late_already_costs_no_pass(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes
) -> None:
    with pytest.raises(DeadlineError):
        asyncio.run(ask(make_loop(), question(engine, LONG), CallScope(timeout_s=0.0)))
    assert passes.shared == []


def test_who_waits_in_line_is_told_when_the_time_is_up(make_loop: MakeLoop, engine: ReasonerEngine) -> None:
    async def wait() -> list[ReasonEvent]:
        loop, scope = make_loop(max_batch=1), CallScope(timeout_s=3600)
        first = asyncio.create_task(ask(loop, question(engine, LONG)))
        await asyncio.sleep(0)
        second = asyncio.create_task(ask(loop, question(engine, LAKE), scope))
        await asyncio.sleep(0)
        scope._deadline = 0.0
        with pytest.raises(DeadlineError):
            await second
        assert not first.done()
        return await first

    assert text_and_tokens(asyncio.run(wait())) == expected(engine, LONG)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_batch_is_bounded_and_the_order_is_that_of_arrival(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes, limit: int
) -> None:
    async def crowd() -> list[list[ReasonEvent]]:
        loop = make_loop(max_batch=limit)
        return await asyncio.gather(*(ask(loop, question(engine, lesson)) for lesson in LESSONS))

    found = asyncio.run(crowd())
    assert [text_and_tokens(events) for events in found] == [expected(engine, lesson) for lesson in LESSONS]
    assert max(passes.sizes) == limit
    began = dict.fromkeys(decoding._suffix for shared in passes.shared for decoding in shared)
    assert list(began) == [question(engine, lesson).prompt.suffix for lesson in LESSONS]


def test_those_in_work_wait_for_one_new_pair_at_most(taught_model: ReasonerModel, passes: Passes) -> None:
    fresh = engine_of(taught_model)
    loop = DecodeLoop(fresh, Worker("reasoner", Health(lambda: None)), max_batch=8)
    fresh.start(question(fresh, LONG))
    assert [fresh.is_cold(question(fresh, lesson)) for lesson in (LONG, TREES, LAKE)] == [False, True, True]

    async def crowd() -> None:
        events = loop.answer(question(fresh, LONG))
        await anext(events)
        rest = [asyncio.create_task(ask(loop, question(fresh, lesson))) for lesson in (TREES, LAKE, SHORT)]
        async for _ in events:
            pass
        await asyncio.gather(*rest)

    asyncio.run(crowd())
    # The pair in work is known; then comes one new pair; then the other, and behind it who knows theirs.
    sizes = [len(shared) for n, shared in enumerate(passes.shared) if is_first(passes.shared, n)]
    assert sizes == [1, 1, 1, 1]


def is_first(shared: Sequence[tuple[Decoding, ...]], n: int) -> bool:
    """Whether pass n is the first one of its answers."""
    return not any(decoding in earlier for earlier in shared[:n] for decoding in shared[n])


def test_a_pause_lets_others_join_the_first_pass(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes
) -> None:
    async def soon_after() -> None:
        loop = make_loop(wait_s=0.2)
        first = asyncio.create_task(ask(loop, question(engine, SHORT)))
        for _ in range(3):
            await asyncio.sleep(0)
        await asyncio.gather(first, ask(loop, question(engine, LAKE)))

    asyncio.run(soon_after())
    assert passes.sizes[0] == 2


def test_a_question_that_fails_at_its_start_fails_alone(make_loop: MakeLoop, engine: ReasonerEngine) -> None:
    broken = from_torch(torch.full((2, 5, 12), float("nan"), dtype=torch.bfloat16))

    async def among_others() -> list[list[ReasonEvent] | BaseException]:
        loop = make_loop()
        bad = engine.question(broken, "trees", Mode.SHORT)
        asked = [question(engine, SHORT), bad, question(engine, LAKE)]
        return await asyncio.gather(*(ask(loop, q) for q in asked), return_exceptions=True)

    first, bad, last = asyncio.run(among_others())
    assert isinstance(bad, InvalidInputError)
    assert isinstance(first, list) and text_and_tokens(first) == expected(engine, SHORT)
    assert isinstance(last, list) and text_and_tokens(last) == expected(engine, LAKE)


def test_a_fault_is_noted_and_told_to_its_caller_alone(
    make_loop: MakeLoop, engine: ReasonerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix = question(engine, LONG).prompt.suffix

    def breaking(rows: Rows, decodings: Sequence[Decoding]) -> None:
        if any(decoding._suffix == suffix for decoding in decodings):
            raise RuntimeError("broken")
        step(rows, decodings)

    monkeypatch.setattr(answer_batch, "step", breaking)
    faults: list[None] = []

    async def among_others() -> list[list[ReasonEvent] | BaseException]:
        loop = make_loop(on_fault=lambda: faults.append(None))
        asked = [question(engine, lesson) for lesson in (SHORT, LONG, LAKE)]
        return await asyncio.gather(*(ask(loop, q) for q in asked), return_exceptions=True)

    first, bad, last = asyncio.run(among_others())
    assert isinstance(bad, RuntimeError)
    assert len(faults) == 1
    assert isinstance(first, list) and text_and_tokens(first) == expected(engine, SHORT)
    assert isinstance(last, list) and text_and_tokens(last) == expected(engine, LAKE)


def test_a_fault_of_the_loop_itself_leaves_nobody_waiting(
    make_loop: MakeLoop, engine: ReasonerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def then_again() -> list[ReasonEvent]:
        loop = make_loop(max_batch=2)
        with monkeypatch.context() as broken:
            broken.setattr(DecodeLoop, "_note", lambda *arguments: 1 / 0)
            asked = [question(engine, lesson) for lesson in LESSONS]
            results = await asyncio.gather(*(ask(loop, q) for q in asked), return_exceptions=True)
        assert all(isinstance(result, ZeroDivisionError) for result in results)
        return await ask(loop, question(engine, SHORT))

    assert text_and_tokens(asyncio.run(then_again())) == expected(engine, SHORT)


def test_who_failed_in_a_turn_that_broke_is_told_its_own_error(
    make_loop: MakeLoop, engine: ReasonerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = from_torch(torch.full((2, 5, 12), float("nan"), dtype=torch.bfloat16))

    async def together() -> list[list[ReasonEvent] | BaseException]:
        loop = make_loop()
        asked = [engine.question(broken, "trees", Mode.SHORT), question(engine, LONG)]
        return await asyncio.gather(*(ask(loop, q) for q in asked), return_exceptions=True)

    monkeypatch.setattr(DecodeLoop, "_note", lambda *arguments: 1 / 0)
    bad, other = asyncio.run(asyncio.wait_for(together(), timeout=60))
    assert isinstance(bad, InvalidInputError)
    assert isinstance(other, ZeroDivisionError)


def test_who_waits_when_the_service_stops_is_told_so(make_loop: MakeLoop, engine: ReasonerEngine) -> None:
    async def stop() -> list[list[ReasonEvent] | BaseException]:
        loop = make_loop(max_batch=1)
        tasks = [asyncio.create_task(ask(loop, question(engine, lesson))) for lesson in (LONG, LAKE)]
        await asyncio.sleep(0)
        loop.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(result, UnavailableError) for result in asyncio.run(stop()))


@pytest.mark.parametrize("options", [{"max_batch": 0}, {"wait_s": -0.1}])
def test_settings_that_make_no_sense_are_refused(make_loop: MakeLoop, options: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="at least"):
        make_loop(**options)
