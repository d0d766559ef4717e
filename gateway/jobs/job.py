"""A job: what is asked, how far it is, and what came of it."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.checks import check_threshold
from gateway.scenes.settings import FailedTile, SceneProgress, SceneResult
from reasoncd.errors import InvalidInputError
from reasoncd.ports import Mode
from reasoncd.queries import validate_query

_ID = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


class JobState(StrEnum):
    """How a job is."""

    QUEUED = "queued"
    """Waits for its turn, or for what its error names."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Nothing of it changes any more."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOrder:
    """What a job is to answer.

    Raises:
        InvalidInputError: a field cannot be used; the sentence names it.
    """

    query: str
    mode: Mode = Mode.SHORT
    threshold: float | None = None
    views: bool = False
    t1_name: str | None = None
    """Under the scenes root; None where the scene was uploaded."""
    t2_name: str | None = None

    def __post_init__(self) -> None:
        # Frozen: as a dataclass sets its own fields.
        object.__setattr__(self, "query", validate_query(self.query))
        check_threshold(self.threshold)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFile:
    """A result."""

    name: str
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job as it is now."""

    id: str
    owner: str
    """Name of the token that it was submitted with; empty where there are no tokens."""
    order: JobOrder
    state: JobState
    created: datetime
    progress: SceneProgress | None = None
    """Where it is in work."""
    error: str | None = None
    """Why it failed, or what it waits for."""
    answer: str | None = None
    failed_tiles: tuple[FailedTile, ...] = ()
    files: tuple[JobFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult:
    """What is kept of a finished run."""

    answer: str
    failed_tiles: tuple[FailedTile, ...]
    files: tuple[JobFile, ...]

    @classmethod
    def of(cls, result: SceneResult, files: tuple[JobFile, ...]) -> "JobResult":
        """Of a run and its files."""
        return cls(answer=result.answer, failed_tiles=result.failed, files=files)


def new_job_id() -> str:
    """32 hexadecimal digits that nobody can guess."""
    return secrets.token_hex(16)


def is_job_id(text: str) -> bool:
    """Whether a caller's text may be one, and so a folder's name."""
    return _ID.fullmatch(text) is not None


def check_key(key: str | None) -> str | None:
    """An idempotency key as it was sent; None for none.

    Raises:
        InvalidInputError: it has other characters, or too many.
    """
    if not key:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidInputError("the idempotency key has to be 1 to 128 characters of ASCII without spaces")
    return key
