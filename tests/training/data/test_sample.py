"""The demo's images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import TARGET_BY_KEY
from training.data import sample
from training.data.labels import YES, target_mask

pytestmark = pytest.mark.unit

SIZE = 128
"""Small, so that many places are drawn quickly."""


def test_buildings_appear_and_nothing_asked_for_as_absent_goes() -> None:
    pair = sample.sample_pair(3, size=SIZE)
    gained = (target_mask(pair, TARGET_BY_KEY["building.gain"]) == YES).mean()
    assert 0.03 <= gained <= 0.25
    assert not (target_mask(pair, TARGET_BY_KEY["water.loss"]) == YES).any()


def test_written_images_are_the_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "place"
    assert sample.main([str(folder), "--seed", "3", "--size", str(SIZE)]) == 0
    pair = sample.sample_pair(3, size=SIZE)
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "t1.png")), pair.image_t1)
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "t2.png")), pair.image_t2)
    truth = np.asarray(Image.open(folder / "new_buildings.png"))
    np.testing.assert_array_equal(truth == 255, target_mask(pair, TARGET_BY_KEY["building.gain"]) == YES)
    assert capsys.readouterr().out.split() == [
        str(folder / n) for n in ("t1.png", "t2.png", "new_buildings.png")
    ]


def test_another_seed_is_another_place() -> None:
    first, second = sample.sample_pair(3, size=SIZE), sample.sample_pair(4, size=SIZE)
    assert not np.array_equal(first.image_t1, second.image_t1)


def test_what_cannot_be_used_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInputError, match="seed is -1"):
        sample.sample_pair(-1)
    assert sample.main([str(tmp_path), "--size", "8"]) == 2
    assert "size is 8" in capsys.readouterr().err
    (tmp_path / "file").write_text("taken")
    assert sample.main([str(tmp_path / "file"), "--seed", "3", "--size", str(SIZE)]) == 2
    assert "cannot be written" in capsys.readouterr().err
