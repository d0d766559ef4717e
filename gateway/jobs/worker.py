"""The threads that do the jobs, the oldest first.

A job that cannot go on for now (a full disk, a service that is away or was replaced) goes back to the queue
with a sentence and is tried again after a pause; what it has finished is not computed again, but where
another model answers now. So does one that is in work when the gateway goes down.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.jobs.errors import DiskFullError, is_disk_full
from gateway.jobs.folders import JobFolders
from gateway.jobs.job import Job, JobFile, JobResult, JobState
from gateway.jobs.model import Answering, JobModel, Turn
from gateway.jobs.names import SceneNames
from gateway.jobs.store import JobStore
from gateway.scenes.pair import ScenePair
from gateway.scenes.run import run_scene
from gateway.scenes.settings import SceneProgress, SceneSettings
from reasoncd.errors import (
    CancelledError,
    CheckpointError,
    OverloadedError,
    ReasonCDError,
    UnavailableError,
)
from reasoncd.observability import metrics
from reasoncd.rpc.guard import as_error
from reasoncd.rpc.scope import CallScope, under

STORE_PAUSE_S = 5.0
"""Before a database that does not answer is asked again."""

_LOG = logging.getLogger(__name__)


class Workers:
    """Does jobs until it is stopped.

    Args:
        store: of the jobs.
        folders: of their files.
        names: of the scenes that they name.
        model: who answers.
        turn: see `gateway.jobs.model.Turn`.
        count: jobs in work at once.
        pause_s: before a job that could not go on is tried again.
        changed: told the id of a job whenever something of it has changed, in any thread.
    """

    def __init__(
        self,
        store: JobStore,
        folders: JobFolders,
        names: SceneNames,
        *,
        model: Answering,
        turn: Turn,
        count: int,
        pause_s: float,
        changed: Callable[[str], None],
    ) -> None:
        self._store, self._folders, self._names = store, folders, names
        self._model, self._turn, self._pause_s, self._changed = model, turn, pause_s, changed
        self._wake = threading.Condition()
        self._stopping = False
        self._news = 0
        self._scopes: dict[str, CallScope] = {}
        self._progress: dict[str, SceneProgress] = {}
        self._paused: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"jobs-{number}", daemon=True) for number in range(count)
        ]

    def start(self) -> None:
        """Begin."""
        self._count()
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is news: a job was submitted."""
        with self._wake:
            self._news += 1
            self._wake.notify_all()
        self._count()

    def progress(self, job: str) -> SceneProgress | None:
        """How far a job in work is."""
        return self._progress.get(job)

    def cancel(self, job: str) -> None:
        """End the work on a job, if there is any; its state has been changed already."""
        self._paused.pop(job, None)
        if scope := self._scopes.get(job):
            scope.cancel()
        self._count()

    def busy(self, job: str) -> bool:
        """Whether a thread is at work on a job."""
        return job in self._scopes

    def stop(self) -> None:
        """Begin nothing new; jobs in work go back to the queue at their next tile."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for scope in list(self._scopes.values()):
            scope.cancel()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads to end.

        Returns:
            Whether they have.
        """
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(until - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while not self._stopping:
            seen = self._news
            try:
                job = self._store.claim(but=self._waiting())
            except ReasonCDError as error:
                _LOG.warning("jobs cannot be looked up", extra={"reason": error.message})
                self._rest(seen, STORE_PAUSE_S)
                continue
            if job is None:
                self._rest(seen, self._next_s())
                continue
            self._do(job)

    def _rest(self, seen: int, seconds: float) -> None:
        with self._wake:
            if not self._stopping and self._news == seen:
                self._wake.wait(seconds)

    def _waiting(self) -> list[str]:
        """Jobs that wait on."""
        now = time.monotonic()
        for job, until in list(self._paused.items()):
            if until <= now:
                self._paused.pop(job, None)
        return list(self._paused)

    def _next_s(self) -> float:
        return max(min(self._paused.values(), default=time.monotonic() + 30) - time.monotonic(), 0.05)

    def _do(self, job: Job) -> None:
        scope = CallScope(request_id=job.id)
        self._scopes[job.id] = scope
        self._tell(job.id)
        with under(scope):
            try:
                if self._stopping:
                    scope.cancel()
                result = self._run(job)
            except CancelledError:
                # By its owner, who has changed its state; or because we go down.
                self._keep(lambda: self._store.requeue(job.id))
            except (DiskFullError, UnavailableError, OverloadedError, CheckpointError) as error:
                self._put_off(job.id, error)
            except Exception as error:  # noqa: BLE001 - one job's fault must not end the thread for all
                if is_disk_full(error):
                    self._put_off(job.id, DiskFullError())
                else:
                    self._end(job.id, JobState.FAILED, error=self._told(job, as_error(error, scope)))
            else:
                self._end(job.id, JobState.DONE, result=result)
        self._progress.pop(job.id, None)
        del self._scopes[job.id]
        self._tell(job.id)

    def _run(self, job: Job) -> JobResult:
        order, out = job.order, self._folders.out(job.id)
        t1 = (
            self._names.path(order.t1_name, "t1_name") if order.t1_name else self._folders.input(job.id, "t1")
        )
        t2 = (
            self._names.path(order.t2_name, "t2_name") if order.t2_name else self._folders.input(job.id, "t2")
        )
        model = JobModel(self._model, self._turn)
        self._folders.begin(job.id, "".join(part.fingerprint for part in model.describe()))
        settings = SceneSettings(mode=order.mode, threshold=order.threshold, views=order.views)

        def tell(progress: SceneProgress) -> None:
            self._progress[job.id] = progress
            self._changed(job.id)

        with ScenePair.open(t1, t2) as pair:
            result = run_scene(model, pair, order.query, settings=settings, folder=out, tell=tell)
        files = tuple(JobFile(name=name, size=(out / name).stat().st_size) for name in result.files)
        return JobResult.of(result, files)

    def _put_off(self, job: str, error: ReasonCDError) -> None:
        _LOG.warning("a job waits", extra={"request_id": job, "reason": error.message})
        self._paused[job] = time.monotonic() + self._pause_s
        self._keep(lambda: self._store.move(job, JobState.RUNNING, JobState.QUEUED, error=error.message))

    def _end(
        self, job: str, state: JobState, *, error: str | None = None, result: JobResult | None = None
    ) -> None:
        if self._keep(lambda: self._store.move(job, JobState.RUNNING, state, error=error, result=result)):
            metrics.jobs_ended.labels(state.value).inc()

    def _keep(self, write: Callable[[], bool | None]) -> bool:
        """Write to the database, however long that takes: else a finished job would be forgotten.

        Returns:
            Whether there was something to write.
        """
        while True:
            try:
                return bool(write())
            except ReasonCDError as error:
                _LOG.warning("a job's end cannot be kept yet", extra={"reason": error.message})
            with self._wake:
                if self._stopping:
                    # It is running to the database, and so goes on at the next start.
                    return False
                self._wake.wait(STORE_PAUSE_S)

    def _tell(self, job: str) -> None:
        self._count()
        self._changed(job)

    def _told(self, job: Job, error: ReasonCDError) -> str:
        """The sentence, without the places of files on this machine."""
        return hide_paths(error.message, self._folders.of(job.id), self._names)

    def _count(self) -> None:
        with suppress(ReasonCDError):
            counts = self._store.counts()
            for state in (JobState.QUEUED, JobState.RUNNING):
                metrics.jobs.labels(state.value).set(counts[state])


def hide_paths(message: str, folder: Path, names: SceneNames) -> str:
    """A sentence without the places of files on this machine: what a caller named stays."""
    for place in (folder / "input", folder / "out", folder, names.sample, names.root):
        if place is not None:
            message = message.replace(f"{place}/", "")
    return message
