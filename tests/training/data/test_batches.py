"""Batches: what is asked, and that labels stay on their pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reasoncd.ontology import TARGET_BY_KEY, TARGETS
from training.data.bank import BankConfig, PairBank, build_bank
from training.data.batches import (
    SMALLEST_CHANGE,
    BatchSource,
    choose_targets,
    make_batch,
    presence_of_targets,
    relight,
    shown_targets,
    transform,
)
from training.data.labels import LabelledPair, LandCover, target_mask, target_masks

pytestmark = pytest.mark.unit

INDEX = {t.key: i for i, t in enumerate(TARGETS)}
SIDE = 16


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> PairBank:
    config = BankConfig(count=6, size=64, seed=2, real_data=False)
    return PairBank(build_bank(tmp_path_factory.mktemp("banks"), config))


def _paint(land: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image in which every pixel's colour is its label's."""
    return np.repeat(land[..., None] * np.uint8(20), 3, axis=2)


def _pair(land_t1: NDArray[np.uint8], land_t2: NDArray[np.uint8]) -> LabelledPair:
    return LabelledPair(
        image_t1=_paint(land_t1), image_t2=_paint(land_t2), land_t1=land_t1, land_t2=land_t2, origin="scene"
    )


def _random_pair(seed: int) -> LabelledPair:
    lands = np.random.default_rng(seed).integers(0, 10, (2, SIDE, SIDE), dtype=np.uint8)
    return _pair(lands[0], lands[1])


def _grown(pixels: int) -> LabelledPair:
    """Water everywhere; so many pixels become buildings."""
    before = np.full((SIDE, SIDE), LandCover.WATER, np.uint8)
    after = before.copy()
    after.reshape(-1)[:pixels] = LandCover.BUILDING
    return _pair(before, after)


@pytest.mark.parametrize("seed", range(6))
def test_presence_agrees_with_the_masks(bank: PairBank, seed: int) -> None:
    for pair in (bank[seed], _random_pair(seed)):
        masks = target_masks(pair)
        yes = (masks == 1).sum(axis=(1, 2))
        certain_no = (masks == 0).all(axis=(1, 2))
        expected = np.where(yes >= SMALLEST_CHANGE, 1, np.where(certain_no, 0, 255))
        np.testing.assert_array_equal(presence_of_targets(pair), expected)


def test_a_change_of_few_pixels_is_neither_there_nor_absent() -> None:
    assert presence_of_targets(_grown(SMALLEST_CHANGE))[INDEX["building.gain"]] == 1
    assert presence_of_targets(_grown(SMALLEST_CHANGE - 1))[INDEX["building.gain"]] == 255
    assert presence_of_targets(_grown(0))[INDEX["building.gain"]] == 0


def test_a_known_building_change_answers_that_target_alone() -> None:
    blank = np.zeros((SIDE, SIDE), np.uint8)
    change = _grown(50).land_t2 == LandCover.BUILDING
    pair = LabelledPair(
        image_t1=_paint(blank), image_t2=_paint(blank), land_t1=blank, land_t2=blank, origin="real",
        building_change=change.astype(np.uint8),
    )  # fmt: skip
    presence = presence_of_targets(pair)
    assert np.flatnonzero(presence != 255).tolist() == [INDEX["building.change"]]
    assert presence[INDEX["building.change"]] == 1
    batch = make_batch([pair], np.random.default_rng(0), queries_per_pair=3)
    assert [t.key for t in batch.targets] == ["building.change"] * 3
    assert batch.presence.tolist() == [1, 1, 1]


def test_both_present_and_absent_targets_are_asked() -> None:
    presence = presence_of_targets(_grown(60))
    rng = np.random.default_rng(0)
    chosen = [choose_targets(presence, rng, 3) for _ in range(400)]
    # There are two of the rarest kind, the opposites; so the first two never need to be the same.
    assert all(c[0] != c[1] for c in chosen)
    asked = np.array(chosen)
    assert set(np.unique(presence[asked])) == {0, 1}
    # The first of each is drawn freely: 40 in 100 are absent ones.
    absent = (presence[asked[:, 0]] == 0).mean()
    assert 0.32 < absent < 0.48
    # Half of those are the opposite of what happened.
    opposite = np.isin(asked[:, 0], [INDEX["building.loss"], INDEX["water.gain"]]).mean()
    assert opposite > 0.3 * absent


def test_the_share_of_absent_targets_is_as_asked() -> None:
    presence = presence_of_targets(_grown(60))
    rng = np.random.default_rng(0)
    assert all(presence[choose_targets(presence, rng, 2, absent_share=0.0)].all() for _ in range(50))
    assert not any(presence[choose_targets(presence, rng, 2, absent_share=1.0)].any() for _ in range(50))
    # Where nothing changed, only absent ones are left.
    assert not presence_of_targets(_grown(0))[choose_targets(presence_of_targets(_grown(0)), rng, 3)].any()


def test_what_stays_is_asked_for_more_often_than_what_is_nowhere() -> None:
    pair = _grown(60)
    presence, shown = presence_of_targets(pair), shown_targets(pair)
    assert shown[INDEX["building.loss"]]
    assert not shown[INDEX["road.gain"]]
    rng = np.random.default_rng(0)
    asked = np.array([choose_targets(presence, rng, 1, shown=shown, absent_share=1.0)[0] for _ in range(600)])
    assert not presence[asked].any()
    # Half are opposites; of the others half show a class that stays, and chance adds a few more.
    assert shown[asked].mean() > 0.7
    blind = np.array([choose_targets(presence, rng, 1, absent_share=1.0)[0] for _ in range(600)])
    assert shown[blind].mean() < shown[asked].mean() - 0.05


def test_unknown_targets_are_not_asked() -> None:
    presence = np.full(len(TARGETS), 255, np.uint8)
    presence[[3, 4]] = 1, 0
    rng = np.random.default_rng(0)
    assert {i for _ in range(50) for i in choose_targets(presence, rng, 2)} == {3, 4}


def test_flips_and_turns_keep_labels_on_their_pixels() -> None:
    pair = _random_pair(0)
    rng = np.random.default_rng(0)
    views = [transform(pair, rng) for _ in range(100)]
    for view in views:
        np.testing.assert_array_equal(view.image_t1, _paint(view.land_t1))
        np.testing.assert_array_equal(view.image_t2, _paint(view.land_t2))
        # One move for both dates: codes meet the codes that they met before.
        assert sorted(zip(view.land_t1.flat, view.land_t2.flat, strict=True)) in (
            sorted(zip(pair.land_t1.flat, pair.land_t2.flat, strict=True)),
            sorted(zip(pair.land_t2.flat, pair.land_t1.flat, strict=True)),
        )
    assert len({v.land_t1.tobytes() + v.land_t2.tobytes() for v in views}) == 16
    kept = [transform(pair, rng, swap_dates=False) for _ in range(100)]
    assert len({v.land_t1.tobytes() for v in kept}) == 8


def test_exchanged_dates_turn_a_gain_into_a_loss() -> None:
    pair = _grown(60)
    gain, loss = TARGET_BY_KEY["building.gain"], TARGET_BY_KEY["building.loss"]
    seen = set()
    for seed in range(20):
        view = transform(pair, np.random.default_rng(seed))
        counts = tuple(int((target_mask(view, t) == 1).sum()) for t in (gain, loss))
        assert counts in ((60, 0), (0, 60))
        assert (counts == (60, 0)) == (view.land_t1 == LandCover.WATER).all()
        seen.add(counts)
    assert len(seen) == 2


def test_building_change_moves_with_the_pixels() -> None:
    blank = np.zeros((SIDE, SIDE), np.uint8)
    change = np.random.default_rng(0).integers(0, 2, (SIDE, SIDE), dtype=np.uint8)
    pair = LabelledPair(
        image_t1=_paint(change), image_t2=_paint(change), land_t1=blank, land_t2=blank, origin="real",
        building_change=change,
    )  # fmt: skip
    for seed in range(8):
        view = transform(pair, np.random.default_rng(seed))
        assert view.building_change is not None
        np.testing.assert_array_equal(view.image_t1, _paint(view.building_change))


def test_relighting_changes_colours_alike_everywhere() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    other = relight(image, np.random.default_rng(1))
    assert other.dtype == np.uint8
    assert not np.array_equal(other, image)
    for channel in range(3):
        order = np.argsort(image[..., channel], axis=None)
        assert (np.diff(other[..., channel].reshape(-1)[order].astype(int)) >= 0).all()


def test_a_batch_holds_what_it_asks_about(bank: PairBank) -> None:
    pairs = [bank[0], bank[1]]
    batch = make_batch(pairs, np.random.default_rng(0), queries_per_pair=3)
    assert batch.images.shape == (2, 2, 3, 64, 64)
    assert batch.images.dtype == torch.uint8
    assert batch.pair_index.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(batch.images[1, 0].permute(1, 2, 0).numpy(), pairs[1].image_t1)
    np.testing.assert_array_equal(batch.images[0, 1].permute(1, 2, 0).numpy(), pairs[0].image_t2)
    np.testing.assert_array_equal(batch.lands[1, 1].numpy(), pairs[1].land_t2)
    for row, target in enumerate(batch.targets):
        pair = pairs[int(batch.pair_index[row])]
        np.testing.assert_array_equal(batch.truth[row].numpy(), target_mask(pair, target))
        assert int(batch.presence[row]) == presence_of_targets(pair)[int(batch.target_index[row])]


def _bytes(source: BatchSource, step: int) -> bytes:
    batch = source.batch(step)
    parts = (batch.images, batch.lands, batch.target_index, batch.truth, batch.presence)
    return b"".join(p.numpy().tobytes() for p in parts)


def test_a_batch_depends_on_seed_rank_and_step_alone(bank: PairBank) -> None:
    def source(seed: int = 1, rank: int = 0) -> BatchSource:
        return BatchSource(bank, batch_size=2, queries_per_pair=2, seed=seed, rank=rank)

    first = source()
    later = [_bytes(first, step) for step in (0, 7, 3)]
    assert _bytes(source(), 7) == later[1]
    assert _bytes(first, 0) == later[0]
    assert len({*later, _bytes(source(seed=2), 0), _bytes(source(rank=1), 0)}) == 5


def test_no_pair_occurs_twice_in_a_batch(bank: PairBank, tmp_path: Path) -> None:
    batch = BatchSource(bank, batch_size=6, queries_per_pair=1, seed=0).batch(0)
    # Flips, turns and exchanged dates leave the count of each code as it was.
    counts = {tuple(np.bincount(pair.numpy().ravel(), minlength=10)) for pair in batch.lands}
    assert len(counts) == 6
