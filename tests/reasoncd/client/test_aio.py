"""The client for asyncio, against a real server."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from reasoncd.client import AsyncReasonCDClient, Detected, Progress, ReasonCDClient
from reasoncd.errors import (
    CancelledError,
    DeadlineError,
    InvalidInputError,
    ReasonCDError,
    UnavailableError,
)
from reasoncd.v1 import gateway_pb2 as pb
from tests.reasoncd.client.scripted_gateway import ScriptedGateway, breaking, events, refusing

pytestmark = pytest.mark.unit

Pixels = NDArray[np.uint8]


def run(work: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(within())


async def wait_for(happened: Any) -> None:
    assert await asyncio.to_thread(happened.wait, 20)


def test_answers_are_those_of_the_other_client(target: str, image: Pixels) -> None:
    async def work() -> None:
        async with AsyncReasonCDClient(target) as client:
            found = await client.detect(image, image, ["a", "b"], with_probability=True)
            described = await client.describe()
            told = [event async for event in client.detect_stream(image, image, ["a", "b"])]
        with ReasonCDClient(target) as other:
            expected = await asyncio.to_thread(other.detect, image, image, ["a", "b"], with_probability=True)
            assert described == await asyncio.to_thread(other.describe)
            streamed = await asyncio.to_thread(lambda: list(other.detect_stream(image, image, ["a", "b"])))
        for one, two in zip(found, expected, strict=True):
            assert (one.query, one.answer, one.polygons) == (two.query, two.answer, two.polygons)
            np.testing.assert_array_equal(one.change_map, two.change_map)
            np.testing.assert_array_equal(one.probability, two.probability)
        assert [type(event) for event in told] == [type(event) for event in streamed]
        assert [event.query for event in told if isinstance(event, Detected)] == [0, 1]

    run(work())


def test_many_calls_share_one_connection(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    async def work() -> None:
        async with AsyncReasonCDClient(target, token="secret") as client:
            await asyncio.gather(*(client.detect(image, image, "a", request_id=f"r{n}") for n in range(8)))

    run(work())
    assert {told["x-request-id"] for told in gateway.metadata} == {f"r{n}" for n in range(8)}
    assert {told["authorization"] for told in gateway.metadata} == {"Bearer secret"}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_lost_call_is_tried_again(
    target: str, gateway: ScriptedGateway, image: Pixels, streamed: bool
) -> None:
    gateway.acts = [breaking(grpc.StatusCode.UNAVAILABLE), breaking(grpc.StatusCode.INTERNAL)]

    async def work() -> None:
        async with AsyncReasonCDClient(target) as client:
            if streamed:
                assert [event async for event in client.detect_stream(image, image, "a")]
            else:
                await client.detect(image, image, "a")

    run(work())
    assert len(gateway.requests) == 3


def test_a_stream_that_began_is_not_tried_again(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    def begin(request: pb.DetectStreamRequest, context: grpc.ServicerContext) -> object:
        yield next(events(request))
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    gateway.acts = [begin]

    async def work() -> None:
        async with AsyncReasonCDClient(target) as client:
            with pytest.raises(UnavailableError):
                assert [event async for event in client.detect_stream(image, image, "a")] == []

    run(work())
    assert len(gateway.requests) == 1


def test_errors_and_deadlines(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    gateway.acts = [refusing(InvalidInputError("query is empty; ask something")), gateway.wait]

    async def work() -> None:
        async with AsyncReasonCDClient(target) as client:
            with pytest.raises(InvalidInputError, match="query is empty") as raised:
                await client.detect(image, image, "a", request_id="job-8")
            assert raised.value.request_id == "job-8"
            with pytest.raises(DeadlineError, match="allow more time"):
                await client.detect(image, image, "a", timeout_s=0.2)
            with pytest.raises(InvalidInputError, match="mode"):
                await client.detect(image, image, "a", mode="long")
        await wait_for(gateway.ended)

    run(work())


def test_a_cancelled_task_cancels_its_call(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    gateway.acts = [gateway.wait]

    async def work() -> None:
        async with AsyncReasonCDClient(target) as client:
            task = asyncio.create_task(client.detect(image, image, "a"))
            await wait_for(gateway.waiting)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await wait_for(gateway.ended)

    run(work())


def test_leaving_a_stream_cancels_it(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    gateway.acts = [gateway.linger]

    async def work() -> None:
        async with AsyncReasonCDClient(target) as client:
            async with aclosing(client.detect_stream(image, image, "a")) as told:
                async for event in told:
                    assert isinstance(event, Progress)
                    break
            await wait_for(gateway.ended)

    run(work())


@pytest.mark.parametrize("streamed", [False, True])
def test_closing_the_client_is_not_taken_for_a_cancelled_task(
    target: str, gateway: ScriptedGateway, image: Pixels, streamed: bool
) -> None:
    gateway.acts = [gateway.wait]

    async def work() -> None:
        client = AsyncReasonCDClient(target)

        async def ask() -> None:
            if streamed:
                async for _ in client.detect_stream(image, image, "a"):
                    pass
            else:
                await client.detect(image, image, "a")

        task = asyncio.create_task(ask())
        await wait_for(gateway.waiting)
        await client.close()
        with pytest.raises(CancelledError, match="closed"):
            await task
        await wait_for(gateway.ended)
        with pytest.raises(ReasonCDError, match="was closed"):
            await client.describe()

    run(work())
