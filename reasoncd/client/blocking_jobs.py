"""Jobs about whole scenes, for programs without asyncio."""

from collections.abc import Callable, Generator, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import grpc

from reasoncd.client.attempts import PATIENT_TRIES, TRIES, Attempts
from reasoncd.client.blocking_calls import BlockingCalls
from reasoncd.client.fetched import written
from reasoncd.client.scene_jobs import SceneJob, SceneSource, job_errors, read_job, submission
from reasoncd.ports import Mode
from reasoncd.v1 import jobs_pb2 as pb
from reasoncd.v1.jobs_pb2_grpc import SceneJobsStub

NO_TIMEOUT_S = 365 * 86400.0
"""For what takes as long as it takes: an upload, a job."""


class BlockingJobs:
    """`ReasonCDClient.jobs`. Threads may share it.

    Args:
        calls: of the client.
    """

    def __init__(self, calls: BlockingCalls) -> None:
        self._calls = calls
        self._stub: Any = SceneJobsStub(calls.channel)

    def submit(
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
        """Ask a question about two scenes of any size.

        Args:
            t1: the earlier scene: a path of a GeoTIFF, which is sent, or a `SceneName`.
            t2: the later scene; it may lie on another grid.
            query: one question in plain words.
            mode: whether the answer gives a reason.
            threshold: a pixel is changed at or above this probability; the model's own if not given.
            views: have both scenes written as pictures too.
            idempotency_key: the same key with the same input gives the same job, from another process too.
            timeout_s: until the submission is given up; as long as it takes if not given.

        Raises:
            NotFoundError, InvalidInputError: something given cannot be used.
            OverloadedError: the gateway has no room for more jobs, or its disk is full.
            ReasonCDError: as the gateway says.
        """
        messages = submission(
            t1, t2, query, mode=mode, threshold=threshold, views=views, idempotency_key=idempotency_key
        )
        response: pb.SceneJobsSubmitResponse = self._ask(
            _Repeated(self._stub.Submit), messages, timeout_s or NO_TIMEOUT_S
        )
        return read_job(response.job)

    def watch(self, job: str, *, timeout_s: float | None = None) -> Generator[SceneJob, None, None]:
        """A job now, and again whenever it has changed, until it has ended; through a gateway's restart too.

        Args:
            job: its id.
            timeout_s: until it is given up; as long as it takes if not given.

        Raises:
            NotFoundError: there is no such job of the caller's.
            ReasonCDError: as the gateway says.
        """
        attempts = self._attempts(timeout_s or NO_TIMEOUT_S, tries=PATIENT_TRIES)
        told: SceneJob | None = None
        while told is None or not told.ended:
            call = self._calls.start(self._stub.Watch, pb.SceneJobsWatchRequest(id=job), attempts)
            try:
                with attempts.outer.when_cancelled(call.cancel):
                    for message in call:
                        attempts.answered()
                        found = read_job(message.job)
                        if found != told:
                            told = found
                            yield found
            except grpc.RpcError as failure:
                self._calls.pause(attempts.after(failure), attempts)
            finally:
                call.cancel()

    def wait(self, job: str, *, timeout_s: float | None = None) -> SceneJob:
        """A job when it has ended; arguments and errors as `watch`."""
        return list(self.watch(job, timeout_s=timeout_s))[-1]

    def list(self) -> list[SceneJob]:
        """The caller's jobs, the newest first."""
        response: pb.SceneJobsListResponse = self._ask(self._stub.List, pb.SceneJobsListRequest())
        return [read_job(job) for job in response.jobs]

    def cancel(self, job: str) -> SceneJob:
        """End a job; one that has ended stays as it is.

        Raises:
            NotFoundError: as `watch`.
        """
        response: pb.SceneJobsCancelResponse = self._ask(self._stub.Cancel, pb.SceneJobsCancelRequest(id=job))
        return read_job(response.job)

    def delete(self, job: str) -> None:
        """End a job, and remove it with its files.

        Raises:
            NotFoundError: as `watch`.
        """
        self._ask(self._stub.Delete, pb.SceneJobsDeleteRequest(id=job))

    def scenes(self) -> tuple[str, ...]:
        """Names that `SceneName` takes."""
        response: pb.SceneJobsListScenesResponse = self._ask(
            self._stub.ListScenes, pb.SceneJobsListScenesRequest()
        )
        return tuple(response.names)

    def fetch(self, job: str, name: str, to: str | PathLike[str]) -> Path:
        """A result of a job that is done, into a file or a folder; what broke off is taken up where it was.

        Args:
            job: its id.
            name: of the file.
            to: the file to write, which appears whole or not at all; or a folder, for a file of that name.

        Returns:
            The file.

        Raises:
            NotFoundError: there is no such job or file.
            JobStateError: the job is not done.
            OutputError: the file cannot be written.
        """
        target = Path(to) / name if Path(to).is_dir() else Path(to)
        attempts = self._attempts(NO_TIMEOUT_S, tries=PATIENT_TRIES)
        with job_errors(), written(target) as write:
            offset, done = 0, False
            while not done:
                request = pb.SceneJobsFetchRequest(id=job, name=name, offset=offset)
                call = self._calls.start(self._stub.Fetch, request, attempts)
                try:
                    with attempts.outer.when_cancelled(call.cancel):
                        for message in call:
                            attempts.answered()
                            write(message.data)
                            offset += len(message.data)
                    done = True
                except grpc.RpcError as failure:
                    self._calls.pause(attempts.after(failure), attempts)
                finally:
                    call.cancel()
        return target

    def _ask(self, method: Any, request: Any, timeout_s: float | None = None) -> Any:
        with job_errors():
            return self._calls.ask(method, request, self._attempts(timeout_s))

    def _attempts(self, timeout_s: float | None, *, tries: int = TRIES) -> Attempts:
        return Attempts(self._calls.connection, timeout_s, None, tries=tries)


class _Repeated:
    """A call that takes a stream, made anew for each try."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def future(self, messages: Callable[[], Iterator[Any]], **terms: Any) -> Any:
        return self._method.future(messages(), **terms)
