"""LEVIR-CD: its published parts, counts and tiles."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError, NotFoundError
from training.data.prepare.folders import FoldersConfig
from training.data.prepare.levir_cd import PUBLISHED_COUNTS, prepare_levir_cd
from training.data.samples import SampleDataset, read_samples

pytestmark = pytest.mark.unit

Draw = Callable[..., NDArray[np.uint8]]
Save = Callable[[Path, NDArray[np.generic]], Path]
CONFIG = FoldersConfig(tile=32, partial=True, sheet_rows=0)


@pytest.fixture
def source(tmp_path: Path, noise: Draw, change: Draw, save: Save) -> Path:
    for part, count in (("train", 3), ("val", 1), ("test", 2)):
        for number in range(1, count + 1):
            name = f"{part}_{number}.png"
            save(tmp_path / "levir" / part / "A" / name, noise(number))
            save(tmp_path / "levir" / part / "B" / name, noise(50 + number))
            save(tmp_path / "levir" / part / "label" / name, change(number))
    return tmp_path / "levir"


def test_parts_are_the_published_ones_and_pictures_become_tiles(
    source: Path, tmp_path: Path, noise: Draw
) -> None:
    prepare_levir_cd(source, tmp_path / "out", CONFIG)
    for part, folder, count in (("train", "train", 3), ("validation", "val", 1), ("test", "test", 2)):
        samples = read_samples(tmp_path / "out" / f"{part}.json")
        assert len(samples) == 4 * count
        assert {s.img1_path.parent.parent.name for s in samples} == {folder}
        assert {s.question for s in samples} == {"Changed buildings"}
    tile = SampleDataset(read_samples(tmp_path / "out" / "test.json"))[7]
    np.testing.assert_array_equal(tile.image_t2, noise(52)[32:, 32:])
    assert "As published." in (tmp_path / "out" / "README.md").read_text()


def test_the_published_counts_are_asked_for(source: Path, tmp_path: Path) -> None:
    assert sum(PUBLISHED_COUNTS.values()) == 637
    with pytest.raises(
        InvalidInputError, match="levir holds 3 train pairs, the published set 445; complete it"
    ):
        prepare_levir_cd(source, tmp_path / "out")
    with pytest.raises(InvalidInputError, match="levir/train is not divided into train/, val/ and test/"):
        prepare_levir_cd(source / "train", tmp_path / "out", CONFIG)
    (source / "val" / "label" / "val_1.png").unlink()
    with pytest.raises(NotFoundError, match="label lacks val_1, which A/ has"):
        prepare_levir_cd(source, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()
