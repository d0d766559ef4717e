"""The bank of rendered pairs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reasoncd.errors import NotFoundError
from training.data.bank import BankConfig, PairBank, build_bank, pair_maker
from training.data.labels import LabelledPair

pytestmark = pytest.mark.unit

CONFIG = BankConfig(count=4, size=64, seed=5, real_data=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bank(tmp_path_factory.mktemp("banks"), CONFIG)


def _same(a: LabelledPair, b: LabelledPair) -> bool:
    arrays = ("image_t1", "image_t2", "land_t1", "land_t2", "building_change")
    return a.origin == b.origin and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in arrays)


def test_pairs_come_back_as_they_were_made(folder: Path) -> None:
    bank, make = PairBank(folder), pair_maker(CONFIG)
    assert len(bank) == 4
    for index in (3, 0, 1):
        assert _same(bank[index], make(np.random.default_rng((5, index))))
    assert not _same(bank[0], bank[1])


def test_pairs_are_copies(folder: Path) -> None:
    bank = PairBank(folder)
    bank[0].image_t1[:] = 0
    assert bank[0].image_t1.any()


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = build_bank(tmp_path, CONFIG)
    assert again.name == folder.name
    for file in folder.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name
    other = build_bank(tmp_path, replace(CONFIG, seed=6))
    assert (other / "images.npy").read_bytes() != (folder / "images.npy").read_bytes()


def test_a_longer_bank_begins_with_the_shorter_one(folder: Path, tmp_path: Path) -> None:
    longer = PairBank(build_bank(tmp_path, replace(CONFIG, count=5)))
    assert all(_same(longer[i], PairBank(folder)[i]) for i in range(4))


def test_a_bank_may_be_read_as_if_it_were_shorter(folder: Path) -> None:
    whole, some = PairBank(folder), PairBank(folder, first=2)
    assert len(some) == 2
    assert all(_same(some[i], whole[i]) for i in range(2))
    assert len(PairBank(folder, first=9)) == len(whole)


def test_a_bank_is_made_once_and_appears_complete(folder: Path) -> None:
    before = (folder / "images.npy").stat().st_mtime_ns
    told: list[tuple[int, int]] = []
    assert build_bank(folder.parent, CONFIG, lambda done, of: told.append((done, of))) == folder
    assert (folder / "images.npy").stat().st_mtime_ns == before
    assert told == []
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_more_workers_render_the_same(folder: Path, tmp_path: Path) -> None:
    again = build_bank(tmp_path, CONFIG, workers=2)
    assert (again / "images.npy").read_bytes() == (folder / "images.npy").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_absent_imagery_is_told_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("REASONCD_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(NotFoundError, match="nowhere is no folder; set REASONCD_DATA"):
        build_bank(tmp_path / "banks", replace(CONFIG, real_data=True), workers=workers)
    assert not (tmp_path / "banks").exists()


def test_a_render_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_bank(tmp_path, CONFIG, fail)
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_render_is_not_in_the_way(folder: Path, tmp_path: Path) -> None:
    def begin_another(_: int, __: int) -> None:
        build_bank(tmp_path, CONFIG)

    # By the same process, since in a container process numbers come again.
    again = build_bank(tmp_path, CONFIG, begin_another)
    assert (again / "images.npy").read_bytes() == (folder / "images.npy").read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == [again.name]


def test_building_change_is_kept_beside_unknown_land(
    fake_data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REASONCD_DATA", str(fake_data_root))
    config = BankConfig(count=12, size=64, seed=1, scenes=0.0, real_pairs=1.0)
    bank, make = PairBank(build_bank(tmp_path, config)), pair_maker(config)
    pairs = [bank[i] for i in range(12)]
    assert all(_same(pair, make(np.random.default_rng((1, i)))) for i, pair in enumerate(pairs))
    assert {pair.building_change is None for pair in pairs} == {True, False}


def test_every_setting_has_a_folder_of_its_own() -> None:
    configs = [
        CONFIG,
        replace(CONFIG, count=5),
        replace(CONFIG, size=128),
        replace(CONFIG, seed=6),
        replace(CONFIG, real_data=True),
        replace(CONFIG, real_data=True, scenes=0.5),
        replace(CONFIG, real_data=True, real_pairs=0.5),
    ]
    assert len({c.name for c in configs}) == len(configs)


@pytest.mark.parametrize("fields", [{"count": 0}, {"scenes": -0.1}, {"scenes": 0.6, "real_pairs": 0.5}])
def test_impossible_settings_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"count must be|are shares"):
        replace(CONFIG, **fields)  # type: ignore[arg-type]
