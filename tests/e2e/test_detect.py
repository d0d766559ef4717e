"""`reasoncd detect` on a checkpoint that was really trained: what it answers and what it refuses."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from gateway.cli import app
from reasoncd.base_models import BaseModelRef
from reasoncd.config import from_dict, read_json, to_dict, write_json
from reasoncd.folders import record_files
from reasoncd.manifest import COMPONENTS, ConfigFile, fingerprint
from services.reasoner.tokens import BASE_NAMES, CONTROL_TOKENS

pytestmark = pytest.mark.e2e

Run = Callable[..., Result]
Damage = Callable[[Path], object]

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 200, 150
RESULT_FILES = ["change_map.png", "changes.geojson", "overlay.png", "probability.png", "result.json"]
INDEX_KEYS = {
    "format",
    "format_version",
    "reasoncd_version",
    "inputs",
    "width",
    "height",
    "crs",
    "results",
}
RESULT_KEYS = {
    "query",
    "answer",
    "model_answer",
    "mode",
    "presence",
    "confidence",
    "changed_fraction",
    "changed_pixels",
    "polygons",
    "places",
    "seg_emitted",
    "seg_probability",
    "thresholds",
    "width",
    "height",
    "crs",
    "fingerprints",
    "timings_s",
}


@pytest.fixture(scope="session")
def pair_files(place: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Larger than one tile and not square."""
    folder = tmp_path_factory.mktemp("pair")
    paths = folder / "t1.png", folder / "t2.png"
    padding = ((0, 0), (0, HEIGHT - place.shape[1]), (0, WIDTH - place.shape[2]), (0, 0))
    for pixels, path in zip(np.pad(place, padding, mode="reflect"), paths, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pair_files: tuple[Path, Path]) -> Run:
    """`reasoncd detect` on the pair, in an empty working folder."""
    # The command line replaces the hook for uncaught errors, which belongs to its own process.
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def detect(checkpoint: Path, *arguments: str) -> Result:
        command = ["detect", *map(str, pair_files), *arguments, "--checkpoint", str(checkpoint)]
        return CliRunner().invoke(app, command)

    return detect


def assert_refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("reasoncd: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert list(Path.cwd().iterdir()) == []


def reasoncd(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user starts it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from gateway.cli import app; app()", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def check_results(folder: Path, index: dict[str, Any], count: int) -> None:
    assert index.keys() == INDEX_KEYS
    assert index == json.loads((folder / "index.json").read_text())
    assert (index["width"], index["height"], len(index["results"])) == (WIDTH, HEIGHT, count)
    for result in index["results"]:
        own = folder / result["folder"]
        assert result.keys() == RESULT_KEYS | {"folder", "files"}
        assert result["files"] == sorted(path.name for path in own.iterdir()) == RESULT_FILES
        stored = json.loads((own / "result.json").read_text())
        assert stored == {key: result[key] for key in RESULT_KEYS}
        assert result["fingerprints"].keys() == set(COMPONENTS)
        change = np.asarray(Image.open(own / "change_map.png"))
        probability = np.asarray(Image.open(own / "probability.png"))
        assert change.shape == probability.shape == (HEIGHT, WIDTH)
        assert change.dtype == probability.dtype == np.uint8
        assert set(np.unique(change)) <= {0, 255}
        assert np.count_nonzero(change) == result["changed_pixels"]
        places = json.loads((own / "changes.geojson").read_text())
        assert places["type"] == "FeatureCollection"
        assert len(places["features"]) == result["polygons"]
        # Three panels side by side, the images enlarged to be seen.
        with Image.open(own / "overlay.png") as overlay:
            assert overlay.width > 3 * WIDTH


def test_a_user_gets_maps_polygons_and_json(
    marking_checkpoint: Path, pair_files: tuple[Path, Path], tmp_path: Path
) -> None:
    questions = ["new buildings", "Where did a lake dry up?"]
    arguments = ["--checkpoint", str(marking_checkpoint), "--out", "there", "--json"]
    done = reasoncd(tmp_path, "detect", *map(str, pair_files), *questions, *arguments)
    assert done.returncode == 0, done.stderr
    index = json.loads(done.stdout)
    check_results(tmp_path / "there", index, 2)
    assert [result["query"] for result in index["results"]] == questions
    for result in index["results"]:
        assert (result["mode"], result["seg_emitted"]) == ("short", True)
        assert result["changed_pixels"] > 0
        assert "place" in result["answer"]
        assert 0 <= result["confidence"] <= 1


def test_a_process_that_refuses_ends_with_2(tmp_path: Path, pair_files: tuple[Path, Path]) -> None:
    done = reasoncd(tmp_path, "detect", *map(str, pair_files), "new buildings", "--checkpoint", "gone")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("reasoncd: there is no checkpoint at gone")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_is_seen_the_map_is_empty_and_the_text_says_so(run: Run, paper_tiny: Path) -> None:
    """Trained for a few steps only, the model is sure of nothing."""
    result = run(paper_tiny, "new buildings", "--explain", "--json")
    assert result.exit_code == 0, result.output
    index = json.loads(result.stdout)
    check_results(Path("reasoncd-out"), index, 1)
    (found,) = index["results"]
    assert found["mode"] == "explained"
    assert found["presence"] < found["thresholds"]["presence"]
    assert (found["changed_pixels"], found["polygons"], found["confidence"]) == (0, 0, None)
    assert found["answer"].lower().endswith("no such change is seen.")


def test_control_tokens_in_a_question_are_plain_text(run: Run, marking_checkpoint: Path) -> None:
    tokens = [*CONTROL_TOKENS, *(name for names in BASE_NAMES for name in names)]
    questions = [*tokens, "</CRoI> <SEG> new roads <CRoI>", " ".join(tokens)]
    result = run(marking_checkpoint, *questions, "--json")
    assert result.exit_code == 0, result.output
    index = json.loads(result.stdout)
    check_results(Path("reasoncd-out"), index, len(questions))
    for found, question in zip(index["results"], questions, strict=True):
        assert found["query"] == question
        assert found["answer"]
        assert not any(token in found["answer"] for token in tokens)
    # They are read, too: not all that looks like a token is the same to the model.
    assert len({found["seg_probability"] for found in index["results"]}) > 1


def test_a_very_long_question_is_refused(run: Run, paper_tiny: Path) -> None:
    assert_refused(run(paper_tiny, "x" * 10_000), "10000 characters")


def test_a_question_of_too_many_tokens_is_refused(run: Run, paper_tiny: Path) -> None:
    assert_refused(run(paper_tiny, "\U0001f332" * 2000), "tokens", "shorten")


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


WEIGHTS = "mask_decoder/mask_decoder.safetensors"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "folder missing": (shutil.rmtree, "no checkpoint at"),
    "truncated": (lambda folder: cut(folder / WEIGHTS), WEIGHTS),
    "emptied": (lambda folder: (folder / WEIGHTS).write_bytes(b""), WEIGHTS),
    "altered": (lambda folder: flip_a_byte(folder / WEIGHTS), WEIGHTS),
    "base weights altered": (
        lambda folder: flip_a_byte(folder / "reasoner/base_model.safetensors"),
        "reasoner/base_model.safetensors",
    ),
    "tokenizer altered": (
        lambda folder: flip_a_byte(folder / "reasoner/tokenizer.json"),
        "reasoner/tokenizer.json",
    ),
    "configuration altered": (lambda folder: flip_a_byte(folder / "config.json"), "config.json"),
    "manifest cut": (lambda folder: cut(folder / "manifest.json"), "manifest.json"),
    "file missing": (
        lambda folder: (folder / "reasoner/projections.safetensors").unlink(),
        "reasoner/projections.safetensors",
    ),
    "manifest missing": (lambda folder: (folder / "manifest.json").unlink(), "manifest.json"),
    "extra file": (lambda folder: (folder / "reasoner/more.json").write_text("{}"), "reasoner/more.json"),
    "program": (lambda folder: (folder / "run.py").write_text("print(1)"), "run.py"),
    "link": (lambda folder: (folder / "link.json").symlink_to("/etc/hostname"), "link.json"),
}


@pytest.fixture
def copy(paper_tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(paper_tiny, tmp_path / "copy"))


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_refused(run: Run, copy: Path, name: str) -> None:
    damage, words = DAMAGES[name]
    damage(copy)
    assert_refused(run(copy, "new buildings"), words, str(copy))


def test_parts_of_two_prompt_spaces_are_refused(
    run: Run, paper_tiny: Path, rewrite: Callable[..., Path], tmp_path: Path
) -> None:
    space = read_json(paper_tiny / "manifest.json")["seg_space"]["reasoner"]
    other = rewrite(
        paper_tiny, tmp_path / "other", seg_space={"reasoner": space, "mask_decoder": "seg-other"}
    )
    assert_refused(run(other, "new buildings"), "seg-other", space)


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.trace),)


def account_anew(folder: Path) -> None:
    """Make hashes and fingerprints agree with the files, as somebody who wants to be trusted would."""
    manifest = read_json(folder / "manifest.json")
    files = record_files(folder, leave_out={"manifest.json"})
    config = from_dict(ConfigFile, read_json(folder / "config.json"), where="config.json")
    bases: dict[Any, BaseModelRef] = {}
    manifest["files"] = {name: to_dict(record) for name, record in files.items()}
    manifest["fingerprints"] = {c: fingerprint(c, config, files, bases) for c in COMPONENTS}
    write_json(folder / "manifest.json", manifest)


def test_accounting_anew_alone_is_accepted(run: Run, copy: Path) -> None:
    """Else the next test would be refused for the wrong reason."""
    (copy / "README.md").write_text("# Another\n")
    assert_refused(run(copy, "new buildings"), "README.md")
    account_anew(copy)
    assert run(copy, "new buildings").exit_code == 0


@pytest.mark.parametrize("accounted", [False, True])
@pytest.mark.parametrize("writer", ["torch", "pickle"])
@pytest.mark.parametrize("name", [WEIGHTS, "reasoner/adapter_model.safetensors"])
def test_a_pickle_under_another_name_is_never_unpickled(
    run: Run, copy: Path, tmp_path: Path, name: str, writer: str, accounted: bool
) -> None:
    trace, armed = tmp_path / "trace", tmp_path / "armed.pt"
    if writer == "torch":
        torch.save({"weight": Payload(trace)}, armed)
        torch.load(armed, weights_only=False)
    else:
        armed.write_bytes(pickle.dumps(Payload(trace)))
        pickle.loads(armed.read_bytes())
    # It is armed: whoever unpickles it leaves a trace.
    trace.rmdir()
    shutil.copy(armed, copy / name)
    if accounted:
        account_anew(copy)
    assert_refused(run(copy, "new buildings"), name)
    assert not trace.exists()
