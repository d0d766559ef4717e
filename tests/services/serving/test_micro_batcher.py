"""Batches: who shares one, who fails, and who is left out."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from reasoncd.errors import CancelledError, DeadlineError, InvalidInputError
from reasoncd.rpc.scope import CallScope, current_scope, under
from services.serving.health import Health
from services.serving.micro_batcher import MicroBatcher
from services.serving.worker import Worker

pytestmark = pytest.mark.unit

Compute = Callable[[Sequence[int]], list[int]]


class Engine:
    """Squares numbers, one batch at a time, and waits where it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def compute(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.begun.set()
        assert self.go_on.wait(20)
        if 13 in numbers:
            raise InvalidInputError("13 is unlucky; give another")
        return [number**2 for number in numbers]

    def hold(self) -> None:
        self.begun.clear()
        self.go_on.clear()


@asynccontextmanager
async def _batching(engine: Engine, **options: float) -> AsyncIterator[MicroBatcher[int, int]]:
    worker = Worker("test", Health(lambda: None))
    settings = {"max_batch": 8, **options}
    try:
        yield MicroBatcher(engine.compute, worker, **settings)  # type: ignore[arg-type]
    finally:
        engine.go_on.set()
        worker.close()


async def _gather_behind(engine: Engine, batcher: MicroBatcher[int, int], *numbers: int) -> list[object]:
    """Ask for all numbers while the engine is held by a first one."""
    engine.hold()
    first = asyncio.create_task(batcher.run(0))
    await asyncio.to_thread(engine.begun.wait, 20)
    others = [asyncio.create_task(batcher.run(number)) for number in numbers]
    while batcher.waiting < len(numbers):
        await asyncio.sleep(0)
    engine.go_on.set()
    results = await asyncio.gather(*others, return_exceptions=True)
    assert await first == 0
    return list(results)


def test_an_idle_engine_computes_one_alone_and_at_once() -> None:
    async def main() -> None:
        engine = Engine()
        async with _batching(engine) as batcher:
            assert [await batcher.run(number) for number in (2, 3)] == [4, 9]
        assert engine.batches == [[2], [3]]

    asyncio.run(main())


def test_what_comes_meanwhile_shares_a_batch_in_order() -> None:
    async def main() -> None:
        engine = Engine()
        async with _batching(engine, max_batch=3) as batcher:
            assert await _gather_behind(engine, batcher, 1, 2, 3, 4) == [1, 4, 9, 16]
        assert engine.batches == [[0], [1, 2, 3], [4]]

    asyncio.run(main())


def test_a_batch_of_one_switches_batching_off() -> None:
    async def main() -> None:
        engine = Engine()
        async with _batching(engine, max_batch=1) as batcher:
            assert await _gather_behind(engine, batcher, 1, 2) == [1, 4]
        assert engine.batches == [[0], [1], [2]]

    asyncio.run(main())


def test_a_pause_gathers_what_comes_shortly_after() -> None:
    async def main() -> None:
        engine = Engine()
        async with _batching(engine, wait_s=0.5) as batcher:
            assert await asyncio.gather(*(batcher.run(number) for number in (1, 2))) == [1, 4]
        assert engine.batches == [[1, 2]]

    asyncio.run(main())


def test_one_bad_request_fails_alone() -> None:
    async def main() -> None:
        engine = Engine()
        async with _batching(engine) as batcher:
            one, bad, three = await _gather_behind(engine, batcher, 1, 13, 3)
            assert (one, three) == (1, 9)
            assert isinstance(bad, InvalidInputError)
            assert await batcher.run(5) == 25

    asyncio.run(main())


def test_a_caller_that_left_is_not_computed_for() -> None:
    async def main() -> None:
        engine = Engine()
        async with _batching(engine) as batcher:
            engine.hold()
            first = asyncio.create_task(batcher.run(0))
            await asyncio.to_thread(engine.begun.wait, 20)
            left, stays = asyncio.create_task(batcher.run(7)), asyncio.create_task(batcher.run(2))
            while batcher.waiting < 2:
                await asyncio.sleep(0)
            left.cancel()
            engine.go_on.set()
            assert [await first, await stays] == [0, 4]
        assert engine.batches == [[0], [2]]

    asyncio.run(main())


def test_cancelled_and_late_scopes_are_told_so() -> None:
    async def main() -> None:
        engine = Engine()
        gone, late = CallScope(), CallScope(timeout_s=0.0)
        gone.cancel()
        async with _batching(engine) as batcher:
            for scope, error in ((gone, CancelledError), (late, DeadlineError)):
                with under(scope), pytest.raises(error):
                    await batcher.run(7)
            # The one that started the batch's task was cancelled; the next ones are not.
            assert await batcher.run(2) == 4
        assert engine.batches == [[2]]

    asyncio.run(main())


def test_a_batch_does_not_run_under_the_scope_of_one_caller() -> None:
    async def main() -> None:
        scopes: list[CallScope] = []
        asked = CallScope(timeout_s=60)

        def compute(numbers: Sequence[int]) -> list[int]:
            scopes.append(current_scope())
            return list(numbers)

        worker = Worker("test", Health(lambda: None))
        batcher = MicroBatcher(compute, worker, max_batch=4)
        with under(asked):
            await batcher.run(1)
        worker.close()
        assert scopes[0] is not asked

    asyncio.run(main())


@pytest.mark.parametrize("options", [{"max_batch": 0}, {"wait_s": -0.1}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    async def main() -> None:
        async with _batching(Engine(), **options):
            pass

    with pytest.raises(InvalidInputError, match="give at least"):
        asyncio.run(main())
