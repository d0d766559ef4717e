"""Folders appear whole or not at all, and every difference from the records is named."""

import errno
import os
import stat
from pathlib import Path

import pytest

from reasoncd.errors import CheckpointError, NotFoundError, OutputError
from reasoncd.folders import differences, list_files, record_files, whole_folder


def fill(folder: Path, text: str) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_text(text)
    (folder / "b.txt").write_text(text)


def leftovers(parent: Path) -> list[str]:
    return sorted(path.name for path in parent.iterdir() if path.name.startswith("."))


def test_lists_files_by_relative_name(tmp_path: Path) -> None:
    fill(tmp_path, "x")
    assert list_files(tmp_path) == ("b.txt", "sub/a.txt")


def test_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="none"):
        list_files(tmp_path / "none")


@pytest.mark.parametrize("target", ["/etc/hostname", "b.txt", "/", "absent"])
def test_links_are_refused_wherever_they_lead(tmp_path: Path, target: str) -> None:
    fill(tmp_path, "x")
    (tmp_path / "sub" / "link.txt").symlink_to(target)
    with pytest.raises(CheckpointError, match=r"`sub/link\.txt` is a symbolic link"):
        list_files(tmp_path)


def test_a_pipe_is_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(CheckpointError, match=r"`pipe\.txt` is no plain file"):
        list_files(tmp_path)


def test_differences_name_every_file(tmp_path: Path) -> None:
    for name in ("kept", "gone", "cut", "grown", "changed"):
        (tmp_path / name).write_text("four")
    records = record_files(tmp_path)
    assert differences(tmp_path, records) == []
    (tmp_path / "gone").unlink()
    (tmp_path / "cut").write_text("fo")
    (tmp_path / "grown").write_text("fourfour")
    (tmp_path / "changed").write_text("fouR")
    (tmp_path / "new").write_text("")
    assert differences(tmp_path, records) == [
        "`gone` is missing",
        "`new` is extra",
        "`changed` is altered (its SHA-256 differs)",
        "`cut` is truncated (2 bytes instead of 4)",
        "`grown` is too long (8 bytes instead of 4)",
    ]
    assert not any("changed" in phrase for phrase in differences(tmp_path, records, verify=False))


def test_a_new_folder_appears_with_ordinary_permissions(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with whole_folder(target) as new:
        fill(new, "x")
        (new / "b.txt").chmod(0o600)
        assert not target.exists()
    assert list_files(target) == ("b.txt", "sub/a.txt")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((target / "b.txt").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE(target.stat().st_mode) == 0o777 & ~umask
    assert leftovers(target.parent) == []


def test_an_existing_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with whole_folder(target) as new:
        fill(new, "new")
        assert (target / "old.txt").read_text() == "old"
    assert list_files(target) == ("b.txt", "sub/a.txt")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_a_raising_block_changes_nothing(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(type(error)), whole_folder(target) as new:  # noqa: PT012 - the block is what is tested
        fill(new, "new")
        raise error
    assert list_files(target) == ("old.txt",)
    assert leftovers(tmp_path) == []


def test_a_link_to_the_target_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with whole_folder(tmp_path / "link") as new:
        fill(new, "x")
    assert (tmp_path / "link").is_symlink()
    assert list_files(tmp_path / "real") == ("b.txt", "sub/a.txt")


def test_two_writers_at_once_leave_the_last_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with whole_folder(target) as first:
        with whole_folder(target) as second:
            fill(second, "second")
        fill(first, "first")
    assert (target / "b.txt").read_text() == (target / "sub" / "a.txt").read_text() == "first"
    assert leftovers(tmp_path) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("a file")
    with (
        pytest.raises(OutputError, match="target cannot be replaced"),
        whole_folder(tmp_path / "target") as new,
    ):
        fill(new, "x")
    with pytest.raises(OutputError, match="cannot be written"), whole_folder(tmp_path / "target" / "sub"):
        pass
    assert (tmp_path / "target").read_text() == "a file"


def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="disk is full"), whole_folder(tmp_path / "target"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
