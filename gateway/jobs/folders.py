"""The jobs folder: one folder a job, uploads on their way, and the lock of the one gateway that owns it.

gateway.id          who the folder is, so that gateways may share a database
incoming/ID/        an upload that is not whole yet; gone at the next start
ID/input/t1.tif     what was uploaded
ID/model            whose tiles the run holds
ID/out/             of the run: finished tiles, then the results
"""

import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from gateway.jobs.errors import DiskFullError, UploadTooLargeError, is_disk_full
from gateway.jobs.job import is_job_id, new_job_id
from reasoncd.errors import OutputError, UnavailableError

INPUTS = ("t1", "t2")


class JobFolders:
    """The folder of one gateway, locked until `close`.

    Args:
        folder: made if it is not there.

    Raises:
        OutputError: it cannot be made or written to.
        UnavailableError: another gateway has it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UnavailableError(
                f"the jobs folder {folder} is in use by another gateway; give each its own --jobs-folder"
            ) from None
        except OSError as error:
            raise OutputError(
                f"the jobs folder {folder} cannot be used ({error.strerror}); name another with --jobs-folder"
            ) from None
        self.id = self._own_id()

    def close(self) -> None:
        """Give the folder free."""
        self._lock.close()

    def incoming(self, most_bytes: int) -> "Incoming":
        """A place for a new submission.

        Args:
            most_bytes: bound of all of its uploads together.
        """
        return Incoming(self._incoming / new_job_id(), most_bytes)

    def keep(self, incoming: "Incoming", job: str) -> None:
        """Make a submission's uploads those of a job."""
        target = self.of(job)
        target.mkdir()
        incoming.folder.rename(target / "input")

    def of(self, job: str) -> Path:
        """The folder of a job."""
        assert is_job_id(job)
        return self._folder / job

    def input(self, job: str, which: str) -> Path:
        """The upload of a job, `t1` or `t2`."""
        return self.of(job) / "input" / f"{which}.tif"

    def out(self, job: str) -> Path:
        """Where a job's run works and leaves its results."""
        return self.of(job) / "out"

    def begin(self, job: str, model: str) -> None:
        """Make a job's folder ready for a run; what another model has begun there is thrown away.

        Args:
            job: its id.
            model: fingerprints of who will answer.
        """
        of, mark = self.of(job), self.of(job) / "model"
        if mark.exists() and mark.read_text(encoding="ascii") != model:
            shutil.rmtree(self.out(job), ignore_errors=True)
        self.out(job).mkdir(parents=True, exist_ok=True)
        draft = of / "model.new"
        draft.write_text(model, encoding="ascii")
        draft.replace(mark)

    def remove(self, job: str) -> None:
        """Remove a job's folder, as far as it is there."""
        shutil.rmtree(self.of(job), ignore_errors=True)

    def sweep(self, known: set[str]) -> None:
        """Remove uploads that did not get whole, and folders of jobs that nobody knows."""
        for path in self._incoming.iterdir():
            shutil.rmtree(path, ignore_errors=True)
        for path in self._folder.iterdir():
            if is_job_id(path.name) and path.name not in known:
                shutil.rmtree(path, ignore_errors=True)

    def _own_id(self) -> str:
        path = self._folder / "gateway.id"
        if path.exists():
            return path.read_text(encoding="ascii").strip()
        made = new_job_id()
        # Whole or not at all: a crash must not leave half a name.
        draft = path.with_suffix(".new")
        draft.write_text(made, encoding="ascii")
        draft.replace(path)
        return made


class Incoming:
    """The uploads of one submission, on their way to the disk.

    Args:
        folder: for them alone; made with the first byte.
        most_bytes: bound of all together.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self._most = most_bytes
        self._count = 0
        self._files: dict[str, BinaryIO] = {}
        self._hashes = {which: hashlib.sha256() for which in INPUTS}

    def write(self, which: str, data: bytes) -> None:
        """Take the next bytes of `t1` or `t2`.

        Raises:
            UploadTooLargeError: there are too many.
            DiskFullError: there is no room for them.
        """
        self._count += len(data)
        if self._count > self._most:
            raise too_large(self._most)
        try:
            if which not in self._files:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._files[which] = self.path(which).open("wb")
            self._files[which].write(data)
        except OSError as error:
            if is_disk_full(error):
                raise DiskFullError from None
            raise
        self._hashes[which].update(data)

    def path(self, which: str) -> Path:
        """Of the file."""
        return self.folder / f"{which}.tif"

    def has(self, which: str) -> bool:
        """Whether bytes of it came."""
        return which in self._files

    def digest(self, which: str) -> str:
        """SHA-256 of the file, in hex."""
        return self._hashes[which].hexdigest()

    def finish(self) -> None:
        """All is there: bring it to the disk.

        Raises:
            DiskFullError: there is no room.
        """
        try:
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
                file.close()
        except OSError as error:
            if is_disk_full(error):
                raise DiskFullError from None
            raise

    def discard(self) -> None:
        """Forget it, and what came of it."""
        for file in self._files.values():
            try:
                file.close()
            except OSError:
                # What could not be written is thrown away all the same.
                continue
        shutil.rmtree(self.folder, ignore_errors=True)


def too_large(most_bytes: int) -> UploadTooLargeError:
    """The refusal of an upload beyond the bound."""
    return UploadTooLargeError(
        f"the upload is larger than the {most_bytes} bytes that are taken; have the scenes put under the "
        "gateway's scenes root, and name them"
    )
