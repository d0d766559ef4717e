import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reasoncd.checkpoint import Checkpoint
from reasoncd.errors import CheckpointError, InvalidInputError
from reasoncd.ports import Description, VisionEncoder
from reasoncd.tensors import Tensor
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.engine import VisionEncoderEngine
from services.vision_encoder.model import ChangeFeatureEncoder
from services.wire import to_torch

pytestmark = pytest.mark.unit

WHO = Description(
    component="vision_encoder", version="0", preset="paper_tiny", fingerprint="f", seg_space=None
)


def _values(tensor: Tensor) -> NDArray[np.float32]:
    return to_torch(tensor).float().numpy()


@pytest.fixture(scope="module")
def engine(tiny_clip: ClipPatchEncoder, tiny_features: ChangeFeatureEncoder) -> VisionEncoderEngine:
    return VisionEncoderEngine(
        copy.deepcopy(tiny_clip), copy.deepcopy(tiny_features), WHO, sam_dtype="float32"
    )


def test_features_are_the_models_rounded_once(
    engine: VisionEncoderEngine,
    tiny_clip: ClipPatchEncoder,
    tiny_features: ChangeFeatureEncoder,
    image_pair: NDArray[np.uint8],
) -> None:
    images = torch.from_numpy(image_pair).permute(0, 3, 1, 2)
    with torch.no_grad():
        tokens, fused = tiny_clip(images), tiny_features(images[None])[0]
    got_tokens, got_fused = engine.encode_for_reasoning(image_pair), engine.encode_for_decoding(image_pair)
    assert (got_tokens.dtype, got_tokens.shape) == ("bfloat16", (2, 256, 32))
    assert (got_fused.dtype, got_fused.shape) == ("bfloat16", (32, 8, 8))
    # Half a unit in the last of bfloat16's eight places, and a little for the order of sums.
    torch.testing.assert_close(to_torch(got_tokens).float(), tokens, rtol=2**-8, atol=1e-5)
    torch.testing.assert_close(to_torch(got_fused).float(), fused, rtol=2**-7, atol=1e-4)
    assert float(fused.std()) > 1e-2


def test_same_images_give_the_same_bytes(engine: VisionEncoderEngine, image_pair: NDArray[np.uint8]) -> None:
    assert engine.encode_for_reasoning(image_pair) == engine.encode_for_reasoning(image_pair.copy())
    assert engine.encode_for_decoding(image_pair) == engine.encode_for_decoding(image_pair.copy())


def test_one_and_four_threads_agree(engine: VisionEncoderEngine, image_pair: NDArray[np.uint8]) -> None:
    """Before rounding, so that a value at a rounding edge proves nothing."""
    images = torch.from_numpy(image_pair).permute(0, 3, 1, 2)
    clip, features = engine._clip, engine._change_features
    assert clip is not None
    assert features is not None
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                results.append((clip(images), features(images[None])))
    finally:
        torch.set_num_threads(before)
    for one, four in zip(*results, strict=True):
        torch.testing.assert_close(one, four, rtol=0, atol=1e-4)


def test_a_batch_of_pairs_is_each_pair_alone(engine: VisionEncoderEngine) -> None:
    features = engine._change_features
    assert features is not None
    images = torch.randint(0, 256, (3, 2, 3, 128, 128), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = features(images)
        alone = torch.cat([features(pair[None]) for pair in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_low_precision_in_sam_stays_near(
    engine: VisionEncoderEngine, tiny_features: ChangeFeatureEncoder, image_pair: NDArray[np.uint8]
) -> None:
    low = VisionEncoderEngine(None, copy.deepcopy(tiny_features), WHO, sam_dtype="bfloat16")
    exact = to_torch(engine.encode_for_decoding(image_pair)).float()
    near = to_torch(low.encode_for_decoding(image_pair)).float()
    assert 0 < float((exact - near).norm() / exact.norm()) < 0.02


def test_order_of_dates_and_each_date_matter(
    engine: VisionEncoderEngine, image_pair: NDArray[np.uint8]
) -> None:
    tokens = _values(engine.encode_for_reasoning(image_pair))
    swapped = _values(engine.encode_for_reasoning(image_pair[::-1]))
    np.testing.assert_allclose(swapped[::-1], tokens, atol=1e-2)
    fused = _values(engine.encode_for_decoding(image_pair))
    assert not np.allclose(_values(engine.encode_for_decoding(image_pair[::-1])), fused, atol=1e-2)


@pytest.mark.parametrize("size", [(1, 1), (37, 211), (64, 64), (300, 200)])
def test_reasoning_takes_images_of_any_size(engine: VisionEncoderEngine, size: tuple[int, int]) -> None:
    images = np.full((2, *size, 3), 90, dtype=np.uint8)
    assert engine.encode_for_reasoning(images).shape == (2, 256, 32)


def test_views_and_read_only_arrays_are_taken(
    engine: VisionEncoderEngine, image_pair: NDArray[np.uint8]
) -> None:
    mirrored = image_pair[:, :, ::-1]
    frozen = mirrored.copy()
    frozen.flags.writeable = False
    assert engine.encode_for_decoding(mirrored) == engine.encode_for_decoding(frozen)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((2, 128, 128, 3), np.float32), "float32; give uint8"),
        (np.zeros((3, 128, 128, 3), np.uint8), "the earlier image first"),
        (np.zeros((2, 128, 128, 4), np.uint8), "the earlier image first"),
        (np.zeros((128, 128, 3), np.uint8), "the earlier image first"),
        (np.zeros((2, 0, 128, 3), np.uint8), "the earlier image first"),
    ],
)
def test_what_is_no_pair_is_refused(
    engine: VisionEncoderEngine, images: NDArray[np.uint8], said: str
) -> None:
    for encode in (engine.encode_for_reasoning, engine.encode_for_decoding):
        with pytest.raises(InvalidInputError, match=said):
            encode(images)


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (256, 256)])
def test_decoding_takes_its_own_square_alone(engine: VisionEncoderEngine, size: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError, match=f"{size[0]} x {size[1]} pixels but 128 x 128"):
        engine.encode_for_decoding(np.zeros((2, *size, 3), np.uint8))


def test_loads_from_a_checkpoint(
    tiny_checkpoint: Checkpoint, engine: VisionEncoderEngine, image_pair: NDArray[np.uint8]
) -> None:
    loaded: VisionEncoder = VisionEncoderEngine.from_checkpoint(tiny_checkpoint, sam_dtype="float32")
    who = loaded.describe()
    assert (who.component, who.preset, who.image_size) == ("vision_encoder", "paper_tiny", 128)
    assert who.fingerprint == tiny_checkpoint.fingerprint("vision_encoder")
    assert who.seg_space is None
    near = _values(loaded.encode_for_decoding(image_pair))
    exact = _values(engine.encode_for_decoding(image_pair))
    assert np.linalg.norm(near - exact) / np.linalg.norm(exact) < 0.03  # Weights are stored as bfloat16.


def test_each_half_can_be_loaded_alone(tiny_checkpoint: Checkpoint, image_pair: NDArray[np.uint8]) -> None:
    clip = VisionEncoderEngine.from_checkpoint(tiny_checkpoint, parts=["clip"])
    assert clip.encode_for_reasoning(image_pair).shape == (2, 256, 32)
    with pytest.raises(CheckpointError, match="without change_features"):
        clip.encode_for_decoding(image_pair)
    features = VisionEncoderEngine.from_checkpoint(tiny_checkpoint, parts=["change_features"])
    assert features.encode_for_decoding(image_pair).shape == (32, 8, 8)
    with pytest.raises(CheckpointError, match="without clip"):
        features.encode_for_reasoning(image_pair)
