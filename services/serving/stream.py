"""Streams of responses through Ray Serve's proxy."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

Response = TypeVar("Response")


async def with_status(
    responses: AsyncIterator[Response], grpc_context: Any, empty: Callable[[], Response]
) -> AsyncIterator[Response]:
    """Hand a servicer's stream on such that its refusal reaches the caller.

    Serve's proxy learns a call's status, sentence and trailers only beside a response. So a stream that ends
    in a refusal ends here with an empty response, which carries them; callers skip what has no event.

    Args:
        responses: of the servicer.
        grpc_context: of the call, as Serve gave it.
        empty: makes a response without an event.
    """
    async for response in responses:
        yield response
    if grpc_context.code():
        yield empty()
