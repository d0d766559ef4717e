"""Server-sent events as a response."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from reasoncd.rpc.scope import current_scope

LAST_WORDS_S = 5.0
"""For a stream to say that it is late."""


class EventStream(StreamingResponse):
    """A stream of events, until its end, its deadline, or its reader's leaving."""

    media_type = "text/event-stream"

    def __init__(self, first: bytes, events: AsyncGenerator[bytes, None]) -> None:
        # No proxy is to keep events back until it has many.
        super().__init__(
            _all(first, events), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        call_scope = current_scope()
        remaining = call_scope.remaining_s()
        try:
            # A reader that stops reading must not keep its place for ever.
            async with asyncio.timeout(None if remaining is None else remaining + LAST_WORDS_S):
                await super().__call__(scope, receive, send)
        finally:
            call_scope.cancel()
            await self._events.aclose()


async def _all(first: bytes, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for event in events:
        yield event
