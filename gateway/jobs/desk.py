"""Where jobs are handed in, asked after and fetched: the whole of it, for a server's doors.

Methods block (they read and write the disk); threads may share a desk. A job that is not the caller's is as
one that is not there.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from gateway.jobs.errors import DiskFullError, KeyReusedError, is_disk_full
from gateway.jobs.folders import INPUTS, Incoming, JobFolders
from gateway.jobs.job import Job, JobOrder, JobState, check_key, is_job_id, new_job_id
from gateway.jobs.model import Answering, Turn
from gateway.jobs.names import SceneNames
from gateway.jobs.sample import sample_folder
from gateway.jobs.settings import JobSettings
from gateway.jobs.store import JobStore
from gateway.jobs.worker import Workers, hide_paths
from gateway.scenes.pair import ScenePair
from reasoncd.errors import InvalidInputError, JobStateError, NotFoundError, OverloadedError, ReasonCDError
from reasoncd.observability import metrics

Listener = Callable[[], None]


class JobDesk:
    """The jobs of one gateway.

    Args:
        settings: where they are kept, and how much is taken on.
        model: who answers.
        turn: see `gateway.jobs.model.Turn`.

    Raises:
        OutputError, UnavailableError, InvalidInputError: folder or database cannot be used.
    """

    def __init__(self, settings: JobSettings, *, model: Answering, turn: Turn) -> None:
        self.settings = settings
        self._folders = JobFolders(settings.folder)
        try:
            self._store = JobStore(settings.url, keeper=self._folders.id)
        except ReasonCDError:
            self._folders.close()
            raise
        self._names = SceneNames(root=settings.scenes_root, sample=sample_folder(settings.folder))
        self._listeners: dict[str, list[Listener]] = {}
        self._lock = Lock()
        self._workers = Workers(
            self._store,
            self._folders,
            self._names,
            model=model,
            turn=turn,
            count=settings.running,
            pause_s=settings.pause_s,
            changed=self._changed,
        )

    def start(self) -> None:
        """Take up what the last run of this gateway left, and begin to work."""
        self._store.requeue()
        self._folders.sweep(self._store.purge())
        self._workers.start()

    def stop(self) -> None:
        """Begin nothing new."""
        self._workers.stop()

    def close(self, timeout_s: float) -> None:
        """Wait for the work to end, and give folder and database free."""
        if self._workers.join(timeout_s):
            self._store.close()
            self._folders.close()

    def scenes(self) -> tuple[str, ...]:
        """Names of the scenes that jobs may name."""
        return self._names.list()

    def incoming(self) -> Incoming:
        """A place for the uploads of a new submission."""
        return self._folders.incoming(self.settings.upload_bytes)

    def submit(self, order: JobOrder, incoming: Incoming, *, owner: str, key: str | None) -> tuple[Job, bool]:
        """Take a job on.

        Args:
            order: what it is to answer.
            incoming: its uploads, all there; this method's to keep or discard.
            owner: whose it is.
            key: the same key with the same input gives the same job.

        Returns:
            The job, and whether it is new.

        Raises:
            InvalidInputError, NotFoundError: the scenes cannot be used.
            KeyReusedError: the key belongs to another input.
            OverloadedError: the owner has too many jobs that have not ended, or the disk is full.
        """
        try:
            key = check_key(key)
            digest = self._digest(order, incoming)
            if key and (found := self._store.find_key(owner, key)):
                return self._same(found, digest, owner), False
            if self._store.open_jobs(owner) >= self.settings.queued:
                raise OverloadedError(
                    f"{self.settings.queued} of your jobs have not ended, which is all there is room for; "
                    "submit this one later",
                    retry_after_s=60,
                )
            incoming.finish()
            self._look(order, incoming)
            job = Job(
                id=new_job_id(), owner=owner, order=order, state=JobState.QUEUED, created=datetime.now(UTC)
            )
            if incoming.has("t1") or incoming.has("t2"):
                self._folders.keep(incoming, job.id)
            found = self._store.add(job, key=key, digest=digest)
            if found:
                self._folders.remove(job.id)
                return self._same(found, digest, owner), False
        except OSError as error:
            if is_disk_full(error):
                raise DiskFullError from None
            raise
        finally:
            incoming.discard()
        self._workers.wake()
        return job, True

    def get(self, job: str, owner: str) -> Job:
        """One job as it is now.

        Raises:
            NotFoundError: there is none of that id, or it is another's.
        """
        found = self._store.get(job) if is_job_id(job) else None
        if found is None or found.owner != owner:
            raise NotFoundError(f"there is no job {job[:40]!a} of yours here; list your jobs")
        return self._now(found)

    def list(self, owner: str) -> list[Job]:
        """An owner's jobs, the newest first."""
        return [self._now(job) for job in self._store.list(owner)]

    def cancel(self, job: str, owner: str) -> Job:
        """End a job; one that has ended stays as it is.

        Raises:
            NotFoundError: as `get`.
        """
        self.get(job, owner)
        for state in (JobState.QUEUED, JobState.RUNNING, JobState.QUEUED):
            if self._store.move(job, state, JobState.CANCELLED):
                metrics.jobs_ended.labels(JobState.CANCELLED.value).inc()
                self._workers.cancel(job)
                self._changed(job)
                break
        return self.get(job, owner)

    def delete(self, job: str, owner: str) -> None:
        """End a job, and remove it with its files.

        Raises:
            NotFoundError: as `get`.
        """
        self.cancel(job, owner)
        self._store.hide(job)
        self._changed(job)
        # A run that ends only now would write into the folder again: then it is swept at the next start.
        if not self._workers.busy(job):
            self._folders.remove(job)
            self._store.purge()

    def file(self, job: str, name: str, owner: str) -> Path:
        """A result of a job that is done.

        Raises:
            NotFoundError: as `get`, or the job has no such file.
            JobStateError: it is not done, or was cancelled, or has failed.
        """
        found = self.get(job, owner)
        if found.state is JobState.CANCELLED:
            raise JobStateError(f"job {job} was cancelled and has no results; submit it anew")
        if found.state is JobState.FAILED:
            raise JobStateError(f"job {job} has failed and has no results; its error says why")
        if found.state is not JobState.DONE:
            raise JobStateError(
                f"job {job} is {found.state} and has no results yet; watch it until it is done"
            )
        path = self._folders.out(job) / name
        # Only what the run named as its results: never a path.
        if name not in {file.name for file in found.files} or not path.is_file():
            raise NotFoundError(f"job {job} has no file {name[:80]!a}; its files are listed with it")
        return path

    @contextmanager
    def listening(self, job: str, listener: Listener) -> Iterator[None]:
        """Call back, in any thread, whenever something of a job has changed while the block runs."""
        with self._lock:
            self._listeners.setdefault(job, []).append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners[job].remove(listener)
                if not self._listeners[job]:
                    del self._listeners[job]

    def _changed(self, job: str) -> None:
        with self._lock:
            listeners = list(self._listeners.get(job, ()))
        for listener in listeners:
            # A listener's loop may have ended meanwhile.
            with suppress(RuntimeError):
                listener()

    def _now(self, job: Job) -> Job:
        progress = self._workers.progress(job.id) if job.state is JobState.RUNNING else None
        return replace(job, progress=progress)

    def _digest(self, order: JobOrder, incoming: Incoming) -> str:
        """Of a submission's input: equal digests mean the same job."""
        uploads = {which: incoming.digest(which) for which in INPUTS if incoming.has(which)}
        text = json.dumps([asdict(order), uploads], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _same(self, found: tuple[str, str], digest: str, owner: str) -> Job:
        job, known = found
        if known != digest:
            raise KeyReusedError("the idempotency key belongs to a job with another input; use a new key")
        return self.get(job, owner)

    def _look(self, order: JobOrder, incoming: Incoming) -> None:
        """Open both scenes once, so that what cannot be used is refused now and not in an hour."""
        paths = []
        for which, name in (("t1", order.t1_name), ("t2", order.t2_name)):
            if (name is None) is not incoming.has(which):
                raise InvalidInputError(
                    f"{which}: give either a file in {which} or a scene's name in {which}_name"
                )
            paths.append(self._names.path(name, f"{which}_name") if name else incoming.path(which))
        try:
            with ScenePair.open(*paths):
                pass
        except (InvalidInputError, NotFoundError) as error:
            raise type(error)(hide_paths(error.message, incoming.folder, self._names)) from None
