"""Features of frozen encoders: found again, never mixed up, bounded."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.config import paper_tiny
from services.vision_encoder.sam import SamImageEncoder
from training.samples.feature_cache import FeatureCache, fingerprint_of, key_of
from training.samples.frozen_features import FrozenFeatures, encoders_fingerprint, resized
from training.stages.precision import Precision

pytestmark = pytest.mark.unit

FEATURES = {"clip": torch.arange(6.0).view(2, 3), "sam": torch.ones(2, dtype=torch.bfloat16)}


def _cache(folder: Path, *, encoders: str = "a" * 64, limit: int = 10**6, shares: int = 1) -> FeatureCache:
    return FeatureCache(folder, encoders=encoders, limit=limit, shares=shares)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    _cache(tmp_path).put("key", FEATURES)
    again = _cache(tmp_path)
    found = again.get("key")
    assert found is not None
    assert all(torch.equal(found[n], t) and found[n].dtype == t.dtype for n, t in FEATURES.items())
    assert again.get("other") is None
    assert again.nbytes > 0


def test_nothing_is_kept_beyond_the_bound(tmp_path: Path) -> None:
    cache = _cache(tmp_path, limit=400)
    for key in ("one", "two", "three"):
        cache.put(key, FEATURES)
    assert cache.nbytes <= 400
    assert [cache.get(key) is not None for key in ("one", "two", "three")] == [True, True, False]
    full = _cache(tmp_path, limit=400)
    full.put("four", FEATURES)
    assert full.get("four") is None


def test_what_is_left_is_shared_by_those_who_write(tmp_path: Path) -> None:
    alone = _cache(tmp_path, limit=10_000)
    alone.put("one", FEATURES)
    size = alone.nbytes
    # What is there counts once, not for each of four processes.
    one_of_four = _cache(tmp_path, limit=size + 8 * size, shares=4)
    for key in ("two", "three", "four"):
        one_of_four.put(key, FEATURES)
    assert [one_of_four.get(key) is not None for key in ("two", "three", "four")] == [True, True, False]


def test_other_encoders_are_not_met_and_make_room(tmp_path: Path) -> None:
    _cache(tmp_path).put("key", FEATURES)
    other = _cache(tmp_path, encoders="b" * 64)
    assert other.get("key") is None
    assert other.nbytes == 0
    assert _cache(tmp_path).get("key") is None


def test_a_torn_entry_is_computed_anew(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    cache.put("key", FEATURES)
    (path,) = tmp_path.glob("*/*/*.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    assert cache.get("key") is None
    cache.put("key", FEATURES)
    assert cache.get("key") is not None


def test_threads_that_missed_the_same_image_keep_it_once(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    keys = [f"{number:03}" for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        for key in keys:
            list(pool.map(cache.put, [key] * 4, [FEATURES] * 4))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.stem for path in files) == keys
    assert cache.nbytes == sum(path.stat().st_size for path in files)


def test_a_fingerprint_follows_weights_and_sizes() -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    prints = {fingerprint_of({"m": m}, more) for m in (one, other) for more in ({"size": 1}, {"size": 2})}
    assert len(prints) == 4
    assert fingerprint_of({"m": one}, {"size": 1}) in prints


def test_keys_follow_pixels_and_shape() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert key_of(image) == key_of(np.asfortranarray(image))
    assert len({key_of(image), key_of(image.reshape(4, 2, 3)), key_of(image[::-1]), key_of(image + 1)}) == 4


def _encoders() -> tuple[ClipPatchEncoder, SamImageEncoder]:
    torch.manual_seed(0)
    config = paper_tiny()
    return ClipPatchEncoder(config.clip), SamImageEncoder(config.sam, config.image_size)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_found_features_are_the_computed_ones(tmp_path: Path, precision: Precision) -> None:
    clip, sam = _encoders()
    config = paper_tiny()
    encoders = encoders_fingerprint(clip, sam, config, precision)
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    plain = FrozenFeatures(clip, sam, config, precision).of(image)
    kept = FrozenFeatures(clip, sam, config, precision, _cache(tmp_path, encoders=encoders))
    again = FrozenFeatures(clip, sam, config, precision, _cache(tmp_path, encoders=encoders))
    for features in (kept.of(image), kept.of(image), again.of(image)):
        assert torch.equal(features.clip_tokens, plain.clip_tokens)
        assert torch.equal(features.sam_map, plain.sam_map)
    assert (kept.computed, again.computed) == (1, 0)
    assert plain.clip_tokens.shape == (config.clip.token_count, config.clip.width)
    assert plain.sam_map.shape == (config.sam.out_channels, 8, 8)
    assert plain.sam_map.dtype == getattr(torch, precision)


def test_the_encoders_see_what_they_see_when_serving() -> None:
    clip, sam = _encoders()
    config = paper_tiny()
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    found = FrozenFeatures(clip, sam, config, "float32").of(image)
    with torch.no_grad():
        tokens = clip(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])[0]
        square = torch.from_numpy(resized(image, config.image_size).copy()).permute(2, 0, 1)[None]
        torch.testing.assert_close(found.sam_map, sam(square)[0])
    torch.testing.assert_close(found.clip_tokens, tokens)


def test_another_precision_or_weight_is_another_encoder() -> None:
    clip, sam = _encoders()
    config = paper_tiny()
    before = {encoders_fingerprint(clip, sam, config, p) for p in ("float32", "bfloat16")}
    with torch.no_grad():
        next(sam.parameters()).add_(1e-3)
    assert encoders_fingerprint(clip, sam, config, "float32") not in before
    assert len(before) == 2
