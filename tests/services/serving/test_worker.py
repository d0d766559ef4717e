"""The thread that computes: order, scopes, and what the health check learns from it."""

import asyncio
import threading

import pytest

from reasoncd.errors import CancelledError, InvalidInputError, UnavailableError
from reasoncd.rpc.scope import CallScope, current_scope, under
from services.serving.health import Health
from services.serving.worker import Worker

pytestmark = pytest.mark.unit


def test_work_runs_in_another_thread_under_the_callers_scope() -> None:
    async def main() -> None:
        worker = Worker("test", Health(lambda: None))
        scope = CallScope()
        with under(scope):
            thread, inside = await worker.run(lambda: (threading.current_thread(), current_scope()))
        worker.close()
        assert inside is scope
        assert thread is not threading.current_thread()

    asyncio.run(main())


def test_work_whose_caller_left_while_it_waited_is_not_begun() -> None:
    async def main() -> None:
        worker = Worker("test", Health(lambda: None))
        begun, go_on = threading.Event(), threading.Event()
        scope = CallScope()
        ran: list[str] = []

        def hold() -> None:
            begun.set()
            go_on.wait(20)

        first = asyncio.create_task(worker.run(hold))
        await asyncio.to_thread(begun.wait, 20)
        with under(scope):
            second = asyncio.create_task(worker.run(lambda: ran.append("second")))
        await asyncio.sleep(0)
        scope.cancel()
        go_on.set()
        await first
        with pytest.raises(CancelledError):
            await second
        worker.close()
        assert not ran

    asyncio.run(main())


def _fail(error: Exception) -> None:
    raise error


def test_the_engine_is_tried_again_after_a_fault_and_only_then() -> None:
    probes: list[int] = []

    async def main() -> None:
        health = Health(lambda: probes.append(1))
        worker = Worker("test", health)
        health.check()
        assert not probes
        with pytest.raises(InvalidInputError):
            await worker.run(lambda: _fail(InvalidInputError("the caller's own")))
        health.check()
        assert not probes
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 // 0)
        health.check()
        health.check()
        assert len(probes) == 1
        worker.close()

    asyncio.run(main())


def test_a_broken_engine_stays_unhealthy_until_its_probe_succeeds() -> None:
    broken = True

    def probe() -> None:
        if broken:
            raise RuntimeError("no such kernel")

    health = Health(probe)
    health.note_fault()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            health.check()
    broken = False
    health.check()


def test_work_that_does_not_end_is_unhealthy() -> None:
    health = Health(lambda: None, stuck_after_s=0.0)
    health.check()
    with health.working(), pytest.raises(UnavailableError, match="restart the service"):
        health.check()
    health.check()
