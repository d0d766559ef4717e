"""A servicer behind the guard, and patience."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from reasoncd.rpc.guard import guarded, guarded_stream
from reasoncd.v1 import describe_pb2, reasoner_pb2


class Guarded:
    """Does in `Reason` what the test says."""

    service = "tried-out"

    def __init__(self) -> None:
        self.act: Callable[[], object] = lambda: None
        self.lingers = False

    @guarded(describe_pb2.DescribeResponse)
    async def Describe(  # noqa: N802 - the rpc's name
        self, request: describe_pb2.DescribeRequest, context: Any
    ) -> describe_pb2.DescribeResponse:
        self.act()
        return describe_pb2.DescribeResponse()

    @guarded_stream
    async def Reason(  # noqa: N802
        self, request: reasoner_pb2.ReasonRequest, context: Any
    ) -> AsyncIterator[reasoner_pb2.ReasonResponse]:
        yield reasoner_pb2.ReasonResponse(text=reasoner_pb2.ReasonText(text="a"))
        await asyncio.sleep(60 if self.lingers else 0)
        self.act()
        yield reasoner_pb2.ReasonResponse(text=reasoner_pb2.ReasonText(text="b"))


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")
