"""Contrastive pretraining: captions, their words, and the loss."""

from math import exp, log

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from reasoncd.ontology import TARGET_BY_KEY, TARGETS
from services.vision_encoder.config import paper_tiny
from training.data.batches import PairBatch
from training.data.labels import LandCover
from training.stages.clip import (
    CONTEXT,
    VOCABULARY,
    ClipPretraining,
    captions_of,
    change_caption,
    contrastive,
    land_caption,
    tokenize,
)

pytestmark = pytest.mark.unit


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _land() -> NDArray[np.uint8]:
    """Half water, a quarter trees, buildings at the bottom right; one pixel of road."""
    codes = np.full((20, 20), LandCover.WATER, np.uint8)
    codes[10:, :10] = LandCover.TREE
    codes[15:, 15:] = LandCover.BUILDING
    codes[0, 0] = LandCover.ROAD
    return codes


def test_captions_say_how_much_of_what_and_where() -> None:
    caption = land_caption(_land(), _rng())
    # Water fills both upper quarters but for the road's pixel.
    for phrase in ("mostly water top right", "much trees bottom left", "some buildings bottom right"):
        assert phrase in caption
    assert "roads" not in caption
    assert land_caption(np.zeros((20, 20), np.uint8), _rng()) == "unknown"


def test_unspecified_vegetation_is_named_as_such() -> None:
    codes = np.full((20, 20), LandCover.VEGETATION, np.uint8)
    assert "mostly vegetation" in land_caption(codes, _rng())
    assert "trees" not in land_caption(codes, _rng())


def test_the_order_of_phrases_is_drawn() -> None:
    rng = _rng()
    assert len({land_caption(_land(), rng) for _ in range(20)}) > 1


def test_change_captions_name_gains_and_losses() -> None:
    keys = ("building.gain", "tree.loss", "tree.change", "vegetation>building")
    present = [TARGET_BY_KEY[k] for k in keys]
    words = change_caption(present, _rng())
    assert sorted((words.find("new buildings") >= 0, words.find("lost trees") >= 0)) == [True, True]
    assert len(words.split()) == 4
    assert change_caption([], _rng()) == "unchanged"


def test_every_caption_is_made_of_known_words(scene_batch: PairBatch) -> None:
    images, changes = captions_of(scene_batch, _rng())
    assert (len(images), len(changes)) == (4, 2)
    everything = change_caption(TARGETS, _rng())
    for caption in (*images, *changes, everything, "unknown", "unchanged"):
        assert set(caption.split()) <= set(VOCABULARY)


def test_captions_of_a_batch_belong_to_its_images() -> None:
    lands = torch.full((2, 2, 20, 20), LandCover.WATER, dtype=torch.uint8)
    lands[0, 1] = LandCover.BUILDING
    lands[1] = LandCover.UNKNOWN
    batch = PairBatch(
        images=torch.zeros(2, 2, 3, 20, 20, dtype=torch.uint8), lands=lands, truth=torch.zeros(0),
        target_index=torch.zeros(0), pair_index=torch.zeros(0), presence=torch.zeros(0),
    )  # fmt: skip
    images, changes = captions_of(batch, _rng())
    assert ["water" in c for c in images] == [True, False, False, False]
    assert ["buildings" in c for c in images] == [False, True, False, False]
    assert set(changes[0].split()) == {"new", "lost", "buildings", "water"}
    assert changes[1] == "unknown"


def test_tokens_begin_end_and_are_padded() -> None:
    rows = tokenize(["some water", " ".join(["water"] * 50)])
    assert rows.shape == (2, CONTEXT)
    words = [VOCABULARY[w] for w in ("<begin>", "some", "water", "<end>")]
    assert rows[0].tolist() == [*words, *[VOCABULARY["<pad>"]] * (CONTEXT - 4)]
    # CLIP's text tower reads its summary at the highest id, so that must be the end, and be there.
    assert max(VOCABULARY.values()) == VOCABULARY["<end>"] == len(VOCABULARY) - 1
    assert rows.argmax(dim=1).tolist() == [3, CONTEXT - 1]


def test_the_contrastive_loss_by_hand() -> None:
    a, b = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    tokens = torch.tensor([[1, 2], [1, 3]])
    # Unit vectors: 1 on the diagonal, 0 beside it.
    by_hand = -log(exp(4.0) / (exp(4.0) + 1.0))
    assert contrastive(a, b, tokens, torch.tensor(4.0)).item() == pytest.approx(by_hand, abs=1e-6)
    swapped = contrastive(a, b.flip(0), tokens, torch.tensor(4.0)).item()
    assert swapped == pytest.approx(by_hand + 4.0, abs=1e-6)


def test_equal_captions_are_all_right_answers() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, 4, generator=generator) for _ in range(2))
    tokens = torch.tensor([[1, 2], [1, 3], [1, 2]])
    logits = 2.0 * F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    total = 0.0
    for scores in (logits, logits.T):
        shares = scores.log_softmax(dim=1)
        total -= (shares[0, 0] + shares[0, 2]).item() / 2 + shares[1, 1].item()
        total -= (shares[2, 0] + shares[2, 2]).item() / 2
    assert contrastive(a, b, tokens, torch.tensor(2.0)).item() == pytest.approx(total / 6, abs=1e-5)


def test_losses_reach_the_vision_tower_and_the_scale(scene_batch: PairBatch) -> None:
    torch.manual_seed(0)
    stage = ClipPretraining(paper_tiny().clip)
    images, changes = captions_of(scene_batch, _rng())
    losses = stage((scene_batch, tokenize(images), tokenize(changes)))
    torch.testing.assert_close(losses["loss"], losses["image"] + losses["change"])
    losses["loss"].backward()
    for name in ("log_scale", "pair_head.weight", "encoder.visual.conv1.weight"):
        gradient = stage.get_parameter(name).grad
        assert gradient is not None, name
        assert bool(gradient.any()), name
