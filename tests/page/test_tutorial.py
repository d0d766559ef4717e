"""The tutorial runs from its first cell to its last, with a small model."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("page")]

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "examples" / "tutorial.py"


def test_the_tutorial_runs(marking_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = subprocess.run(
        [sys.executable, str(TUTORIAL), str(out), str(marking_checkpoint)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert "two dates, rows, columns, colours: (2, 384, 384, 3)" in run.stdout
    assert (out / "pair" / "index.json").is_file()
    assert {"change.tif", "probability.tif", "changes.gpkg", "changes.geojson"} <= {
        path.name for path in (out / "scene").iterdir()
    }


def test_each_cell_says_what_it_shows() -> None:
    cells = re.findall(r"^# %%(.*)$", TUTORIAL.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(cells) > 8
    assert all(len(words.split()) > 2 for words in cells)
