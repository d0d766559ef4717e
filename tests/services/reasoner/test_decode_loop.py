"""Callers of the decode loop: who joins, who leaves, and who is told what."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

import pytest
import torch

from reasoncd.errors import CancelledError, DeadlineError, InvalidInputError, UnavailableError
from reasoncd.ports import Description, Mode, ReasonDone, ReasonEvent
from reasoncd.rpc.scope import CallScope, enter
from reasoncd.tensors import Tensor
from services.reasoner import answer_batch
from services.reasoner.answering import Question
from services.reasoner.build import merge
from services.reasoner.decode_loop import DecodeLoop
from services.reasoner.engine import ReasonerEngine
from services.reasoner.generation import Decoding, step
from services.reasoner.model import ReasonerModel
from services.reasoner.rows import Rows
from services.serving.health import Health
from services.serving.worker import Worker
from services.wire import from_torch

MakeModel = Callable[..., ReasonerModel]
MakeLoop = Callable[..., DecodeLoop]

# Long answers by the random model below, so that there is time to come and to go.
QUERIES = ("new houses", "trees", "Where did a lake or pond dry up?", "roads", "lost fields along the river")


@pytest.fixture(scope="module")
def engine(make_model: MakeModel) -> ReasonerEngine:
    description = Description(
        component="reasoner", version="1", preset="test", fingerprint="f" * 64, seg_space="seg-1"
    )
    return ReasonerEngine(merge(make_model(4), dtype=torch.float32), description)


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


def features(seed: int = 0) -> Tensor:
    return from_torch(torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(seed)).bfloat16())


def question(engine: ReasonerEngine, query: str, mode: Mode = Mode.EXPLAINED, *, pair: int = 0) -> Question:
    return engine.question(features(pair), query, mode)


async def ask(loop: DecodeLoop, asked: Question, scope: CallScope | None = None) -> list[ReasonEvent]:
    if scope is not None:
        enter(scope)
    async with aclosing(loop.answer(asked)) as events:
        return [event async for event in events]


def text_and_tokens(events: Sequence[ReasonEvent]) -> tuple[str, int]:
    done = events[-1]
    assert isinstance(done, ReasonDone)
    return done.answer, done.token_count


def expected(
    engine: ReasonerEngine, query: str, mode: Mode = Mode.EXPLAINED, *, pair: int = 0
) -> tuple[str, int]:
    return text_and_tokens(list(engine.reason(features(pair), query, mode)))


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("query", QUERIES)
def test_one_caller_gets_the_engines_answer_bit_for_bit(
    make_loop: MakeLoop, engine: ReasonerEngine, query: str, mode: Mode
) -> None:
    found = asyncio.run(ask(make_loop(), question(engine, query, mode)))
    assert found == list(engine.reason(features(), query, mode))


def test_callers_at_once_share_passes_whatever_they_ask(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes
) -> None:
    asks = [(query, mode, pair) for pair, query in enumerate(QUERIES) for mode in Mode]

    async def all_at_once() -> list[list[ReasonEvent]]:
        loop = make_loop(max_batch=16)
        return await asyncio.gather(*(ask(loop, question(engine, q, m, pair=p)) for q, m, p in asks))

    found = asyncio.run(all_at_once())
    assert [text_and_tokens(events) for events in found] == [
        expected(engine, q, m, pair=p) for q, m, p in asks
    ]
    assert max(passes.sizes) > 5
    # Plain decoding takes a pass a token.
    assert len(passes.sizes) < sum(text_and_tokens(events)[1] for events in found) / 3


def test_who_comes_later_joins_the_passes_of_who_is_there(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes
) -> None:
    async def one_after_the_other() -> list[list[ReasonEvent]]:
        loop = make_loop()
        second: asyncio.Task[list[ReasonEvent]] | None = None
        first: list[ReasonEvent] = []
        async with aclosing(loop.answer(question(engine, QUERIES[0]))) as events:
            async for event in events:
                first.append(event)
                if second is None:
                    second = asyncio.create_task(ask(loop, question(engine, QUERIES[1])))
        assert second is not None
        return [first, await second]

    first, second = asyncio.run(one_after_the_other())
    assert text_and_tokens(first) == expected(engine, QUERIES[0])
    assert text_and_tokens(second) == expected(engine, QUERIES[1])
    assert passes.sizes[:2] == [1, 1]
    assert 2 in passes.sizes


@pytest.mark.parametrize("how", ["scope", "left", "deadline"])
def test_no_pass_begins_for_who_is_gone(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes, how: str
) -> None:
    async def leave_early() -> tuple[int, int, Exception | None, list[ReasonEvent]]:
        loop, scope = make_loop(), CallScope(timeout_s=3600)
        staying = asyncio.create_task(ask(loop, question(engine, QUERIES[0])))
        await asyncio.sleep(0)
        enter(scope)
        events = loop.answer(question(engine, QUERIES[2]))
        await anext(events)
        # Between two turns of the loop: from now on no pass may begin for this caller. One may be running.
        begun = len(passes.shared)
        raised: Exception | None = None
        if how == "left":
            await events.aclose()
        elif how == "scope":
            scope.cancel()
        else:
            scope._deadline = 0.0
        if how != "left":
            try:
                async for _ in events:
                    pass
            except (CancelledError, DeadlineError) as error:
                raised = error
        others = await staying
        return begun, len(passes.shared), raised, others

    begun, _, raised, others = asyncio.run(leave_early())
    assert text_and_tokens(others) == expected(engine, QUERIES[0])
    assert isinstance(raised, {"scope": CancelledError, "deadline": DeadlineError}.get(how, type(None)))
    gone = next(d for shared in passes.shared for d in shared if d is not passes.shared[0][0])
    after = [shared for shared in passes.shared[begun + 1 :] if gone in shared]
    assert after == []
    # It was really cut short.
    assert not gone.finished
    assert sum(gone in shared for shared in passes.shared) < expected(engine, QUERIES[2])[1]


def test_who_is_late_already_costs_no_pass(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes
) -> None:
    async def late() -> None:
        await ask(make_loop(), question(engine, QUERIES[0]), CallScope(timeout_s=0.0))

    with pytest.raises(DeadlineError):
        asyncio.run(late())
    assert passes.shared == []


def test_who_waits_in_line_is_told_when_the_time_is_up(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes
) -> None:
    async def wait() -> list[ReasonEvent]:
        loop, scope = make_loop(max_batch=1), CallScope(timeout_s=3600)
        first = asyncio.create_task(ask(loop, question(engine, QUERIES[0])))
        await asyncio.sleep(0)
        second = asyncio.create_task(ask(loop, question(engine, QUERIES[1]), scope))
        await asyncio.sleep(0)
        scope._deadline = 0.0
        with pytest.raises(DeadlineError):
            await second
        assert not first.done()
        return await first

    assert text_and_tokens(asyncio.run(wait())) == expected(engine, QUERIES[0])


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_batch_is_bounded_and_the_order_is_that_of_arrival(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes, limit: int
) -> None:
    async def crowd() -> list[list[ReasonEvent]]:
        loop = make_loop(max_batch=limit)
        return await asyncio.gather(*(ask(loop, question(engine, query)) for query in QUERIES))

    found = asyncio.run(crowd())
    assert [text_and_tokens(events) for events in found] == [expected(engine, query) for query in QUERIES]
    assert max(passes.sizes) == limit
    begun = list(dict.fromkeys(d for shared in passes.shared for d in shared))
    suffixes = [engine.question(features(), query, Mode.EXPLAINED).prompt.suffix for query in QUERIES]
    assert [decoding._suffix for decoding in begun] == suffixes


def test_those_in_work_wait_for_one_new_pair_at_most(
    make_loop: MakeLoop, make_model: MakeModel, passes: Passes
) -> None:
    description = Description(
        component="reasoner", version="1", preset="test", fingerprint="e" * 64, seg_space="seg-1"
    )
    fresh = ReasonerEngine(merge(make_model(4), dtype=torch.float32), description)
    loop = DecodeLoop(fresh, Worker("reasoner", Health(lambda: None)), max_batch=8)
    known = question(fresh, QUERIES[0], pair=0)
    fresh.start(known)
    cold = [question(fresh, QUERIES[1], pair=pair) for pair in (1, 2)]
    assert [fresh.is_cold(q) for q in (known, *cold)] == [False, True, True]

    async def crowd() -> None:
        first = loop.answer(known)
        await anext(first)
        rest = [asyncio.create_task(ask(loop, q)) for q in (*cold, question(fresh, QUERIES[2], pair=0))]
        async for _ in first:
            pass
        await asyncio.gather(*rest)

    asyncio.run(crowd())
    begun = [size for size, shared in zip(passes.sizes, passes.shared, strict=True) if not shared[0]._passes]
    assert begun == []
    first_passes = [
        shared
        for n, shared in enumerate(passes.shared)
        if not any(d in earlier for earlier in passes.shared[:n] for d in shared)
    ]
    # The known pair alone; then one new pair; then the other one with the last question behind it.
    assert [len(shared) for shared in first_passes][:2] == [1, 1]
    assert sum(len(shared) for shared in first_passes) == 4


def test_a_pause_lets_others_join_the_first_pass(
    make_loop: MakeLoop, engine: ReasonerEngine, passes: Passes
) -> None:
    async def soon_after() -> None:
        loop = make_loop(wait_s=0.2)
        first = asyncio.create_task(ask(loop, question(engine, QUERIES[0])))
        for _ in range(3):
            await asyncio.sleep(0)
        await asyncio.gather(first, ask(loop, question(engine, QUERIES[1])))

    asyncio.run(soon_after())
    assert passes.sizes[0] == 2


def test_a_question_that_fails_at_its_start_fails_alone(make_loop: MakeLoop, engine: ReasonerEngine) -> None:
    broken = from_torch(torch.full((2, 5, 12), float("nan"), dtype=torch.bfloat16))

    async def among_others() -> list[list[ReasonEvent] | BaseException]:
        loop = make_loop()
        asked = [question(engine, QUERIES[0]), engine.question(broken, "trees", Mode.SHORT)]
        asked.append(question(engine, QUERIES[1]))
        return await asyncio.gather(*(ask(loop, q) for q in asked), return_exceptions=True)

    first, bad, last = asyncio.run(among_others())
    assert isinstance(bad, InvalidInputError)
    assert isinstance(first, list) and text_and_tokens(first) == expected(engine, QUERIES[0])
    assert isinstance(last, list) and text_and_tokens(last) == expected(engine, QUERIES[1])


def test_a_fault_is_noted_and_told_to_its_caller_alone(
    make_loop: MakeLoop, engine: ReasonerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix = engine.question(features(), QUERIES[1], Mode.EXPLAINED).prompt.suffix

    def breaking(rows: Rows, decodings: Sequence[Decoding]) -> None:
        if any(decoding._suffix == suffix for decoding in decodings):
            raise RuntimeError("broken")
        step(rows, decodings)

    monkeypatch.setattr(answer_batch, "step", breaking)
    faults: list[None] = []

    async def among_others() -> list[list[ReasonEvent] | BaseException]:
        loop = make_loop(on_fault=lambda: faults.append(None))
        return await asyncio.gather(
            *(ask(loop, question(engine, query)) for query in QUERIES[:3]), return_exceptions=True
        )

    first, bad, last = asyncio.run(among_others())
    assert isinstance(bad, RuntimeError)
    assert len(faults) == 1
    assert isinstance(first, list) and text_and_tokens(first) == expected(engine, QUERIES[0])
    assert isinstance(last, list) and text_and_tokens(last) == expected(engine, QUERIES[2])


def test_a_fault_of_the_loop_itself_leaves_nobody_waiting(
    make_loop: MakeLoop, engine: ReasonerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def then_again() -> list[ReasonEvent]:
        loop = make_loop()
        with monkeypatch.context() as broken:
            broken.setattr(DecodeLoop, "_note", lambda *arguments: 1 / 0)
            results = await asyncio.gather(
                *(ask(loop, question(engine, query)) for query in QUERIES), return_exceptions=True
            )
        assert all(isinstance(result, ZeroDivisionError) for result in results)
        return await ask(loop, question(engine, QUERIES[0]))

    assert text_and_tokens(asyncio.run(then_again())) == expected(engine, QUERIES[0])


def test_who_waits_when_the_service_stops_is_told_so(make_loop: MakeLoop, engine: ReasonerEngine) -> None:
    async def stop() -> list[list[ReasonEvent] | BaseException]:
        loop = make_loop(max_batch=1)
        tasks = [asyncio.create_task(ask(loop, question(engine, query))) for query in QUERIES[:2]]
        await asyncio.sleep(0)
        loop.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(result, UnavailableError) for result in asyncio.run(stop()))


@pytest.mark.parametrize("options", [{"max_batch": 0}, {"wait_s": -0.1}])
def test_settings_that_make_no_sense_are_refused(make_loop: MakeLoop, options: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="at least"):
        make_loop(**options)
