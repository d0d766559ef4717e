"""Jobs from their submission to their end, and what comes between."""

import errno
import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.jobs.desk import JobDesk
from gateway.jobs.errors import KeyReusedError, UploadTooLargeError
from gateway.jobs.job import Job, JobOrder, JobState
from gateway.scenes.tile_store import TileStore
from reasoncd.errors import (
    InvalidInputError,
    JobStateError,
    NotFoundError,
    OverloadedError,
    ReasonCDError,
    UnavailableError,
)
from reasoncd.observability import metrics
from tests.gateway.jobs.conftest import (
    NAMED,
    QUESTION,
    MakeDesk,
    TileModel,
    ended,
    in_state,
    submit,
    uploaded,
)
from tests.gateway.server.conftest import until

pytestmark = pytest.mark.unit


def hashes(desk: JobDesk, job: Job) -> dict[str, str]:
    files = {file.name: desk.file(job.id, file.name, job.owner) for file in job.files}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_a_job_is_done(desk: JobDesk, model: TileModel) -> None:
    job = submit(desk)
    assert (job.state, job.files, job.answer) == (JobState.QUEUED, (), None)
    found = ended(desk, job)
    assert found.state is JobState.DONE
    assert found.answer is not None
    assert found.answer.startswith("New buildings: 1 place")
    assert {file.name for file in found.files} >= {"change.tif", "changes.geojson", "report.html"}
    for file in found.files:
        assert desk.file(job.id, file.name, "").stat().st_size == file.size
    assert desk.list("") == [found]
    assert model.tiles > 1


def test_a_job_in_another_database_is_found_again_by_the_next_gateway(
    make_desk: MakeDesk, postgres_url: str, tmp_path: Path
) -> None:
    desk = make_desk(database=postgres_url)
    job = submit(desk, key="k")
    done = ended(desk, job)
    assert done.state is JobState.DONE
    later = make_desk(database=postgres_url)
    assert later.list("") == [done]
    assert submit(later, key="k").id == job.id
    assert not (tmp_path / "jobs" / "jobs.sqlite").exists()


def test_uploads_give_the_same_results_as_names(desk: JobDesk, scenes: Path) -> None:
    named = ended(desk, submit(desk))
    sent, new = desk.submit(JobOrder(query=QUESTION), uploaded(desk, scenes), owner="", key=None)
    assert new
    assert hashes(desk, ended(desk, sent)) == hashes(desk, named)


def test_the_same_key_and_input_are_one_job(desk: JobDesk, scenes: Path) -> None:
    order = JobOrder(query=QUESTION)
    first, new = desk.submit(order, uploaded(desk, scenes), owner="a", key="k")
    again, newer = desk.submit(order, uploaded(desk, scenes), owner="a", key="k")
    assert (new, newer, again.id) == (True, False, first.id)
    with pytest.raises(KeyReusedError, match="another input"):
        desk.submit(order, uploaded(desk, scenes, "t1.tif", "t1.tif"), owner="a", key="k")
    with pytest.raises(KeyReusedError):
        desk.submit(JobOrder(query="lost buildings"), uploaded(desk, scenes), owner="a", key="k")
    other, new = desk.submit(order, uploaded(desk, scenes), owner="b", key="k")
    assert new
    assert other.id != first.id
    with pytest.raises(InvalidInputError, match="idempotency key"):
        submit(desk, key="two words")
    desk.delete(first.id, "a")
    # A key is free again when its job is gone.
    assert desk.submit(order, uploaded(desk, scenes), owner="a", key="k")[1]


def test_a_job_is_its_owners_alone(desk: JobDesk) -> None:
    job = submit(desk, owner="a")
    ended(desk, job, "a")
    for ask in (
        lambda: desk.get(job.id, "b"),
        lambda: desk.cancel(job.id, "b"),
        lambda: desk.delete(job.id, "b"),
        lambda: desk.file(job.id, "change.tif", "b"),
        lambda: desk.get("0" * 32, "a"),
        lambda: desk.get("../" + job.id, "a"),
    ):
        with pytest.raises(NotFoundError, match=r"there is no job .* of yours here"):
            ask()
    assert desk.list("b") == []
    assert desk.get(job.id, "a").state is JobState.DONE


def test_only_results_are_files(desk: JobDesk) -> None:
    job = ended(desk, submit(desk))
    for name in ("../model", "/etc/passwd", "", ".", "run.json", "result.json", "change.tif/", "a" * 300):
        with pytest.raises(NotFoundError, match="has no file"):
            desk.file(job.id, name, "")


def hold(model: TileModel, tile: int) -> tuple[threading.Event, threading.Event]:
    """Stop before a tile: set when it is reached, and to be set to go on."""
    reached, go = threading.Event(), threading.Event()

    def before(number: int) -> None:
        if number == tile:
            reached.set()
            assert go.wait(30)

    model.before = before
    return reached, go


def test_progress_is_told_while_it_runs(desk: JobDesk, model: TileModel) -> None:
    reached, go = hold(model, 3)
    job = submit(desk)
    told: list[Job] = []
    with desk.listening(job.id, lambda: told.append(desk.get(job.id, ""))):
        assert reached.wait(30)
        progress = desk.get(job.id, "").progress
        assert progress is not None
        assert (progress.stage, progress.done) == ("tiles", 2)
        with pytest.raises(JobStateError, match="is running and has no results yet"):
            desk.file(job.id, "change.tif", "")
        assert metrics.jobs.labels("running")._value.get() == 1
        go.set()
        ended(desk, job)
    assert told[-1].progress is None or told[-1].state is JobState.DONE
    assert {each.progress.stage for each in told if each.progress} >= {"tiles", "stitch", "write"}
    until(lambda: metrics.jobs.labels("running")._value.get() == 0)


def test_a_cancelled_job_ends_at_its_next_tile(desk: JobDesk, model: TileModel) -> None:
    reached, go = hold(model, 2)
    job, waiting = submit(desk), submit(desk)
    assert reached.wait(30)
    assert desk.cancel(waiting.id, "").state is JobState.CANCELLED
    assert desk.cancel(job.id, "").state is JobState.CANCELLED
    go.set()
    until(lambda: not desk._workers.busy(job.id))
    assert model.tiles <= 2
    for each in (job, waiting):
        assert desk.get(each.id, "").state is JobState.CANCELLED
        with pytest.raises(JobStateError, match="was cancelled and has no results"):
            desk.file(each.id, "change.tif", "")
        assert desk.cancel(each.id, "").state is JobState.CANCELLED
    done = ended(desk, submit(desk))
    assert desk.cancel(done.id, "").state is JobState.DONE


def test_a_deleted_job_leaves_nothing(make_desk: MakeDesk, model: TileModel, tmp_path: Path) -> None:
    desk = make_desk()
    done = ended(desk, submit(desk))
    desk.delete(done.id, "")
    assert not (tmp_path / "jobs" / done.id).exists()
    reached, go = hold(model, model.tiles + 2)
    job = submit(desk)
    assert reached.wait(30)
    desk.delete(job.id, "")
    assert desk.list("") == []
    go.set()
    desk = make_desk()
    assert not (tmp_path / "jobs" / job.id).exists()
    with pytest.raises(NotFoundError):
        desk.get(job.id, "")


def test_what_was_in_work_goes_on_after_a_restart(make_desk: MakeDesk, model: TileModel) -> None:
    desk = make_desk()
    whole = ended(desk, submit(desk))
    expected, tiles = hashes(desk, whole), model.tiles
    model.tiles = 0
    reached, go = hold(model, 4)
    job = submit(desk)
    assert reached.wait(30)
    desk.stop()
    go.set()
    desk = make_desk()
    found = ended(desk, job)
    assert hashes(desk, found) == expected
    assert model.tiles == tiles
    assert desk.get(whole.id, "") == whole


def test_a_full_disk_leaves_a_job_that_goes_on(
    make_desk: MakeDesk, model: TileModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk(pause_s=0.3)
    whole = ended(desk, submit(desk))
    expected, tiles = hashes(desk, whole), model.tiles
    model.tiles = 0
    full = threading.Event()
    full.set()
    keep = TileStore.put

    def put(self: TileStore, *tile: object, **told: object) -> None:
        if full.is_set() and model.tiles > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        keep(self, *tile, **told)  # type: ignore[arg-type]

    monkeypatch.setattr(TileStore, "put", put)
    job = submit(desk)
    until(lambda: desk.get(job.id, "").error)
    found = desk.get(job.id, "")
    assert found.state in (JobState.QUEUED, JobState.RUNNING)
    assert found.error == "the disk of the jobs folder is full; free some space on it, and it goes on"
    lost = model.tiles - 3
    full.clear()
    found = ended(desk, job)
    assert (found.state, found.error) == (JobState.DONE, None)
    assert hashes(desk, found) == expected
    assert model.tiles - lost <= tiles + 1


def test_a_tile_that_fails_is_tried_again_and_then_listed(make_desk: MakeDesk, model: TileModel) -> None:
    desk = make_desk()
    failures = iter([True])

    def once(tile: int) -> None:
        if tile == 2 and next(failures, False):
            raise ReasonCDError("the decoder stumbled")

    model.before = once
    assert ended(desk, submit(desk)).failed_tiles == ()
    tiles, count = model.tiles, 0

    def always(tile: int) -> None:
        nonlocal count
        # The second tile of the next job, at each of its tries.
        if tile == tiles + 2 and count < 3:
            count += 1
            raise ReasonCDError("the decoder stumbled")

    model.before = always
    found = ended(desk, submit(desk))
    assert found.state is JobState.DONE
    (failed,) = found.failed_tiles
    assert failed.reason == "the decoder stumbled"
    assert failed.width > 0


def test_a_service_that_is_away_is_waited_for(make_desk: MakeDesk, model: TileModel) -> None:
    desk = make_desk()
    away = True

    def before(tile: int) -> None:
        if away:
            raise UnavailableError("mask-decoder cannot be reached at x:1")

    def describe() -> None:
        raise UnavailableError("mask-decoder cannot be reached at x:1")

    asked, model.describe = model.describe, describe  # type: ignore[assignment, method-assign]
    job = submit(desk)
    until(lambda: desk.get(job.id, "").error)
    assert "cannot be reached" in (desk.get(job.id, "").error or "")
    model.describe = asked  # type: ignore[method-assign]
    assert ended(desk, job).state is JobState.DONE


def test_a_fault_of_ours_fails_the_job_and_no_other(desk: JobDesk, model: TileModel) -> None:
    def broken(tile: int) -> None:
        raise RuntimeError("secret of the inside")

    model.before = broken
    failed = ended(desk, submit(desk))
    assert failed.state is JobState.FAILED
    assert failed.error == f"a fault of this service; its log has it under request id {failed.id}"
    with pytest.raises(JobStateError, match="has failed and has no results"):
        desk.file(failed.id, "change.tif", "")
    model.before = lambda tile: None
    assert ended(desk, submit(desk)).state is JobState.DONE


def test_what_cannot_be_used_is_refused_at_once(desk: JobDesk, scenes: Path, tmp_path: Path) -> None:
    (scenes / "text.tif").write_text("no picture")
    cases = [
        (JobOrder(query=QUESTION, t1_name="t1.tif"), "t2: give either a file in t2 or a scene's name"),
        (JobOrder(query=QUESTION, t1_name="t1.tif", t2_name="text.tif"), "^text.tif "),
    ]
    for order, match in cases:
        with pytest.raises(InvalidInputError, match=match):
            submit(desk, order)
    incoming = desk.incoming()
    incoming.write("t1", b"no picture")
    incoming.write("t2", b"no picture")
    with pytest.raises(InvalidInputError, match=r"^t1\.tif ") as caught:
        desk.submit(JobOrder(query=QUESTION), incoming, owner="", key=None)
    assert str(tmp_path) not in caught.value.message
    both = uploaded(desk, scenes)
    with pytest.raises(InvalidInputError, match="t1: give either"):
        desk.submit(NAMED, both, owner="", key=None)
    assert desk.list("") == []
    assert list((tmp_path / "jobs" / "incoming").iterdir()) == []


def test_bounds(make_desk: MakeDesk, model: TileModel, scenes: Path) -> None:
    reached, go = hold(model, 1)
    desk = make_desk(queued=2, upload_bytes=1000)
    jobs = [submit(desk, owner="a"), submit(desk, owner="a")]
    assert reached.wait(30)
    with pytest.raises(OverloadedError, match="2 of your jobs have not ended"):
        submit(desk, owner="a")
    jobs.append(submit(desk, owner="b"))
    incoming = desk.incoming()
    incoming.write("t1", bytes(600))
    with pytest.raises(UploadTooLargeError, match="larger than the 1000 bytes"):
        incoming.write("t2", bytes(401))
    incoming.discard()
    go.set()
    for job in jobs:
        in_state(desk, job, JobState.DONE)


def test_another_models_tiles_are_not_mixed_in(make_desk: MakeDesk, model: TileModel) -> None:
    desk = make_desk()
    reached, go = hold(model, 4)
    job = submit(desk)
    assert reached.wait(30)
    desk.stop()
    go.set()
    decoder: Any = model.decoder
    decoder.description = replace(decoder.description, fingerprint="newer")
    desk = make_desk()
    before = model.tiles
    found = ended(desk, job)
    assert (found.state, found.error) == (JobState.DONE, None)
    assert model.tiles - before == 6
