import numpy as np
import pytest

from reasoncd.errors import InvalidInputError
from training.data.augment import PhotometricConfig, View, cut, photometric, random_shift, random_view

STILL = PhotometricConfig(gain=0, bias=0, gamma=0, haze=0, noise=0, blur=0, season=0)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_cut_at_right_angles_is_exact(image: np.ndarray, quarter: int, mirror: bool) -> None:
    view = View(center_x=40, center_y=32, scale=1, angle=quarter * np.pi / 2, mirror=mirror)
    source = image[16:48, 24:56]
    got = cut(image, view, (32, 32))
    # Content turns against the window.
    expected = np.rot90(source, quarter)
    if mirror:
        expected = expected[:, ::-1]
    np.testing.assert_array_equal(got, expected)


def test_shift_moves_content_up_and_left(image: np.ndarray) -> None:
    view = View(center_x=40, center_y=32, scale=1, angle=0, mirror=False)
    np.testing.assert_array_equal(cut(image, view, (32, 32), shift=(2, 1)), image[18:50, 25:57])


def test_label_cuts_hold_no_new_values() -> None:
    land = np.random.default_rng(1).choice(np.array([1, 9], dtype=np.uint8), (64, 64))
    view = View(center_x=32, center_y=32, scale=1.3, angle=0.4, mirror=True)
    assert set(np.unique(cut(land, view, (40, 40)))) == {1, 9}


def test_views_stay_inside_the_source() -> None:
    rng = np.random.default_rng(2)
    ones = np.ones((70, 90), dtype=np.uint8)
    for _ in range(200):
        near = (float(rng.uniform(0, 70)), float(rng.uniform(0, 90)))
        view = random_view(
            rng, source_hw=(70, 90), out_hw=(48, 64), scale=(0.5, 1.5), max_tilt=0.4, near=near
        )
        shift = random_shift(rng, 2.0)
        assert np.hypot(*shift) <= 2.0
        assert cut(ones, view, (48, 64), shift=(shift[0] * view.scale, shift[1] * view.scale)).all()


def test_near_is_in_the_middle_where_the_border_allows() -> None:
    view = random_view(
        np.random.default_rng(3), source_hw=(100, 100), out_hw=(20, 20), scale=(1, 1), near=(40, 60)
    )
    assert (view.center_y, view.center_x) == (40.5, 60.5)


def test_tiny_source_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="7 x 90 pixels is too small"):
        random_view(np.random.default_rng(0), source_hw=(90, 7), out_hw=(8, 8), scale=(1, 1))


def test_photometric_at_zero_changes_nothing(image: np.ndarray) -> None:
    for seed in range(10):
        np.testing.assert_array_equal(photometric(image, np.random.default_rng(seed), STILL), image)


def test_photometric_is_random_but_repeatable(image: np.ndarray) -> None:
    config = PhotometricConfig()
    first = photometric(image, np.random.default_rng(7), config)
    np.testing.assert_array_equal(first, photometric(image, np.random.default_rng(7), config))
    assert not np.array_equal(first, photometric(image, np.random.default_rng(8), config))
    assert first.flags.writeable


def test_bright_ground_is_not_overexposed() -> None:
    bright = np.random.default_rng(0).integers(180, 231, (64, 64, 3), dtype=np.uint8)
    config = PhotometricConfig(gain=0.6, bias=0, gamma=0, haze=0, noise=0, blur=0, season=0)
    for seed in range(20):
        assert (photometric(bright, np.random.default_rng(seed), config) == 255).mean() < 0.05


def test_photometric_refuses_a_negative_reach() -> None:
    with pytest.raises(InvalidInputError, match="photometric noise is -1"):
        PhotometricConfig(noise=-1)
