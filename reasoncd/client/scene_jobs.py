"""What a job about two scenes is to the client, and its messages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path

from reasoncd.errors import CheckpointError, InvalidInputError, JobStateError, NotFoundError, ReasonCDError
from reasoncd.ports import Mode
from reasoncd.rpc.messages import mode_to_proto
from reasoncd.rpc.scope import new_request_id
from reasoncd.v1 import jobs_pb2 as pb

CHUNK_BYTES = 2**20
"""Of a file that is sent, in one message."""

_STATES = {number: name.removeprefix("SCENE_JOB_STATE_").lower() for name, number in pb.SceneJobState.items()}
_ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneName:
    """A scene that lies at the gateway, one of `scenes()`, in place of a file to be sent."""

    name: str


SceneSource = str | PathLike[str] | SceneName
"""A path of a GeoTIFF, which is sent, or the name of one at the gateway."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobProgress:
    """How far a job is."""

    stage: str
    """`check`, `reason`, `tiles`, `stitch` or `write`."""
    done: int
    total: int
    seconds_left: float | None
    """Until the tiles are done; None where it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedTile:
    """A tile that could not be done, in pixels of the earlier scene: the map holds no data there."""

    top: int
    left: int
    height: int
    width: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFile:
    """A result."""

    name: str
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneJob:
    """A job as it was when it was told."""

    id: str
    state: str
    """`queued`, `running`, `done`, `failed` or `cancelled`."""
    query: str
    progress: JobProgress | None
    answer: str | None
    """For a person; None before the job is done."""
    failed_tiles: tuple[FailedTile, ...]
    files: tuple[JobFile, ...]
    created: datetime
    error: str | None
    """Why it failed, or what it waits for."""

    @property
    def ended(self) -> bool:
        """Nothing of it changes any more."""
        return self.state in _ENDED


def submission(
    t1: SceneSource,
    t2: SceneSource,
    query: str,
    *,
    mode: Mode | str,
    threshold: float | None,
    views: bool,
    idempotency_key: str | None,
) -> Callable[[], Iterator[pb.SceneJobsSubmitRequest]]:
    """The messages of a submission, made anew for each try.

    Without a key they get one, so that a submission whose answer was lost is not taken on twice.

    Raises:
        NotFoundError, InvalidInputError: a file cannot be read, or there is no such mode.
    """
    if mode not in tuple(Mode):
        known = " or ".join(repr(each.value) for each in Mode)
        raise InvalidInputError(f"mode {mode!r} is unknown; use {known}")
    names = [source.name if isinstance(source, SceneName) else None for source in (t1, t2)]
    files = [
        None if isinstance(source, SceneName) else _readable(Path(source), which)
        for source, which in ((t1, "t1"), (t2, "t2"))
    ]
    try:
        order = pb.SceneJobOrder(
            query=query,
            mode=mode_to_proto(Mode(mode)),
            threshold=threshold,
            views=views,
            t1_name=names[0] or "",
            t2_name=names[1] or "",
            idempotency_key=idempotency_key or new_request_id(),
        )
    except (TypeError, UnicodeError):
        raise InvalidInputError("query must be a text and threshold a number; check both") from None

    def messages() -> Iterator[pb.SceneJobsSubmitRequest]:
        yield pb.SceneJobsSubmitRequest(order=order)
        for which, path in zip(("t1_data", "t2_data"), files, strict=True):
            if path is not None:
                with path.open("rb") as source:
                    while data := source.read(CHUNK_BYTES):
                        yield pb.SceneJobsSubmitRequest(**{which: data})  # type: ignore[arg-type]

    return messages


def read_job(message: pb.SceneJob) -> SceneJob:
    """A job.

    Raises:
        ReasonCDError: the message cannot be understood.
    """
    told = message.progress
    progress = None
    if message.HasField("progress"):
        left = told.seconds_left if told.HasField("seconds_left") else None
        progress = JobProgress(stage=told.stage, done=told.done, total=told.total, seconds_left=left)
    try:
        created = datetime.fromisoformat(message.created)
    except ValueError:
        raise ReasonCDError(
            "the gateway's reply cannot be read (created); use a client and a gateway of one version"
        ) from None
    return SceneJob(
        id=message.id,
        state=_STATES.get(message.state, "unspecified"),
        query=message.query,
        progress=progress,
        answer=message.answer if message.HasField("answer") else None,
        failed_tiles=tuple(
            FailedTile(top=tile.top, left=tile.left, height=tile.height, width=tile.width, reason=tile.reason)
            for tile in message.failed_tiles
        ),
        files=tuple(JobFile(name=file.name, size=file.size) for file in message.files),
        created=created,
        error=message.error if message.HasField("error") else None,
    )


@contextmanager
def job_errors() -> Iterator[None]:
    """Within the block a failed precondition is a job's state, never the fit of services.

    Raises:
        JobStateError: instead of `CheckpointError`.
    """
    try:
        yield
    except CheckpointError as error:
        told = JobStateError(error.message)
        told.request_id = error.request_id
        raise told from None


def _readable(path: Path, which: str) -> Path:
    try:
        with path.open("rb"):
            return path
    except FileNotFoundError:
        raise NotFoundError(f"{which}: {path} does not exist; check the path of the scene") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not valid"
        raise InvalidInputError(f"{which}: {path} cannot be read ({reason}); check the path") from error
