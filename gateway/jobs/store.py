"""Where jobs are kept: one table, in SQLite or another database that SQLAlchemy knows.

Several gateways may share a database: each sees the jobs of its own folder alone. Threads may share a store.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from gateway.jobs.errors import DiskFullError, is_disk_full
from gateway.jobs.job import Job, JobFile, JobOrder, JobResult, JobState
from gateway.scenes.settings import FailedTile
from reasoncd.errors import InvalidInputError, UnavailableError
from reasoncd.ports import Mode

BUSY_S = 30
"""How long SQLite waits for another writer, in seconds."""

_TABLE = sa.Table(
    # A later layout gets a table of its own.
    "reasoncd_jobs_1",
    sa.MetaData(),
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("keeper", sa.String(32), nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("key", sa.String(128)),
    sa.Column("input", sa.String(64), nullable=False),
    sa.Column("order", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("result", sa.Text),
    # Microseconds since 1970: SQLite knows no times, and jobs of one second have an order too.
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False, default=False),
    sa.UniqueConstraint("keeper", "owner", "key"),
    sa.Index("reasoncd_jobs_1_by_state", "keeper", "state", "created"),
)


class JobStore:
    """The jobs of one gateway.

    Args:
        url: of the database; the table is made if it is not there.
        keeper: who the gateway is.

    Raises:
        InvalidInputError: the URL cannot be used, or the package for that database is missing.
        UnavailableError, DiskFullError: as every method: the database does not answer.
    """

    def __init__(self, url: str, *, keeper: str) -> None:
        self._keeper = keeper
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            # Without the URL itself, which may hold a password.
            raise InvalidInputError(
                f"--jobs-database cannot be used ({type(error).__name__}); give a URL as SQLAlchemy "
                "takes it, and install the driver that it names"
            ) from None
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _prepare)
        with _using():
            _TABLE.metadata.create_all(self._engine)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def add(self, job: Job, *, key: str | None, digest: str) -> tuple[str, str] | None:
        """Keep a new job.

        Args:
            job: queued.
            key: of its submission.
            digest: of its input.

        Returns:
            None; or, where the owner has used the key before, the id of that job and the digest of its input.
        """
        values = {
            "id": job.id,
            "keeper": self._keeper,
            "owner": job.owner,
            "key": key,
            "input": digest,
            "order": json.dumps(asdict(job.order)),
            "state": job.state.value,
            "created": round(job.created.timestamp() * 1e6),
            "deleted": False,
        }
        with _using():
            try:
                with self._engine.begin() as connection:
                    connection.execute(_TABLE.insert().values(values))
            except IntegrityError:
                found = self.find_key(job.owner, key or "")
                if found is None:
                    raise
                return found
        return None

    def find_key(self, owner: str, key: str) -> tuple[str, str] | None:
        """Id and input's digest of the job that a key belongs to."""
        query = sa.select(_TABLE.c.id, _TABLE.c.input).where(
            self._mine, _TABLE.c.owner == owner, _TABLE.c.key == key
        )
        with _using(), self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row.id, row.input)

    def get(self, job: str) -> Job | None:
        """One job."""
        with _using(), self._engine.connect() as connection:
            row = connection.execute(self._select.where(_TABLE.c.id == job)).first()
        return None if row is None else _job(row)

    def list(self, owner: str) -> list[Job]:
        """An owner's jobs, the newest first."""
        query = self._select.where(_TABLE.c.owner == owner).order_by(_TABLE.c.created.desc())
        with _using(), self._engine.connect() as connection:
            return [_job(row) for row in connection.execute(query)]

    def open_jobs(self, owner: str) -> int:
        """How many of an owner's jobs have not ended."""
        query = (
            sa.select(sa.func.count())
            .select_from(_TABLE)
            .where(self._mine, _TABLE.c.owner == owner, _TABLE.c.state.in_(_OPEN))
        )
        with _using(), self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        query = (
            sa.select(_TABLE.c.state, sa.func.count())
            .where(self._mine, ~_TABLE.c.deleted)
            .group_by(_TABLE.c.state)
        )
        with _using(), self._engine.connect() as connection:
            found = {JobState(state): int(count) for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in JobState}

    def claim(self, *, but: Sequence[str] = ()) -> Job | None:
        """Take the oldest job that waits: it is running now.

        Args:
            but: jobs that are to wait on.
        """
        query = (
            self._select.where(_TABLE.c.state == JobState.QUEUED, _TABLE.c.id.not_in(but))
            .order_by(_TABLE.c.created)
            .limit(1)
        )
        with _using():
            while True:
                with self._engine.connect() as connection:
                    row = connection.execute(query).first()
                if row is None:
                    return None
                if self.move(row.id, JobState.QUEUED, JobState.RUNNING):
                    return self.get(row.id)

    def move(
        self,
        job: str,
        before: JobState,
        after: JobState,
        *,
        error: str | None = None,
        result: JobResult | None = None,
    ) -> bool:
        """Change a job's state.

        Args:
            job: its id.
            before: the state that it has to be in.
            after: the state that it gets.
            error: said of it from now on.
            result: of a run that has ended.

        Returns:
            Whether it was in that state.
        """
        change = (
            _TABLE.update()
            .where(self._mine, _TABLE.c.id == job, _TABLE.c.state == before)
            .values(
                state=after.value, error=error, result=None if result is None else json.dumps(asdict(result))
            )
        )
        with _using(), self._engine.begin() as connection:
            return connection.execute(change).rowcount == 1

    def requeue(self, job: str | None = None) -> None:
        """What is running is not any more: after a crash all jobs, or one."""
        change = _TABLE.update().where(self._mine, _TABLE.c.state == JobState.RUNNING)
        if job is not None:
            change = change.where(_TABLE.c.id == job)
        with _using(), self._engine.begin() as connection:
            connection.execute(change.values(state=JobState.QUEUED.value))

    def hide(self, job: str) -> None:
        """Nobody sees a job any more; its key is free."""
        change = _TABLE.update().where(self._mine, _TABLE.c.id == job).values(deleted=True, key=None)
        with _using(), self._engine.begin() as connection:
            connection.execute(change)

    def purge(self) -> set[str]:
        """Forget what is hidden.

        Returns:
            The jobs that are left.
        """
        with _using(), self._engine.begin() as connection:
            connection.execute(_TABLE.delete().where(self._mine, _TABLE.c.deleted))
            return {row.id for row in connection.execute(sa.select(_TABLE.c.id).where(self._mine))}

    @property
    def _mine(self) -> sa.ColumnElement[bool]:
        return _TABLE.c.keeper == self._keeper

    @property
    def _select(self) -> "sa.Select[Any]":
        return sa.select(_TABLE).where(self._mine, ~_TABLE.c.deleted)


_OPEN = (JobState.QUEUED.value, JobState.RUNNING.value)


def _job(row: Any) -> Job:
    # A column named `order` is a key of the mapping, not an attribute to rely on.
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name
    order, result = json.loads(values["order"]), json.loads(values["result"] or "{}")
    return Job(
        id=values["id"],
        owner=values["owner"],
        order=JobOrder(**{**order, "mode": Mode(order["mode"])}),
        state=JobState(values["state"]),
        created=datetime.fromtimestamp(values["created"] / 1e6, UTC),
        error=values["error"],
        answer=result.get("answer"),
        failed_tiles=tuple(FailedTile(**tile) for tile in result.get("failed_tiles", ())),
        files=tuple(JobFile(**file) for file in result.get("files", ())),
    )


def _prepare(connection: Any, _: object) -> None:
    """Readers and one writer at a time, and nothing lost that was told as done."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_S * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def _using() -> Iterator[None]:
    """Tell what the database says without its statement, which holds what callers ask."""
    try:
        yield
    except SQLAlchemyError as error:
        if is_disk_full(error):
            raise DiskFullError from None
        raise UnavailableError(
            f"the database of the jobs does not answer ({type(error).__name__}); ask again"
        ) from None
