"""The jobs folder on the disk."""

import errno
from pathlib import Path

import pytest

from gateway.jobs.errors import is_disk_full
from gateway.jobs.folders import JobFolders
from gateway.jobs.job import new_job_id
from gateway.jobs.settings import JobSettings
from reasoncd.errors import InvalidInputError, OutputError, UnavailableError

pytestmark = pytest.mark.unit


def test_one_gateway_has_it_at_a_time_and_it_is_the_same_again(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "jobs")
    with pytest.raises(UnavailableError, match="is in use by another gateway"):
        JobFolders(tmp_path / "jobs")
    folders.close()
    again = JobFolders(tmp_path / "jobs")
    assert again.id == folders.id
    assert JobFolders(tmp_path / "other").id != again.id


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be used .* name another with --jobs-folder"):
        JobFolders(tmp_path / "file")


def test_what_nobody_knows_is_swept(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path)
    known, unknown = new_job_id(), new_job_id()
    for job in (known, unknown):
        folders.of(job).mkdir()
    folders.incoming(10).write("t1", b"half")
    (tmp_path / "notes").mkdir()
    folders.sweep({known})
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"incoming", "notes", known}
    assert list((tmp_path / "incoming").iterdir()) == []


def test_an_upload_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    folders, job = JobFolders(tmp_path), new_job_id()
    incoming = folders.incoming(10)
    incoming.write("t1", b"abc")
    incoming.write("t1", b"def")
    assert incoming.has("t1")
    assert not incoming.has("t2")
    other = folders.incoming(10)
    other.write("t1", b"abcdef")
    assert incoming.digest("t1") == other.digest("t1")
    incoming.finish()
    folders.keep(incoming, job)
    incoming.discard()
    other.discard()
    assert folders.input(job, "t1").read_bytes() == b"abcdef"
    assert list((tmp_path / "incoming").iterdir()) == []
    folders.remove(job)
    assert not folders.of(job).exists()


def test_another_models_work_is_thrown_away(tmp_path: Path) -> None:
    folders, job = JobFolders(tmp_path), new_job_id()
    folders.of(job).mkdir()
    folders.begin(job, "one")
    tile = folders.out(job) / "tile"
    tile.write_text("")
    folders.begin(job, "one")
    assert tile.exists()
    folders.begin(job, "other")
    assert not tile.exists()


def test_a_full_disk_is_known_by_what_lies_behind() -> None:
    told = OutputError("change.tif cannot be written")
    told.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_disk_full(told)
    assert is_disk_full(RuntimeError("GDAL: No space left on device"))
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"running": 0}, "--jobs-running is 0"),
        ({"upload_bytes": 0}, "give at least 1"),
        ({"pause_s": 0.0}, "pause_s"),
        ({"scenes_root": Path("/nowhere/at/all")}, "--scenes-root /nowhere/at/all is no folder"),
    ],
)
def test_settings_out_of_range(tmp_path: Path, wrong: dict[str, object], match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        JobSettings(folder=tmp_path, **wrong)  # type: ignore[arg-type]
