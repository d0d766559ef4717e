"""Desks over the numpy engines, and scenes."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray
from pgserver.postgres_server import PostgresServer, get_server

from gateway.detection import Detection
from gateway.jobs.desk import JobDesk
from gateway.jobs.folders import Incoming
from gateway.jobs.job import Job, JobOrder, JobState
from gateway.jobs.settings import JobSettings
from gateway.pipeline import Pipeline
from reasoncd.ports import Description
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner
from tests.gateway.jobs.scene_files import write_scene
from tests.gateway.server.conftest import until

QUESTION = "new buildings"
NAMED = JobOrder(query=QUESTION, t1_name="t1.tif", t2_name="t2.tif")


class TileModel:
    """The numpy engines; counts tiles, and does first what a test tells it."""

    def __init__(self) -> None:
        self.decoder = SignDecoder()
        self._inner = Pipeline(DifferenceEncoder(), WordReasoner(), self.decoder)
        self.tiles = 0
        self.before: Callable[[int], None] = lambda tile: None
        """Told which tile is to be answered, from 1; may raise."""

    def describe(self) -> tuple[Description, Description, Description]:
        return self._inner.describe()

    def detect(self, images: NDArray[np.uint8], queries: Sequence[str], **told: Any) -> list[Detection]:
        if told.get("meanings") is None:
            return self._inner.detect(images, queries, **told)
        self.before(self.tiles + 1)
        found = self._inner.detect(images, queries, **told)
        self.tiles += 1
        return found


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server on a socket of its own, gone with the tests."""
    server = get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    yield server
    server.cleanup()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """A fresh database on it, as SQLAlchemy names it."""
    name = f"jobs_{uuid.uuid4().hex}"
    postgres.psql(f"CREATE DATABASE {name}")
    url = sa.make_url(postgres.get_uri()).set(drivername="postgresql+psycopg", database=name)
    return url.render_as_string(hide_password=False)


@pytest.fixture
def model() -> TileModel:
    return TileModel()


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A scenes root with `t1.tif` and `t2.tif`, of six tiles."""
    root = tmp_path / "scenes"
    write_scene(root / "t1.tif", 400, 600)
    write_scene(root / "t2.tif", 400, 600, (40, 60, 40, 50))
    return root


MakeDesk = Callable[..., JobDesk]


@pytest.fixture
def make_desk(tmp_path: Path, scenes: Path, model: TileModel) -> Iterator[MakeDesk]:
    """Desks on one folder, one after the other: making one closes the one before."""
    made: list[JobDesk] = []

    def close() -> None:
        for desk in made:
            desk.stop()
            desk.close(30)
        made.clear()

    def make(**settings: Any) -> JobDesk:
        close()
        given = {"folder": tmp_path / "jobs", "scenes_root": scenes, "pause_s": 0.05, **settings}
        desk = JobDesk(JobSettings(**given), model=model, turn=nullcontext)
        made.append(desk)
        desk.start()
        return desk

    yield make
    close()


@pytest.fixture
def desk(make_desk: MakeDesk) -> JobDesk:
    return make_desk()


def submit(desk: JobDesk, order: JobOrder = NAMED, *, owner: str = "", key: str | None = None) -> Job:
    return desk.submit(order, desk.incoming(), owner=owner, key=key)[0]


def uploaded(desk: JobDesk, scenes: Path, *names: str) -> Incoming:
    incoming = desk.incoming()
    for which, name in zip(("t1", "t2"), names or ("t1.tif", "t2.tif"), strict=True):
        incoming.write(which, (scenes / name).read_bytes())
    return incoming


def ended(desk: JobDesk, job: Job, owner: str = "") -> Job:
    until(lambda: desk.get(job.id, owner).state.ended)
    return desk.get(job.id, owner)


def in_state(desk: JobDesk, job: Job, state: JobState) -> Job:
    until(lambda: desk.get(job.id, job.owner).state is state)
    return desk.get(job.id, job.owner)
