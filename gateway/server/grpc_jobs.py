"""The gRPC door for jobs: `SceneJobs`. Messages are received when their caller has been let in."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from gateway.jobs.folders import Incoming
from gateway.server.grpc_front import Detailing, begin
from gateway.server.job_messages import job_to_proto, order_from_proto
from gateway.server.jobs_front import JobsFront
from reasoncd.errors import DeadlineError, InvalidInputError
from reasoncd.rpc.guard import guarded, guarded_stream
from reasoncd.v1 import jobs_pb2 as pb

JOBS_NAME: str = pb.DESCRIPTOR.services_by_name["SceneJobs"].full_name
CHUNK_BYTES = 256 * 2**10
"""Of a file that is fetched, in one message."""

Request = TypeVar("Request", bound=Message)


class SceneJobs:
    """The contract's calls. Each takes the caller's messages as they come, as bytes, and gives bytes.

    Args:
        jobs: who does the work.
    """

    service = "gateway"

    def __init__(self, jobs: JobsFront) -> None:
        self._jobs = jobs

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server is given."""

        def whole(method: Callable[..., Any]) -> Any:
            async def answer(requests: AsyncIterator[bytes], context: Any) -> Any:
                return await method(requests, Detailing(context))

            return grpc.stream_unary_rpc_method_handler(answer)

        def stream(method: Callable[..., Any]) -> Any:
            async def answer(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
                async with aclosing(method(requests, Detailing(context))) as responses:
                    async for response in responses:
                        yield response

            return grpc.stream_stream_rpc_method_handler(answer)

        return grpc.method_handlers_generic_handler(
            JOBS_NAME,
            {
                "Submit": whole(self.Submit),
                "Watch": stream(self.Watch),
                "List": whole(self.List),
                "Cancel": whole(self.Cancel),
                "Delete": whole(self.Delete),
                "Fetch": stream(self.Fetch),
                "ListScenes": whole(self.ListScenes),
            },
        )

    @guarded(bytes)
    async def Submit(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: N802 - the contract's name
        """Take a job on."""
        owner = self._jobs.owner(await begin(context))
        desk = self._jobs.desk
        async with self._jobs.receiving() as incoming:
            first = await self._next(requests, pb.SceneJobsSubmitRequest)
            if first is None or first.WhichOneof("part") != "order":
                raise InvalidInputError("the first message holds no order; send it before the scenes' bytes")
            order, key = order_from_proto(first.order), first.order.idempotency_key
            await self._receive(requests, incoming)
            job, _ = await self._jobs.work(lambda: desk.submit(order, incoming, owner=owner, key=key))
        return pb.SceneJobsSubmitResponse(job=job_to_proto(job)).SerializeToString()

    @guarded_stream
    async def Watch(  # noqa: N802
        self, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        """A job until it has ended."""
        owner = self._jobs.owner(await begin(context))
        asked = await self._one(requests, pb.SceneJobsWatchRequest)
        async with aclosing(self._jobs.watch(asked.id, owner)) as jobs:
            async for job in jobs:
                if job is not None:
                    yield pb.SceneJobsWatchResponse(job=job_to_proto(job)).SerializeToString()

    @guarded(bytes)
    async def List(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: N802
        """The caller's jobs."""
        owner = self._jobs.owner(await begin(context))
        desk = self._jobs.desk
        jobs = await self._jobs.work(lambda: desk.list(owner))
        return pb.SceneJobsListResponse(jobs=[job_to_proto(job) for job in jobs]).SerializeToString()

    @guarded(bytes)
    async def Cancel(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: N802
        """End a job."""
        owner = self._jobs.owner(await begin(context))
        desk, asked = self._jobs.desk, await self._one(requests, pb.SceneJobsCancelRequest)
        job = await self._jobs.work(lambda: desk.cancel(asked.id, owner))
        return pb.SceneJobsCancelResponse(job=job_to_proto(job)).SerializeToString()

    @guarded(bytes)
    async def Delete(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: N802
        """Remove a job."""
        owner = self._jobs.owner(await begin(context))
        desk, asked = self._jobs.desk, await self._one(requests, pb.SceneJobsDeleteRequest)
        await self._jobs.work(lambda: desk.delete(asked.id, owner))
        return pb.SceneJobsDeleteResponse().SerializeToString()

    @guarded_stream
    async def Fetch(  # noqa: N802
        self, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        """A file of a job."""
        owner = self._jobs.owner(await begin(context))
        desk, asked = self._jobs.desk, await self._one(requests, pb.SceneJobsFetchRequest)
        path = await self._jobs.work(lambda: desk.file(asked.id, asked.name, owner))
        offset = asked.offset
        if not 0 <= offset <= path.stat().st_size:
            raise InvalidInputError(f"offset is {offset}, beyond the file; give 0 to its size in bytes")
        while data := await self._jobs.work(lambda at=offset: _read(path, at)):  # type: ignore[misc]
            offset += len(data)
            yield pb.SceneJobsFetchResponse(data=data).SerializeToString()

    @guarded(bytes)
    async def ListScenes(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: N802
        """Scenes that may be named."""
        self._jobs.owner(await begin(context))
        names = await self._jobs.work(self._jobs.desk.scenes)
        return pb.SceneJobsListScenesResponse(names=names).SerializeToString()

    async def _receive(self, requests: AsyncIterator[bytes], incoming: Incoming) -> None:
        while (message := await self._next(requests, pb.SceneJobsSubmitRequest)) is not None:
            part = message.WhichOneof("part")
            if part not in ("t1_data", "t2_data"):
                raise InvalidInputError("a further message holds no t1_data or t2_data; send the order once")
            which, data = part.removesuffix("_data"), getattr(message, part)
            await self._jobs.work(lambda which=which, data=data: incoming.write(which, data))  # type: ignore[misc]

    async def _one(self, requests: AsyncIterator[bytes], kind: type[Request]) -> Request:
        found = await self._next(requests, kind)
        return kind() if found is None else found

    async def _next(self, requests: AsyncIterator[bytes], kind: type[Request]) -> Request | None:
        """The caller's next message; None after the last.

        Raises:
            InvalidInputError: it is of another kind.
            DeadlineError: it did not come in time.
        """
        seconds = self._jobs.receive_timeout_s
        try:
            async with asyncio.timeout(seconds):
                data = await anext(requests, None)
        except TimeoutError:
            raise DeadlineError(f"the request did not arrive within {seconds:g} s; send it faster") from None
        if data is None:
            return None
        try:
            return kind.FromString(data)
        except DecodeError:
            name = kind.DESCRIPTOR.name
            raise InvalidInputError(
                f"the request is no {name} of reasoncd.v1; see docs/contract.md for how to send one"
            ) from None


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as source:
        source.seek(offset)
        return source.read(CHUNK_BYTES)
