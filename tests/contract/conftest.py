"""`buf`, which holds the protos to their rules."""

import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

Buf = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def buf() -> Buf:
    """Runs `buf` with arguments in a folder."""
    found = shutil.which("buf", path=sysconfig.get_path("scripts")) or shutil.which("buf")
    if found is None:
        pytest.fail("buf is not installed, so nothing holds the contract; run `make tools`")

    def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
        command = [found, *map(str, arguments)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    return run
