"""The checkpoint that ships with the source: whole, small, and able to do what the demo shows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gateway.detection import Click
from gateway.embedded import build_pipeline
from reasoncd.base_models import cached_base_model, known_base_model
from reasoncd.checkpoint import ALLOWED_SUFFIXES, Checkpoint
from reasoncd.config import from_dict
from reasoncd.ontology import REFUSAL, TARGET_BY_KEY
from services.mask_decoder.config import mini as mini_decoder
from services.reasoner.config import mini as mini_reasoner
from services.vision_encoder.config import mini as mini_vision
from training import recipes
from training.corrections import click_errors
from training.data.labels import YES, target_masks
from training.data.sample import sample_pair

pytestmark = pytest.mark.e2e

MINI = Path(__file__).resolve().parents[2] / "checkpoints" / "mini"
BASE = known_base_model("smollm2-135m-instruct")
LARGEST_CHECKPOINT = 40 * 10**6
LARGEST_FILE = 50 * 10**6


def test_the_recipe_trains_what_the_services_run() -> None:
    recipe = recipes.mini()
    assert recipe.preset == "mini"
    assert (recipe.vision, recipe.decoder, recipe.reasoner) == (
        mini_vision(),
        mini_decoder(),
        mini_reasoner(),
    )
    assert recipe.staged.bank.size == recipe.vision.image_size == recipe.decoder.image_size
    assert recipe.reasoner.base_model == BASE.ref.name


def test_it_is_whole_small_and_of_the_recipe() -> None:
    checkpoint = Checkpoint.open(MINI)
    files = [path for path in MINI.rglob("*") if path.is_file()]
    sizes = {path.name: path.stat().st_size for path in files}
    assert sum(sizes.values()) <= LARGEST_CHECKPOINT, sizes
    assert max(sizes.values()) <= LARGEST_FILE, sizes
    assert {path.suffix for path in files} <= set(ALLOWED_SUFFIXES)
    assert checkpoint.preset == "mini"
    assert checkpoint.base_models == {"reasoner": BASE.ref}
    assert checkpoint.seg_space
    recipe = recipes.mini()
    # As they are read: fields that came later have their defaults.
    for found, wanted in (
        (checkpoint.config("vision_encoder"), recipe.vision),
        (checkpoint.config("mask_decoder"), recipe.decoder),
        (checkpoint.config("reasoner"), recipe.reasoner),
    ):
        assert from_dict(type(wanted), found, where="config.json") == wanted


needs_base_model = pytest.mark.skipif(
    cached_base_model(BASE) is None, reason="the base model is not in the cache; run `reasoncd fetch-base`"
)


@needs_base_model
def test_it_finds_new_buildings_and_refuses_what_is_no_question_about_land() -> None:
    pair = sample_pair(size=mini_vision().image_size)
    target = TARGET_BY_KEY["building.gain"]
    truth = target_masks(pair, (target,))[0] == YES
    pipeline = build_pipeline(MINI)
    found, off_topic = pipeline.detect(
        np.stack([pair.image_t1, pair.image_t2]), ["new buildings", "who painted the Mona Lisa?"]
    )
    assert found.seg_emitted
    assert found.model_answer == target.words
    assert found.answer.startswith(f"{target.words}: ")
    assert found.change_map.any()
    assert _overlap(found.change_map, truth) > 0.1
    assert not off_topic.seg_emitted
    assert off_topic.answer == REFUSAL
    assert not off_topic.change_map.any()
    # Once the adapter is merged nothing is read from the base model's file any more.
    assert "model.safetensors" not in Path("/proc/self/maps").read_text(encoding="utf-8")


@needs_base_model
def test_marked_places_are_then_as_they_were_marked() -> None:
    pair = sample_pair(size=mini_vision().image_size)
    truth = target_masks(pair, (TARGET_BY_KEY["building.gain"],))[0]
    pipeline = build_pipeline(MINI)
    images = np.stack([pair.image_t1, pair.image_t2])
    (found,) = pipeline.detect(images, ["new buildings"])
    logits = torch.from_numpy(found.probability - np.float32(found.threshold))[None]
    points, labels = click_errors(logits, torch.from_numpy(np.array(truth))[None], 3)
    places = [(int(x), int(y), bool(k)) for (x, y), k in zip(points[0], labels[0], strict=True) if k >= 0]
    assert len(places) == 3
    assert all(found.change_map[y, x] != changed for x, y, changed in places)
    clicks = [Click(x=x + 0.5, y=y + 0.5, changed=changed) for x, y, changed in places]
    (corrected,) = pipeline.detect(images, ["new buildings"], meanings=[found.meaning], clicks=clicks)
    assert all(corrected.change_map[y, x] == changed for x, y, changed in places)
    assert _overlap(corrected.change_map, truth == YES) > _overlap(found.change_map, truth == YES) + 0.05


def _overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return np.count_nonzero(found & truth) / np.count_nonzero(found | truth)
