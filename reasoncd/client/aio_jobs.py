"""Jobs about whole scenes, for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from os import PathLike
from pathlib import Path
from typing import Any

import grpc

from reasoncd.client.aio_calls import AioCalls
from reasoncd.client.attempts import PATIENT_TRIES, TRIES, Attempts
from reasoncd.client.blocking_jobs import NO_TIMEOUT_S
from reasoncd.client.fetched import written
from reasoncd.client.scene_jobs import SceneJob, SceneSource, job_errors, read_job, submission
from reasoncd.ports import Mode
from reasoncd.v1 import jobs_pb2 as pb


class AioJobs:
    """`AsyncReasonCDClient.jobs`: as `BlockingJobs`, with coroutines. Files are read and written in threads.

    Args:
        calls: of the client.
    """

    def __init__(self, calls: AioCalls) -> None:
        self._calls = calls

    async def submit(
        self,
        t1: SceneSource,
        t2: SceneSource,
        query: str,
        *,
        mode: Mode | str = Mode.SHORT,
        threshold: float | None = None,
        views: bool = False,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> SceneJob:
        """As `BlockingJobs.submit`."""
        messages = submission(
            t1, t2, query, mode=mode, threshold=threshold, views=views, idempotency_key=idempotency_key
        )

        async def sent() -> AsyncIterator[pb.SceneJobsSubmitRequest]:
            parts = messages()
            while (part := await asyncio.to_thread(next, parts, None)) is not None:
                yield part

        response: pb.SceneJobsSubmitResponse = await self._ask("Submit", sent, timeout_s or NO_TIMEOUT_S)
        return read_job(response.job)

    async def watch(self, job: str, *, timeout_s: float | None = None) -> AsyncGenerator[SceneJob, None]:
        """As `BlockingJobs.watch`; close a generator that is left early with `aclosing`.

        Yields:
            The job, whenever it has changed.
        """
        attempts = self._attempts(timeout_s or NO_TIMEOUT_S, tries=PATIENT_TRIES)
        told: SceneJob | None = None
        while told is None or not told.ended:
            call = self._calls.start("Watch", pb.SceneJobsWatchRequest(id=job), attempts)
            try:
                async for message in call:
                    attempts.answered()
                    found = read_job(message.job)
                    if found != told:
                        told = found
                        yield found
            except grpc.RpcError as failure:
                await asyncio.sleep(attempts.after(failure))
            except asyncio.CancelledError:
                self._calls.check_whose(attempts)
                raise
            finally:
                call.cancel()

    async def wait(self, job: str, *, timeout_s: float | None = None) -> SceneJob:
        """As `BlockingJobs.wait`."""
        return [told async for told in self.watch(job, timeout_s=timeout_s)][-1]

    async def list(self) -> list[SceneJob]:
        """As `BlockingJobs.list`."""
        response: pb.SceneJobsListResponse = await self._ask("List", pb.SceneJobsListRequest())
        return [read_job(job) for job in response.jobs]

    async def cancel(self, job: str) -> SceneJob:
        """As `BlockingJobs.cancel`."""
        response: pb.SceneJobsCancelResponse = await self._ask("Cancel", pb.SceneJobsCancelRequest(id=job))
        return read_job(response.job)

    async def delete(self, job: str) -> None:
        """As `BlockingJobs.delete`."""
        await self._ask("Delete", pb.SceneJobsDeleteRequest(id=job))

    async def scenes(self) -> tuple[str, ...]:
        """As `BlockingJobs.scenes`."""
        response: pb.SceneJobsListScenesResponse = await self._ask(
            "ListScenes", pb.SceneJobsListScenesRequest()
        )
        return tuple(response.names)

    async def fetch(self, job: str, name: str, to: str | PathLike[str]) -> Path:
        """As `BlockingJobs.fetch`."""
        target = Path(to) / name if Path(to).is_dir() else Path(to)
        attempts = self._attempts(NO_TIMEOUT_S, tries=PATIENT_TRIES)
        with job_errors(), written(target) as write:
            offset, done = 0, False
            while not done:
                request = pb.SceneJobsFetchRequest(id=job, name=name, offset=offset)
                call = self._calls.start("Fetch", request, attempts)
                try:
                    async for message in call:
                        attempts.answered()
                        await asyncio.to_thread(write, message.data)
                        offset += len(message.data)
                    done = True
                except grpc.RpcError as failure:
                    await asyncio.sleep(attempts.after(failure))
                except asyncio.CancelledError:
                    self._calls.check_whose(attempts)
                    raise
                finally:
                    call.cancel()
        return target

    async def _ask(self, name: str, request: Any, timeout_s: float | None = None) -> Any:
        with job_errors():
            return await self._calls.ask(name, request, self._attempts(timeout_s))

    def _attempts(self, timeout_s: float | None, *, tries: int = TRIES) -> Attempts:
        return Attempts(self._calls.connection, timeout_s, None, tries=tries)
