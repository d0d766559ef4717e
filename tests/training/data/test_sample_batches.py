"""Which samples come when, and what a batch of them holds."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import TARGET_BY_KEY
from reasoncd.ports import Mode
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.config import paper_tiny
from services.vision_encoder.sam import SamImageEncoder
from training.data.sample_batches import SampleSource, mode_of, resized_mask, turned
from training.data.samples import MaskedPair, Sample, export_samples, read_samples
from training.data.scenes import render_pair
from training.recipes import SampleTraining
from training.samples.frozen_features import FrozenFeatures

pytestmark = pytest.mark.unit

SIDE = 128


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, ...]:
    """Ten samples on five pairs of 64 pixels."""
    pairs = [render_pair(np.random.default_rng((2, i)), size=64) for i in range(5)]
    targets = [TARGET_BY_KEY[k] for k in ("building.gain", "road.loss")]
    return read_samples(export_samples(pairs, tmp_path_factory.mktemp("set") / "out", targets=targets))


@pytest.fixture(scope="module")
def features() -> FrozenFeatures:
    torch.manual_seed(0)
    config = paper_tiny()
    clip, sam = ClipPatchEncoder(config.clip), SamImageEncoder(config.sam, config.image_size)
    return FrozenFeatures(clip, sam, config, "float32")


def _source(
    samples: tuple[Sample, ...], features: FrozenFeatures, *, rank: int = 0, processes: int = 1, **fields: Any
) -> SampleSource:
    training = SampleTraining(**{"batch": 4, "micro_batch": 1, "official_weights": False, **fields})
    return SampleSource(samples, features, training, side=SIDE, rank=rank, processes=processes)


def test_an_epoch_shows_every_sample_once_in_a_new_order(
    samples: tuple[Sample, ...], features: FrozenFeatures
) -> None:
    source = _source(samples, features, batch=5)
    epochs = [[i for s in range(e * 10, e * 10 + 10) for i, _ in source.chosen(s)] for e in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_same_samples_make_an_update_whoever_shares_them(
    samples: tuple[Sample, ...], features: FrozenFeatures
) -> None:
    def update(number: int, processes: int, micro: int) -> set[int]:
        passes = 4 // (micro * processes)
        return {
            index
            for rank in range(processes)
            for step in range(number * passes, (number + 1) * passes)
            for index, _ in _source(
                samples, features, rank=rank, processes=processes, micro_batch=micro
            ).chosen(step)
        }

    for number in range(5):
        alone = update(number, 1, 1)
        assert len(alone) == 4
        assert update(number, 1, 4) == update(number, 2, 1) == update(number, 2, 2) == alone


def test_fewer_samples_than_a_batch_come_more_than_once(
    samples: tuple[Sample, ...], features: FrozenFeatures
) -> None:
    source = _source(samples[:3], features, batch=8, micro_batch=8)
    assert sorted(Counter(i for i, _ in source.chosen(0)).values()) == [2, 3, 3]


def test_an_uneven_deal_is_refused(samples: tuple[Sample, ...], features: FrozenFeatures) -> None:
    with pytest.raises(InvalidInputError, match="cannot be dealt to 3 processes"):
        _source(samples, features, processes=3)


def test_turns_are_drawn_from_as_many_as_are_wanted(
    samples: tuple[Sample, ...], features: FrozenFeatures
) -> None:
    for turns in (1, 8):
        source = _source(samples, features, turns=turns)
        drawn = {turn for step in range(200) for _, turn in source.chosen(step)}
        assert drawn == set(range(turns))


def test_the_eight_turns_move_images_and_mask_alike() -> None:
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    pair = MaskedPair(image_t1=image, image_t2=image + 1, mask=image[..., 0], question="q", answer="a")
    seen = set()
    for turn in range(8):
        moved = turned(pair, turn)
        assert np.array_equal(moved.image_t1[..., 0], moved.mask)
        assert np.array_equal(moved.image_t2, moved.image_t1 + 1)
        seen.add(moved.mask.tobytes())
    assert len(seen) == 8
    assert turned(pair, 0) is pair


def test_a_batch_holds_what_the_stage_needs(samples: tuple[Sample, ...], features: FrozenFeatures) -> None:
    source = _source(samples, features, micro_batch=2)
    batch = source.batch(3)
    config = paper_tiny()
    assert batch.images.shape == (2, 2, 3, SIDE, SIDE)
    assert batch.images.dtype == batch.truth.dtype == torch.uint8
    assert batch.clip_tokens.shape == (2, 2, config.clip.token_count, config.clip.width)
    assert batch.sam_maps.shape == (2, 2, config.sam.out_channels, 8, 8)
    assert batch.truth.shape == (2, SIDE, SIDE)
    wanted = [samples[i] for i, _ in source.chosen(3)]
    assert batch.questions == tuple(s.question for s in wanted)
    assert batch.answers == tuple(s.answer for s in wanted)
    again = source.batch(3)
    assert torch.equal(again.images, batch.images)
    assert torch.equal(again.sam_maps, batch.sam_maps)


def test_masks_keep_their_three_values() -> None:
    mask = np.array([[0, 1], [255, 0]], dtype=np.uint8)
    large = resized_mask(mask, 4)
    assert large.shape == (4, 4)
    assert np.array_equal(large[::2, ::2], mask)
    assert resized_mask(mask, 2) is mask


@pytest.mark.parametrize(
    ("answer", "mode"),
    [
        ("It's <SEG>", Mode.SHORT),
        ("New buildings: <SEG>", Mode.SHORT),
        ("This question is not about a change of land cover.", Mode.SHORT),
        ("People need homes. New buildings: <SEG>", Mode.EXPLAINED),
    ],
)
def test_a_reason_is_asked_for_where_one_is_given(answer: str, mode: Mode) -> None:
    assert mode_of(answer) is mode
