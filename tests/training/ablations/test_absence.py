"""Questions about what is there and what is not."""

import numpy as np
import pytest

from reasoncd.ontology import SEG_TOKEN, TARGETS
from reasoncd.ports import Mode
from training.ablations.absence_trial import (
    Asked,
    PresenceSource,
    _told_apart,
    absent_answer,
    questions_about,
)
from training.data.bank import BankConfig, PairBank, build_bank
from training.data.batches import presence_of_targets
from training.data.labels import NO, LabelledPair, LandCover

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> PairBank:
    config = BankConfig(count=6, size=64, seed=5, real_data=False)
    return PairBank(build_bank(tmp_path_factory.mktemp("bank"), config))


def _sources(bank: PairBank) -> tuple[PresenceSource, PresenceSource]:
    with_words, without = (
        PresenceSource(bank, pairs=3, queries_per_pair=4, seed=9, in_words=words) for words in (True, False)
    )
    return with_words, without


def test_both_arms_are_asked_the_same(bank: PairBank) -> None:
    in_words, by_head = _sources(bank)
    absent = kept = refused = 0
    for step in range(12):
        one, other = in_words.batch(step), by_head.batch(step)
        assert one.images.equal(other.images)
        assert one.pair_index == other.pair_index
        for a, b in zip(one.queries, other.queries, strict=True):
            assert (a.query, a.mode) == (b.query, Mode.SHORT)
            if b.target is None:
                refused += 1
                assert a == b
                assert SEG_TOKEN not in b.answer
            elif a.target is None:
                absent += 1
                assert a.answer == absent_answer(b.target)
                assert SEG_TOKEN not in a.answer
                assert SEG_TOKEN in b.answer
            else:
                kept += 1
                assert a == b
    assert min(absent, kept, refused) > 0


def test_what_is_called_absent_follows_the_pair(bank: PairBank) -> None:
    there = {bank[i].image_t1.tobytes(): presence_of_targets(bank[i]) for i in range(len(bank))}
    in_words, by_head = _sources(bank)
    for step in range(4):
        one, other = in_words.batch(step), by_head.batch(step)
        for a, b, i in zip(one.queries, other.queries, one.pair_index, strict=True):
            first_date = one.images[i, 0].permute(1, 2, 0).numpy()
            if b.target is not None:
                assert (a.target is None) == (there[first_date.tobytes()][TARGETS.index(b.target)] == NO)


def test_who_calls_everything_absent_tells_nothing_apart() -> None:
    asked = [Asked(pair=n // 4, query="?", level=None if n % 4 == 0 else "N0") for n in range(8)]
    absent = np.array([one.level is not None for one in asked])
    for told, right in ((absent, 1.0), (~absent, 0.0), (np.ones(8, dtype=np.bool_), 0.5)):
        assert _told_apart("told", asked, told, absent, pairs=2).value == right


def test_levels_of_absence() -> None:
    land = np.full((2, 64, 64), LandCover.BARE_GROUND, dtype=np.uint8)
    land[:, :10, :10] = LandCover.WATER
    land[1, 20:40, 20:40] = LandCover.BUILDING
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    pair = LabelledPair(image_t1=image, image_t2=image, land_t1=land[0], land_t2=land[1], origin="scene")
    levels = [q.level for q in questions_about([pair])]
    # Gain and loss of building, road, vegetation, water and bare ground.
    assert levels == [None, "N2", "N0", "N0", "N0", "N0", "N1", "N1", "N2", None]
    assert questions_about([pair]) == questions_about([pair])


def test_unknown_changes_are_not_asked_about() -> None:
    blank = np.zeros((64, 64), dtype=np.uint8)
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    pair = LabelledPair(
        image_t1=image, image_t2=image, land_t1=blank, land_t2=blank, building_change=blank, origin="real"
    )
    assert questions_about([pair]) == []
