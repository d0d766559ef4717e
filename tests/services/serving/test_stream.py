"""A stream that was refused ends with a response for the status to travel on; others are left as they are."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from services.serving.stream import with_status

pytestmark = pytest.mark.unit


class _Context:
    """What is read of Serve's context."""

    def __init__(self) -> None:
        self.status: grpc.StatusCode | None = None

    def code(self) -> grpc.StatusCode | None:
        return self.status


@pytest.mark.parametrize(
    ("status", "expected"), [(None, ["a"]), (grpc.StatusCode.INVALID_ARGUMENT, ["a", "empty"])]
)
def test_only_a_refused_stream_gets_an_empty_response(
    status: grpc.StatusCode | None, expected: list[str]
) -> None:
    context = _Context()

    async def responses() -> AsyncIterator[str]:
        yield "a"
        context.status = status

    async def main() -> list[str]:
        return [each async for each in with_status(responses(), context, lambda: "empty")]

    assert asyncio.run(main()) == expected
