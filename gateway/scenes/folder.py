"""The folder of a run: what it may hold, whose it is, and how finished files come into it.

`run.json` says which run the folder belongs to. Unfinished files and tiles lie in `.work`, which goes when
the run is finished; `result.json` comes last, so where it stands, everything stands.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.scenes.settings import SceneResult
from reasoncd.errors import OutputError

RUN_FILE = "run.json"
RESULT_FILE = "result.json"
WORK = ".work"
FORMAT = "reasoncd-scene"
FORMAT_VERSION = 1


class RunFolder:
    """The folder of one run; made by `run_folder`.

    Args:
        path: of the folder.
        key: SHA-256 of everything that decides what is written, in hex.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.tiles = path / WORK / "tiles"
        self.scratch = path / WORK / "scratch"

    def finished(self) -> SceneResult | None:
        """The result, if the run is finished, no tile failed, and every file is there."""
        try:
            result = SceneResult.from_json((self.path / RESULT_FILE).read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            return None
        there = all((self.path / name).is_file() for name in result.files)
        return result if there and not result.failed else None

    def begin(self) -> None:
        """Take back that the run is finished, and clear what was left unfinished; tiles stay."""
        (self.path / RESULT_FILE).unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)

    def publish(self, scratch_name: str, name: str) -> None:
        """Move a finished file to its place, in one step."""
        (self.scratch / scratch_name).replace(self.path / name)

    def write(self, name: str, text: str) -> None:
        """Write a text file to its place, in one step."""
        (self.scratch / name).write_text(text, encoding="utf-8")
        self.publish(name, name)

    def end(self, result: SceneResult) -> None:
        """The run is finished; tiles stay only where some failed, for another try."""
        self.write(RESULT_FILE, result.to_json())
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not result.failed:
            shutil.rmtree(self.path / WORK, ignore_errors=True)


def run_key(values: Mapping[str, Any]) -> str:
    """SHA-256 of JSON values, in hex."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@contextmanager
def run_folder(path: Path, values: Mapping[str, Any]) -> Iterator[RunFolder]:
    """Take a folder for a run: a new or empty one, or one that the same run has begun.

    Args:
        path: of the folder.
        values: everything that decides what is written, as JSON values; kept in `run.json`.

    Raises:
        OutputError: the folder belongs to something else, another process is at work in it, or it cannot be
            written. A full disk says so; finished tiles stay, and the same run goes on from them.
    """
    key = run_key(values)
    try:
        path.mkdir(parents=True, exist_ok=True)
        _check_whose(path, key)
        (path / WORK).mkdir(exist_ok=True)
        with (path / WORK / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"another process is at work in {path}; wait for it or name another folder"
                ) from None
            if not (path / RUN_FILE).exists():
                _write_run(path, key, values)
            yield RunFolder(path, key)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        _forget_if_idle(path)


def _check_whose(path: Path, key: str) -> None:
    names = {entry.name for entry in path.iterdir()}
    if not names or names == {WORK}:
        return
    try:
        run = json.loads((path / RUN_FILE).read_bytes())
        ours, same = run["format"] == FORMAT, run["key"] == key
    except (OSError, ValueError, KeyError, TypeError):
        ours = same = False
    if not ours:
        raise OutputError(
            f"{path} is not empty and is no folder of a scene; name a new or an empty folder with --out"
        )
    if not same:
        raise OutputError(
            f"{path} belongs to another run (other scenes, question, settings or model); "
            "name another folder with --out"
        )


def _write_run(path: Path, key: str, values: Mapping[str, Any]) -> None:
    text = json.dumps(
        {"format": FORMAT, "format_version": FORMAT_VERSION, "key": key, **values},
        indent=2,
        ensure_ascii=False,
    )
    scratch = path / WORK / RUN_FILE
    scratch.write_text(text + "\n", encoding="utf-8")
    scratch.replace(path / RUN_FILE)


def _forget_if_idle(path: Path) -> None:
    """A finished folder has no `.work`; the lock alone is no reason to have one."""
    work = path / WORK
    try:
        if (path / RESULT_FILE).exists() and {entry.name for entry in work.iterdir()} <= {"lock"}:
            shutil.rmtree(work, ignore_errors=True)
    except OSError:
        return


def _output_error(path: Path, error: OSError) -> OutputError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or _no_space(path)
    mend = (
        "free some space and run it again: it goes on from here" if full else "name another place with --out"
    )
    return OutputError(f"{path} cannot be written ({error.strerror or error}); {mend}")


def _no_space(path: Path) -> bool:
    """GDAL does not say why a file could not be written."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 2**20
