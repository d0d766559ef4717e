"""What the jobs of one gateway are told: where they are kept, and how much is taken on."""

from dataclasses import dataclass
from pathlib import Path

from reasoncd.errors import InvalidInputError

DATABASE = "jobs.sqlite"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSettings:
    """Settings of the jobs.

    Raises:
        InvalidInputError: a value is out of its range; the sentence names the option.
    """

    folder: Path
    """Holds uploads, finished tiles and results; of one gateway alone."""
    database: str | None = None
    """URL as SQLAlchemy takes it; a SQLite file in `folder` if None."""
    scenes_root: Path | None = None
    """Scenes that callers may name; None for none but the sample."""
    running: int = 1
    """Jobs in work at once."""
    queued: int = 100
    """Jobs of one owner that have not ended; more are refused."""
    upload_bytes: int = 4 * 2**30
    """Of one submission."""
    uploads: int = 4
    """Submissions that are received at once."""
    pause_s: float = 60.0
    """Before a job that could not go on (a full disk, a service that is away) is tried again."""

    def __post_init__(self) -> None:
        for name in ("running", "queued", "upload_bytes", "uploads"):
            if getattr(self, name) < 1:
                option = f"--jobs-{name.replace('_', '-')}"
                raise InvalidInputError(f"{option} is {getattr(self, name)}; give at least 1")
        if not self.pause_s > 0:
            raise InvalidInputError(f"pause_s is {self.pause_s}; give a number of seconds above 0")
        if self.scenes_root is not None and not self.scenes_root.is_dir():
            raise InvalidInputError(f"--scenes-root {self.scenes_root} is no folder; name one that is there")

    @property
    def url(self) -> str:
        """Of the database."""
        return self.database or f"sqlite:///{self.folder.absolute() / DATABASE}"
