from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reasoncd.errors import CorruptDataError, NotFoundError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.labels import LandCover, target_mask
from training.data.real_tiles import (
    DATA_VARIABLE,
    XBD_HELD_OUT,
    data_root,
    dubai_tiles,
    footprint_tiles,
    fotbcd_pairs,
    xbd_pairs,
)


def test_data_root_is_the_named_folder(fake_data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(fake_data_root))
    assert data_root() == fake_data_root
    assert len(dubai_tiles("test")) == 2


def test_data_root_that_is_no_folder_names_it_and_the_variable(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=rf"nowhere.*{DATA_VARIABLE}"):
        data_root(tmp_path / "nowhere")


def test_dubai_codes_map_to_land_cover(fake_data_root: Path) -> None:
    tile = dubai_tiles("train", fake_data_root)[0]
    raw = np.asarray(Image.open(fake_data_root / "landcover_dubai" / "labels" / "t1_p1.png"))
    expected = {0: "UNKNOWN", 1: "BUILDING", 2: "BARE_GROUND", 3: "ROAD", 4: "VEGETATION", 5: "WATER"}
    for value, name in expected.items():
        assert set(tile.land[raw == value].tolist()) == {LandCover[name]}
    assert tile.image.shape == (*tile.land.shape, 3)


def test_dubai_splits_share_no_group_and_cover_all(fake_data_root: Path) -> None:
    groups = [{t.group for t in dubai_tiles(s, fake_data_root)} for s in ("train", "validation", "test")]
    assert groups == [{"t1", "t2", "t3", "t4"}, {"t5"}, {"t6"}]


def test_fotbcd_keeps_what_each_kind_knows(fake_data_root: Path) -> None:
    pairs = dict(fotbcd_pairs("train", fake_data_root))
    assert set(pairs) == {"fotbcd_512/ins_train_1", "fotbcd_512/bin_train_3"}
    instances, binary = pairs["fotbcd_512/ins_train_1"], pairs["fotbcd_512/bin_train_3"]
    assert set(np.unique(instances.land_t1)) == {LandCover.BUILDING, LandCover.NOT_BUILDING}
    assert instances.building_change is None
    label = np.asarray(Image.open(fake_data_root / "fotbcd_512" / "label" / "ins_train_1.png"))
    np.testing.assert_array_equal(target_mask(instances, TARGET_BY_KEY["building.change"]), label > 0)
    assert not binary.land_t1.any()
    assert binary.building_change is not None
    assert set(np.unique(binary.building_change)) == {0, 1}


def test_fotbcd_validation_is_apart_and_there_is_no_test(fake_data_root: Path) -> None:
    assert {n for n, _ in fotbcd_pairs("validation", fake_data_root)} == {
        "fotbcd_512/ins_val_2",
        "fotbcd_512/bin_val_4",
    }
    assert fotbcd_pairs("test", fake_data_root) == ()


def test_damage_is_no_building_change(fake_data_root: Path) -> None:
    ((_, pair),) = xbd_pairs("train", fake_data_root)
    assert (pair.land_t1 == LandCover.BUILDING).any()
    assert not target_mask(pair, TARGET_BY_KEY["building.change"]).any()


def test_footprints_come_from_training_pairs_only(fake_data_root: Path) -> None:
    names = {tile.name for tile in footprint_tiles("train", fake_data_root)}
    assert names == {
        "fotbcd_512/ins_train_1/A",
        "fotbcd_512/ins_train_1/B",
        "xbd_harvey_1024/flood_0/A",
        "xbd_harvey_1024/flood_0/B",
    }


def test_one_flooded_tile_is_kept_from_training(fake_data_root: Path) -> None:
    names = {s: {n for n, _ in xbd_pairs(s, fake_data_root)} for s in ("train", "validation", "test")}
    assert names == {
        "train": {"xbd_harvey_1024/flood_0"},
        "validation": {f"xbd_harvey_1024/{XBD_HELD_OUT}"},
        "test": set(),
    }
    held_out = {tile.name for tile in footprint_tiles("validation", fake_data_root)}
    assert held_out == {f"xbd_harvey_1024/{XBD_HELD_OUT}/{date}" for date in "AB"}


def test_images_are_read_once(fake_data_root: Path) -> None:
    assert dubai_tiles("train", fake_data_root) is dubai_tiles("train", fake_data_root)
    with pytest.raises(ValueError, match="read-only"):
        dubai_tiles("train", fake_data_root)[0].image[0, 0, 0] = 1


def test_label_beyond_the_classes_names_the_file(fake_data_root: Path) -> None:
    path = fake_data_root / "landcover_dubai" / "labels" / "t5_p1.png"
    Image.fromarray(np.full((128, 128), 6, dtype=np.uint8)).save(path)
    with pytest.raises(CorruptDataError, match=r"t5_p1\.png holds label 6; recode it to 0-5"):
        dubai_tiles("validation", fake_data_root)


def test_change_label_beside_0_and_255_names_the_file(fake_data_root: Path) -> None:
    path = fake_data_root / "fotbcd_512" / "label" / "bin_train_3.png"
    Image.fromarray(np.full((128, 128), 7, dtype=np.uint8)).save(path)
    with pytest.raises(CorruptDataError, match=r"bin_train_3\.png.*0 and 255"):
        fotbcd_pairs("train", fake_data_root)


@pytest.mark.parametrize("file", ["labels/t6_p2.png", "images/t6_p2.jpg"])
def test_sizes_that_disagree_name_a_file(fake_data_root: Path, file: str) -> None:
    path = fake_data_root / "landcover_dubai" / file
    with Image.open(path) as picture:
        picture.crop((0, 0, 96, 128)).save(path)
    with pytest.raises(CorruptDataError, match=r"t6_p2\.png is .* pixels, its image"):
        dubai_tiles("test", fake_data_root)


def test_dates_of_different_size_name_the_later(fake_data_root: Path) -> None:
    path = fake_data_root / "xbd_harvey_1024" / "B" / "flood_0.png"
    Image.fromarray(np.zeros((64, 128, 3), dtype=np.uint8)).save(path)
    with pytest.raises(CorruptDataError, match=r"flood_0\.png is 128 x 64"):
        xbd_pairs("train", fake_data_root)


def test_colour_label_map_is_refused(fake_data_root: Path) -> None:
    path = fake_data_root / "landcover_dubai" / "labels" / "t5_p2.png"
    Image.fromarray(np.zeros((128, 128, 3), dtype=np.uint8)).save(path)
    with pytest.raises(CorruptDataError, match=r"t5_p2\.png has 3 channels"):
        dubai_tiles("validation", fake_data_root)


def test_broken_image_names_the_file(fake_data_root: Path) -> None:
    path = fake_data_root / "landcover_dubai" / "images" / "t6_p1.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CorruptDataError, match=r"t6_p1\.jpg cannot be decoded"):
        dubai_tiles("test", fake_data_root)


def test_missing_label_and_missing_set_are_not_found(fake_data_root: Path, tmp_path: Path) -> None:
    (fake_data_root / "landcover_dubai" / "labels" / "t6_p1.png").unlink()
    with pytest.raises(NotFoundError, match=r"t6_p1\.png is not there"):
        dubai_tiles("test", fake_data_root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"xbd_harvey_1024 is not there"):
        xbd_pairs("train", tmp_path / "empty")


def test_real_sets_are_whole(real_data_root: Path) -> None:
    counts = {s: len(dubai_tiles(s, real_data_root)) for s in ("train", "validation", "test")}
    assert counts == {"train": 36, "validation": 9, "test": 9}
    assert len(fotbcd_pairs("train", real_data_root)) == len(fotbcd_pairs("validation", real_data_root)) == 10
    assert [len(xbd_pairs(s, real_data_root)) for s in ("train", "validation", "test")] == [4, 1, 0]
    unchanged = [
        name
        for name, pair in fotbcd_pairs("validation", real_data_root)
        if not (target_mask(pair, TARGET_BY_KEY["building.change"]) == 1).any()
    ]
    assert len(unchanged) == 4
