"""Any label maps with an ontology file: footprints here, as many building sets have them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError, NotFoundError
from training.data.prepare.label_maps import LabelMapsConfig, prepare_label_maps
from training.data.samples import SampleDataset, read_samples

pytestmark = pytest.mark.unit

Draw = Callable[..., NDArray[np.uint8]]
Save = Callable[[Path, NDArray[np.generic]], Path]
CONFIG = LabelMapsConfig(sheet_rows=0)


@pytest.fixture
def source(tmp_path: Path, noise: Draw, change: Draw, save: Save) -> Path:
    """Four pairs with footprints: a building moves, and in the last pair nothing does."""
    for number in range(4):
        name = f"p{number}.png"
        save(tmp_path / "maps" / "A" / name, noise(number))
        save(tmp_path / "maps" / "B" / name, noise(9 + number))
        save(tmp_path / "maps" / "labelA" / name, change(0) // np.uint8(255))
        save(tmp_path / "maps" / "labelB" / name, change(0 if number == 3 else 10) // np.uint8(255))
    return tmp_path / "maps"


@pytest.fixture
def ontology(tmp_path: Path) -> Path:
    path = tmp_path / "footprints.yaml"
    path.write_text("labels:\n  0: not building\n  1: building\n")
    return path


def test_footprints_of_both_dates_give_gain_and_loss(source: Path, ontology: Path, tmp_path: Path) -> None:
    prepare_label_maps(source, tmp_path / "out", ontology, CONFIG)
    samples = read_samples(tmp_path / "out" / "samples.json")
    data = SampleDataset(samples)
    area = {
        (s.img1_path.parent.name, s.target.key, s.level): int(data[i].mask.sum())
        for i, s in enumerate(samples)
        if s.target
    }
    for pair in ("p0", "p1", "p2"):
        assert area[pair, "building.gain", "E0"] == area[pair, "building.loss", "E0"] == 120
        assert area[pair, "building.change", "E0"] == 240
    assert {key: n for key, n in area.items() if key[0] == "p3"} == {
        ("p3", "building.gain", "N1"): 0,
        ("p3", "building.loss", "N1"): 0,
    }
    assert "0 not building; 1 building" in (tmp_path / "out" / "README.md").read_text()


def test_folders_may_have_other_names(source: Path, ontology: Path, tmp_path: Path) -> None:
    for old, new in (("A", "2012"), ("B", "2016"), ("labelA", "land 2012"), ("labelB", "land 2016")):
        (source / old).rename(source / new)
    with pytest.raises(NotFoundError, match="maps holds neither A/, B/, labelA/, labelB/ nor train/"):
        prepare_label_maps(source, tmp_path / "out", ontology, CONFIG)
    config = LabelMapsConfig(inner=("2012", "2016", "land 2012", "land 2016"), sheet_rows=0)
    record = prepare_label_maps(source, tmp_path / "out", ontology, config)
    assert len(record.groups) == 4


def test_a_value_that_the_file_does_not_list_is_named(
    source: Path, ontology: Path, tmp_path: Path, save: Save
) -> None:
    save(source / "labelB" / "p2.png", np.full((64, 64), 4, np.uint8))
    with pytest.raises(
        InvalidInputError, match=r"labelB/p2.png shows the value 4 at row 0, column 0 \(4096 such"
    ):
        prepare_label_maps(source, tmp_path / "out", ontology, CONFIG)
    assert not (tmp_path / "out").exists()


def test_labels_that_say_nothing_leave_nothing_to_write(source: Path, tmp_path: Path) -> None:
    blank = tmp_path / "blank.yaml"
    blank.write_text("labels: {0: unknown, 1: unknown}")
    with pytest.raises(
        InvalidInputError,
        match="nothing of the set is left to write: 4 pairs about which nothing can be asked",
    ):
        prepare_label_maps(source, tmp_path / "out", blank, CONFIG)
    assert not (tmp_path / "out").exists()


def test_four_different_folders_are_asked_for() -> None:
    with pytest.raises(InvalidInputError, match="folders are A, B, B, C; give four different names"):
        LabelMapsConfig(inner=("A", "B", "B", "C"))
