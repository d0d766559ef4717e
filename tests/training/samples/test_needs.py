"""Estimates held against what a pass really keeps, and the numbers of the paper's size."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from services.mask_decoder.model import ChangeMaskDecoder
from services.reasoner.build import build_reasoner
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.model import ChangeFeatureEncoder
from training.data.sample_batches import stack_samples
from training.data.samples import SampleDataset, read_samples
from training.reasoner_start import generated_tokenizer
from training.recipes import Recipe, load_recipe
from training.samples.frozen_features import FrozenFeatures
from training.samples.needs import SampleNeeds, sample_needs
from training.stages.samples import SampleStage
from training.stages.stage import set_precision

pytestmark = pytest.mark.unit

GB = 10**9


def _needs(recipe: Recipe, **fields: object) -> SampleNeeds:
    assert recipe.samples is not None
    training = replace(recipe.samples, **fields)  # type: ignore[arg-type]
    run = training.run(samples=100, processes=1)
    return sample_needs(recipe, training, run, generated_tokenizer(recipe.reasoner.llm.vocab_size))


def _kept(stage: SampleStage, run: object) -> int:
    kept: dict[int, int] = {}
    own = {p.data_ptr() for p in stage.parameters()}
    held = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held.append(storage)
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    assert callable(run)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        run()
    return sum(size for place, size in kept.items() if place not in own)


def test_the_estimate_is_near_what_a_pass_keeps(sample_file: Path) -> None:
    recipe = load_recipe("paper-tiny")
    stage = SampleStage(
        ClipPatchEncoder(recipe.vision.clip),
        ChangeFeatureEncoder(recipe.vision),
        ChangeMaskDecoder(recipe.decoder),
        build_reasoner(recipe.reasoner, generated_tokenizer(32_000)),
    )
    set_precision(stage, "float32")
    features = FrozenFeatures(stage.clip, stage.encoder.sam, recipe.vision, "float32")
    pair = SampleDataset(read_samples(sample_file))[0]
    batch = stack_samples([pair], features, side=recipe.vision.image_size)
    measured = _kept(stage, lambda: stage(batch))
    estimate = _needs(recipe, micro_batch=1).activations
    assert 0.5 * measured < estimate < 2.5 * measured
    assert _needs(recipe, micro_batch=2).activations == pytest.approx(2 * estimate, rel=0.01)


def test_the_papers_size_is_counted_without_building_it() -> None:
    recipe = load_recipe("paper-bcdd")
    needs = _needs(recipe)
    # LLaMA2-7B with its new rows, SAM ViT-H's encoder, CLIP ViT-L/14's tower and ResNet34, in float32.
    assert 30 * GB < needs.weights < 31.5 * GB
    # 57 million weights learn: gradients, two moments and a copy of them.
    assert 0.9 * GB < needs.run.memory - needs.activations < 1.0 * GB
    assert 2 * GB < needs.activations < 8 * GB
    # SAM, CLIP and ResNet34 in the working folder, two saves of what learns, twice what is handed on.
    assert 3.5 * GB < needs.start < 4.1 * GB
    assert 1.5 * GB < needs.run.disk < 3 * GB


def test_less_is_needed_where_less_is_kept() -> None:
    recipe = load_recipe("paper-bcdd")
    checkpointed, whole = (_needs(recipe, checkpoint_activations=c) for c in (True, False))
    assert whole.activations > checkpointed.activations + 4 * GB
    half = _needs(recipe, precision="bfloat16")
    assert half.activations == pytest.approx(checkpointed.activations / 2, rel=0.01)
    assert half.weights < 0.6 * checkpointed.weights
