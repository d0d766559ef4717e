"""The table of jobs."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.jobs.job import Job, JobFile, JobOrder, JobResult, JobState, new_job_id
from gateway.jobs.store import JobStore
from gateway.scenes.settings import FailedTile
from reasoncd.errors import InvalidInputError, UnavailableError
from reasoncd.ports import Mode

pytestmark = pytest.mark.unit


def job(owner: str = "a", at: int = 0) -> Job:
    order = JobOrder(query="new  buildings", mode=Mode.EXPLAINED, threshold=0.4, t1_name="t1.tif")
    created = datetime(2026, 1, 1, 12, 0, 0, at, tzinfo=UTC)
    return Job(id=new_job_id(), owner=owner, order=order, state=JobState.QUEUED, created=created)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def open_store(url: str) -> Iterator[Callable[..., JobStore]]:
    """Stores of one database, closed in the end."""
    opened: list[JobStore] = []

    def open_one(keeper: str = "1" * 32) -> JobStore:
        opened.append(JobStore(url, keeper=keeper))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def store(open_store: Callable[..., JobStore]) -> JobStore:
    return open_store()


def test_what_is_kept_comes_back(store: JobStore, open_store: Callable[..., JobStore]) -> None:
    one = job()
    store.add(one, key=None, digest="d")
    assert store.get(one.id) == one
    assert one.order.query == "new buildings"
    store.claim()
    tile = FailedTile(top=1, left=2, height=3, width=4, reason="it stumbled")
    result = JobResult(answer="Answer.", failed_tiles=(tile,), files=(JobFile(name="change.tif", size=7),))
    assert store.move(one.id, JobState.RUNNING, JobState.DONE, result=result)
    found = open_store().get(one.id)
    assert found is not None
    assert (found.state, found.answer) == (JobState.DONE, "Answer.")
    assert (found.failed_tiles, found.files) == (result.failed_tiles, result.files)


def test_the_oldest_is_claimed_first_and_once(store: JobStore) -> None:
    jobs = [job(at=2), job(at=1), job(at=3)]
    for each in jobs:
        store.add(each, key=None, digest="d")
    first = store.claim(but=[jobs[1].id])
    assert first is not None
    assert (first.id, first.state) == (jobs[0].id, JobState.RUNNING)
    claimed = [store.claim(), store.claim()]
    assert [each.id for each in claimed if each] == [jobs[1].id, jobs[2].id]
    assert store.claim() is None
    assert store.counts()[JobState.RUNNING] == 3
    store.requeue(jobs[2].id)
    assert store.counts()[JobState.QUEUED] == 1
    store.requeue()
    assert store.counts()[JobState.QUEUED] == store.open_jobs("a") == 3


def test_a_state_changes_only_from_the_one_it_was_in(store: JobStore) -> None:
    one = job()
    store.add(one, key=None, digest="d")
    assert not store.move(one.id, JobState.RUNNING, JobState.DONE)
    assert store.move(one.id, JobState.QUEUED, JobState.CANCELLED)
    assert not store.move(one.id, JobState.QUEUED, JobState.RUNNING)
    assert store.claim() is None


def test_gateways_that_share_a_database_see_their_own_jobs(
    store: JobStore, open_store: Callable[..., JobStore]
) -> None:
    other = open_store("2" * 32)
    mine, its = job(), job()
    store.add(mine, key="k", digest="d")
    assert other.add(its, key="k", digest="e") is None
    assert (store.get(its.id), other.get(mine.id)) == (None, None)
    assert [each.id for each in store.list("a")] == [mine.id]
    store.claim()
    other.requeue()
    assert store.counts()[JobState.RUNNING] == 1
    assert other.purge() == {its.id}


def test_a_key_is_one_job_of_one_owner(store: JobStore) -> None:
    first = job()
    assert store.add(first, key="k", digest="d") is None
    assert store.add(job(), key="k", digest="e") == (first.id, "d")
    assert store.add(job("b"), key="k", digest="e") is None
    assert store.find_key("a", "k") == (first.id, "d")
    assert len(store.list("a")) == 1
    store.hide(first.id)
    assert store.get(first.id) is None
    assert store.find_key("a", "k") is None
    assert first.id not in store.purge()


def test_two_that_claim_at_once_never_get_one_job(
    store: JobStore, open_store: Callable[..., JobStore]
) -> None:
    for _ in range(12):
        store.add(job(), key=None, digest="d")

    def claim_all() -> list[str]:
        mine, own = [], open_store()
        while (claimed := own.claim()) is not None:
            mine.append(claimed.id)
        return mine

    with ThreadPoolExecutor(4) as pool:
        found = [id_ for ids in pool.map(lambda _: claim_all(), range(4)) for id_ in ids]
    assert len(found) == len(set(found)) == 12


def test_sqlite_writes_ahead(tmp_path: Path) -> None:
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}", keeper="1" * 32)
    with store._engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 2


@pytest.mark.parametrize("url", ["no url", "nosuch://host/db", "postgresql+nosuch://user:secret@host/db"])
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(InvalidInputError, match="--jobs-database cannot be used") as caught:
        JobStore(url, keeper="1")
    assert "secret" not in caught.value.message


def test_a_database_that_is_away_is_told_without_its_statement(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"does not answer \(OperationalError\)") as caught:
        JobStore(f"sqlite:///{tmp_path}/nowhere/jobs.sqlite", keeper="1")
    assert "CREATE" not in caught.value.message
