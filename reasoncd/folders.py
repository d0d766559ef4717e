"""Folders that are written whole and whose files are accounted for one by one.

Checkpoints and cached base models are such folders. This module knows what neither holds.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reasoncd.errors import CheckpointError, NotFoundError, OutputError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRecord:
    """What a file's bytes must be."""

    sha256: str
    """In hex."""
    size: int
    """In bytes."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> tuple[str, ...]:
    """Every file under `folder` as a sorted POSIX path relative to it.

    Raises:
        NotFoundError: there is no such folder.
        CheckpointError: it holds a symbolic link or something that is no plain file (nothing in
            such a folder may lead out of it), or it cannot be read.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder} is not a folder; check the path")
    names: list[str] = []
    waiting = [""]
    try:
        while waiting:
            prefix = waiting.pop()
            with os.scandir(folder / prefix) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{name}/")
                    elif entry.is_file(follow_symlinks=False):
                        names.append(name)
                    else:
                        kind = "a symbolic link" if entry.is_symlink() else "no plain file"
                        raise CheckpointError(f"{folder}: `{name}` is {kind}; put the file itself there")
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be read: {error.strerror}") from error
    return tuple(sorted(names))


def record_files(folder: Path, *, leave_out: Collection[str] = ()) -> dict[str, FileRecord]:
    """Size and hash of every file under `folder`, by its relative POSIX path.

    Raises:
        NotFoundError, CheckpointError: as `list_files`.
    """
    return {
        name: FileRecord(sha256=sha256_of(folder / name), size=(folder / name).stat().st_size)
        for name in list_files(folder)
        if name not in leave_out
    }


def differences(
    folder: Path, records: Mapping[str, FileRecord], *, leave_out: Collection[str] = (), verify: bool = True
) -> list[str]:
    """How the folder differs from its records: missing, extra, truncated, too long, altered.

    Args:
        folder: the folder to check.
        records: what it must hold, by relative POSIX path.
        leave_out: files that stand outside the account.
        verify: compare hashes too; without it only names and sizes are compared.

    Returns:
        One phrase a file, each naming it; empty where nothing differs.
    """
    found = set(list_files(folder)) - set(leave_out)
    phrases = [f"`{name}` is missing" for name in sorted(records.keys() - found)]
    phrases += [f"`{name}` is extra" for name in sorted(found - records.keys())]
    for name in sorted(found & records.keys()):
        record, path = records[name], folder / name
        try:
            size = path.stat().st_size
            if size != record.size:
                kind = "truncated" if size < record.size else "too long"
                phrases.append(f"`{name}` is {kind} ({size} bytes instead of {record.size})")
            elif verify and sha256_of(path) != record.sha256:
                phrases.append(f"`{name}` is altered (its SHA-256 differs)")
        except OSError as error:
            phrases.append(f"`{name}` cannot be read ({error.strerror})")
    return phrases


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Write a folder so that it appears complete or not at all.

    Yields a temporary sibling of `target` to fill. When the block ends well, its files are
    forced to the disk and it takes the place of `target`, whatever stood there before; when
    the block raises, it is removed and `target` stays as it was. Of several processes that
    write one folder at a time the last to finish wins.

    Raises:
        OutputError: the place cannot be written or the disk is full.
    """
    # A link keeps pointing where it points; what it points to is replaced.
    target = Path(os.path.realpath(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}; choose another place") from error
    try:
        yield new
        _settle(new)
        _take_place(new, target)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise OutputError(f"the disk is full: {target} cannot be written; free some space") from error
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _settle(folder: Path) -> None:
    """Give all files ordinary permissions (temporary ones are private) and force them to the disk."""
    umask = os.umask(0)
    os.umask(umask)
    for root, _, files in os.walk(folder):
        for name in files:
            path = Path(root, name)
            path.chmod(0o666 & ~umask)
            _sync(path)
        Path(root).chmod(0o777 & ~umask)
        _sync(Path(root))


def _take_place(new: Path, target: Path) -> None:
    # A rename replaces an absent or empty folder in one step. A filled one is moved aside first:
    # a crash between the two renames leaves both folders whole, under their temporary names.
    for _ in range(8):
        try:
            new.rename(target)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise OutputError(f"{target} cannot be replaced: {error.strerror}") from error
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
        try:
            target.rename(old)
            try:
                new.rename(target)
            except OSError:
                if not target.exists():
                    old.rename(target)
                continue  # another process was quicker: try again on top of what it wrote
            break
        except FileNotFoundError:
            continue
        finally:
            shutil.rmtree(old, ignore_errors=True)
    else:
        raise OutputError(f"{target} cannot be replaced: other processes keep writing it")
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
