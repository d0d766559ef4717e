"""The cache is bounded in bytes and its key holds everything that features depend on."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.features import FeatureCache, pair_key
from reasoncd.ports import Description
from reasoncd.tensors import Tensor

pytestmark = pytest.mark.unit

ENCODER = Description(component="vision_encoder", version="1", preset="p", fingerprint="f", seg_space=None)


def features(count: int) -> Tensor:
    return Tensor(dtype="uint8", shape=(count,), data=bytes(count))


def test_what_was_made_is_given_again() -> None:
    cache = FeatureCache()
    made = cache.get_or_make(("pair", "part"), lambda: features(3))
    assert cache.get_or_make(("pair", "part"), lambda: features(4)) is made
    assert cache.get_or_make(("pair", "other"), lambda: features(4)) is not made


def test_the_least_recently_used_leaves_first() -> None:
    cache = FeatureCache(max_bytes=100)
    first = cache.get_or_make(("a", ""), lambda: features(40))
    cache.get_or_make(("b", ""), lambda: features(40))
    cache.get_or_make(("a", ""), lambda: features(0))
    cache.get_or_make(("c", ""), lambda: features(40))
    assert cache.held_bytes == 80
    assert cache.get_or_make(("a", ""), lambda: features(1)) is first
    assert cache.get_or_make(("b", ""), lambda: features(1)).shape == (1,)


def test_what_exceeds_the_bound_alone_is_not_kept() -> None:
    cache = FeatureCache(max_bytes=10)
    assert cache.get_or_make(("a", ""), lambda: features(11)).shape == (11,)
    assert cache.held_bytes == 0


def test_the_key_changes_with_everything_that_features_depend_on() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 32, 3), dtype=np.uint8)
    key = pair_key(images, ENCODER)
    touched = images.copy()
    touched[1, 3, 4, 2] ^= 1
    others = {
        pair_key(images[::-1], ENCODER),
        pair_key(touched, ENCODER),
        pair_key(images.reshape(2, 32, 16, 3), ENCODER),
        pair_key(images, replace(ENCODER, preset="q")),
        pair_key(images, replace(ENCODER, fingerprint="g")),
    }
    assert len(others | {key}) == 6
    assert pair_key(images.copy(), ENCODER) == key
