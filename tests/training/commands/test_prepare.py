"""`reasoncd-train prepare`: every set by its command, one sentence for bad input, quick help."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner, Result

from training.cli import app
from training.data.samples import read_samples

pytestmark = [
    pytest.mark.unit,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

SETS = ("bcdd", "second", "levir-cd", "folders", "oscd", "label-maps")


def prepare(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)])


def _image(seed: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (*size, 3), dtype=np.uint8)


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _mask(value: int = 255, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[10:30, 10:30] = value
    return mask


def _bcdd(root: Path) -> None:
    size = (96, 320)
    _save(root / "before" / "before.tif", _image(1, size))
    _save(root / "after" / "after.tif", _image(2, size))
    _save(root / "change label" / "change_label.tif", _mask(1, size))


def _second(root: Path) -> None:
    for number in range(3):
        before, after = np.full((2, 64, 64, 3), 255, np.uint8)
        before[_mask() > 0], after[_mask() > 0] = (0, 128, 0), (128, 0, 0)
        for folder, array in (("im1", _image(1)), ("im2", _image(2)), ("label1", before), ("label2", after)):
            _save(root / folder / f"{number}.png", array)


def _folders(root: Path, names: tuple[str, ...] = ("x", "y", "z")) -> None:
    for number, name in enumerate(names):
        for folder, array in (("A", _image(number)), ("B", _image(9 + number)), ("label", _mask())):
            _save(root / folder / f"{name}.png", array)


def _levir(root: Path) -> None:
    for part in ("train", "val", "test"):
        _folders(root / part, (f"{part}_1", f"{part}_2"))


def _oscd(root: Path) -> None:
    _folders(root, ("beirut", "paris", "rio"))


def _label_maps(root: Path) -> None:
    for number in range(3):
        for folder, array in (("A", _image(1)), ("B", _image(2)), ("labelA", _mask(0)), ("labelB", _mask(1))):
            _save(root / folder / f"{number}.png", array)


MAKERS = {
    "bcdd": _bcdd,
    "second": _second,
    "levir-cd": _levir,
    "folders": _folders,
    "oscd": _oscd,
    "label-maps": _label_maps,
}


def _options(name: str, folder: Path) -> tuple[object, ...]:
    if name == "label-maps":
        (folder / "o.yaml").write_text("labels: {0: not building, 1: building}")
        return ("--ontology", folder / "o.yaml")
    if name == "folders":
        return ("--target", "building.gain", "--tile", 32)
    return ("--partial", "--tile", 32)


@pytest.mark.parametrize("name", SETS)
def test_each_set_is_prepared_by_its_command(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path / "set")
    done = prepare(name, tmp_path / "set", tmp_path / "out", *_options(name, tmp_path))
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"wrote {tmp_path / 'out'}: ")
    assert "read its README.md and look at its sheets" in done.stdout
    assert re.search(r"^(pair|tile|city) \d+/\d+ .* left", done.stderr, re.MULTILINE)
    samples = read_samples(tmp_path / "out" / "samples.json")
    pairs = len({s.img1_path for s in samples})
    assert f": {pairs} pairs, {len(samples)} samples" in done.stdout
    assert list((tmp_path / "out" / "sheets").glob("*.png"))
    assert (tmp_path / "out" / "README.md").is_file()


@pytest.mark.parametrize("name", SETS)
def test_an_empty_folder_ends_in_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "set").mkdir()
    done = prepare(name, tmp_path / "set", tmp_path / "out", *_options(name, tmp_path))
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("reasoncd-train: ") and str(tmp_path / "set") in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", SETS)
def test_an_output_that_is_there_is_refused_before_anything_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    done = prepare(name, tmp_path / "nowhere", tmp_path / "out", *_options(name, tmp_path))
    assert done.exit_code == 2
    assert "out is there already; name another folder or remove it" in done.stderr


def test_options_reach_the_set(tmp_path: Path) -> None:
    _second(tmp_path / "set")
    options = ("--partial", "--main-only", "--absent", 0, "--implicit", 2, "--sheet-rows", 0, "--seed", 4)
    done = prepare("second", tmp_path / "set", tmp_path / "out", *options)
    assert done.exit_code == 0, done.output
    samples = read_samples(tmp_path / "out" / "samples.json")
    # Two changes, each asked for in plain words and by two phrases of the bank.
    assert len(samples) == 3 * 2 * 3
    assert {s.target.key for s in samples if s.target} == {"building.gain", "vegetation.loss"}
    assert not (tmp_path / "out" / "sheets").exists()
    assert "(seed 4)" in (tmp_path / "out" / "README.md").read_text()


def test_help_names_every_set_and_reads_no_picture(tmp_path: Path) -> None:
    program = (
        "import sys; from training.cli import app\n"
        "try: app()\nfinally: assert not {'torch', 'rasterio', 'PIL', 'numpy'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", program, "prepare", "--help"]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in SETS:
        assert name in done.stdout


def test_preparing_needs_no_torch(tmp_path: Path) -> None:
    _label_maps(tmp_path / "set")
    program = (
        "import sys; from training.cli import app\ntry: app()\nfinally: assert 'torch' not in sys.modules"
    )
    arguments = ["label-maps", tmp_path / "set", tmp_path / "out", *_options("label-maps", tmp_path)]
    command = [sys.executable, "-c", program, "prepare", *map(str, arguments)]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("wrote ")


def test_the_page_about_sets_names_commands_and_options_that_exist() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")
    group = get_command(app).commands["prepare"]  # type: ignore[attr-defined]
    assert set(re.findall(r"reasoncd-train prepare ([a-z-]+)", text)) == set(SETS) == set(group.commands)
    known = {option for command in group.commands.values() for each in command.params for option in each.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert named and named <= known
    # Nothing that a person can set is left untold, but how many rows the sheets have.
    assert {option for option in known if option.startswith("--")} - named <= {"--sheet-rows"}
