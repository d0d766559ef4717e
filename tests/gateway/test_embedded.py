"""Building the pipeline in this process: what is refused before anything heavy is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import embedded
from reasoncd.errors import CheckpointError, InvalidInputError, NotFoundError

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]


def test_the_default_checkpoint_is_the_environments_or_the_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REASONCD_CHECKPOINT", "/somewhere/else")
    assert embedded.default_checkpoint() == Path("/somewhere/else")
    monkeypatch.delenv("REASONCD_CHECKPOINT")
    assert embedded.default_checkpoint() == ROOT / "checkpoints" / "mini"


def test_unusable_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no checkpoint at .*gone; name one with --checkpoint"):
        embedded.build_pipeline(tmp_path / "gone")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        embedded.build_pipeline(tmp_path)


def test_threads_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="threads is 0"):
        embedded.build_pipeline(tmp_path, threads=0)


def test_a_missing_checkpoint_is_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom gateway.embedded import build_pipeline\n"
        "try: build_pipeline(Path('gone'))\nexcept Exception as error: print(type(error).__name__)\n"
        "print('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["NotFoundError", "False"]
