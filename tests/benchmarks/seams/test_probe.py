"""The probe of seams on tiles whose seams are known."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.seams.crops import Crop, crops_of
from benchmarks.seams.probe import SeamConfig, probe_seams, seam_table
from reasoncd.errors import InvalidInputError, NotFoundError
from training.data.composite_config import CompositeConfig
from training.data.composites import CompositeSource
from training.data.labels import LandCover
from training.data.real_tiles import LabelledImage

pytestmark = pytest.mark.unit

SIDE = 320
COVERS = (LandCover.BUILDING, LandCover.BARE_GROUND, LandCover.ROAD, LandCover.VEGETATION, LandCover.WATER)


def _tile(number: int) -> LabelledImage:
    """Squares of all classes with a bright line of ten pixels where two of them meet."""
    rng = np.random.default_rng(number)
    squares = rng.choice(np.array(COVERS, dtype=np.uint8), (SIDE // 40, SIDE // 40))
    land = np.kron(squares, np.ones((40, 40), dtype=np.uint8))
    image: NDArray[np.uint8] = np.repeat(20 * land[..., None], 3, axis=-1)
    image += rng.integers(0, 6, image.shape, dtype=np.uint8)
    for edge in range(40, SIDE, 40):
        image[edge - 5 : edge + 5] = 250
        image[:, edge - 5 : edge + 5] = 250
    return LabelledImage(image=image, land=land, name=f"tile {number}", group="g")


@pytest.fixture
def source() -> CompositeSource:
    return CompositeSource(
        [_tile(number) for number in range(4)],
        CompositeConfig(feather=0.0, color_match=0.0, unchanged=0.5, label_shaped=0.0),
    )


def _middle(crop: Crop) -> float:
    return float(crop.pixels[:, 3:6].mean())


def test_crops_lie_on_edges_of_the_kind_that_they_claim(source: CompositeSource) -> None:
    crops = crops_of(source, 20, np.random.default_rng(0))
    assert {c.pixels.shape for c in crops} == {(17, 9, 3)}
    pasted, natural = ([c for c in crops if c.pasted == kind] for kind in (True, False))
    assert len(pasted) > 40
    assert len(natural) > 40
    assert all(a < b for c in crops for a, b in [c.sides])
    # Natural edges have a bright line, blobs and polygons cut across one only here and there.
    assert np.median([_middle(c) for c in natural]) > np.median([_middle(c) for c in pasted]) + 0.3
    assert not any(c.changed for c in natural)
    assert {c.changed for c in pasted} == {True, False}


def test_a_seam_that_shows_is_found(source: CompositeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.seams.probe.dubai_tiles", lambda *_: [_tile(n) for n in range(4)])
    monkeypatch.setattr("benchmarks.seams.probe.CompositeSource", lambda tiles: source)
    config = SeamConfig(train_pairs=30, test_pairs=20, steps=120, batch=32)
    pasted, changed = probe_seams(config)
    assert pasted.probe == "pasted"
    assert pasted.balanced_accuracy > 0.85
    assert pasted.interval[0] > 0.75
    # A paste into one date and one into both have the same edges.
    assert changed.interval[0] < 0.6
    page = seam_table([pasted, changed])
    assert f"| is this the edge of a paste? | {pasted.crops} | " in page


def test_the_same_seed_gives_the_same_figures(
    source: CompositeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.seams.probe.dubai_tiles", lambda *_: ())
    monkeypatch.setattr("benchmarks.seams.probe.CompositeSource", lambda tiles: source)
    config = SeamConfig(train_pairs=12, test_pairs=12, steps=5, batch=8)
    assert probe_seams(config) == probe_seams(config)


def test_unusable_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="steps is 0"):
        SeamConfig(steps=0)
    with pytest.raises(InvalidInputError, match="seed is -1"):
        SeamConfig(seed=-1)
    with pytest.raises(NotFoundError, match="landcover_dubai"):
        probe_seams(SeamConfig(), root=tmp_path)
