"""Figures on samples, with a stage whose answers and maps are set by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from reasoncd.manifest import Thresholds
from services.mask_decoder.model import ChangeMaskDecoder
from services.reasoner.build import build_reasoner
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.model import ChangeFeatureEncoder
from training.data.sample_parts import marks_change
from training.data.samples import MaskedPair, Sample, read_samples
from training.metrics import Confusion
from training.reasoner_start import generated_tokenizer
from training.recipes import read_recipe
from training.samples import validation
from training.samples.frozen_features import FrozenFeatures
from training.samples.validation import (
    Answered,
    answer_freely,
    choose_thresholds,
    given_answers,
    six_metrics,
    validate_samples,
)
from training.stages.samples import SampleStage
from training.stages.stage import set_precision

pytestmark = pytest.mark.unit


@pytest.fixture
def stage(quick_recipe: Path) -> SampleStage:
    recipe = read_recipe(quick_recipe)
    torch.manual_seed(0)
    stage = SampleStage(
        ClipPatchEncoder(recipe.vision.clip),
        ChangeFeatureEncoder(recipe.vision),
        ChangeMaskDecoder(recipe.decoder),
        build_reasoner(recipe.reasoner, generated_tokenizer(32_000)),
    )
    set_precision(stage, "float32")
    return stage


@pytest.fixture
def features(stage: SampleStage, quick_recipe: Path) -> FrozenFeatures:
    return FrozenFeatures(stage.clip, stage.encoder.sam, read_recipe(quick_recipe).vision, "float32")


@pytest.fixture
def samples(sample_file: Path) -> tuple[Sample, ...]:
    """Three, at least one of which marks a change."""
    every = read_samples(sample_file)
    changed = next(i for i, sample in enumerate(every) if marks_change([sample]))
    return every[changed : changed + 1] + every[:2]


def _always_seg(stage: SampleStage) -> None:
    """Let `<SEG>` be the likeliest token wherever it is asked."""
    delta = stage.reasoner.causal_lm.lm_head.token_adapter.trainable_tokens_delta["default"]
    norm = stage.reasoner.llama.norm.weight
    with torch.no_grad():
        delta.zero_()
        norm.zero_()
    original = stage.reasoner.logits
    seg = stage.reasoner.tokenizer.seg_id

    def logits(states: torch.Tensor) -> torch.Tensor:
        scores = original(states)
        scores[..., seg] += 100.0
        return scores

    stage.reasoner.logits = logits  # type: ignore[method-assign]


def _answered(logits: np.ndarray, mask: np.ndarray, *, emitted: bool = True) -> Answered:
    image = np.zeros((*mask.shape, 3), dtype=np.uint8)
    pair = MaskedPair(image_t1=image, image_t2=image, mask=mask, question="q", answer="It's <SEG>")
    return Answered(pair=pair, logits=logits.astype(np.float32), presence=0.5, there=1, emitted=emitted)


def test_a_map_counts_only_where_seg_comes() -> None:
    mask = np.array([[1, 1], [0, 255]], dtype=np.uint8)
    logits = np.array([[3.0, -3.0], [3.0, 3.0]])
    assert _answered(logits, mask).confusion() == Confusion(tp=1, fn=1, fp=1)
    assert _answered(logits, mask, emitted=False).confusion() == Confusion(fn=2, tn=1)
    # A threshold of 0.97 lies above the logistic function of 3.
    assert _answered(logits, mask).confusion(cut=0.97) == Confusion(fn=2, tn=1)


def test_validation_agrees_with_the_stage(
    stage: SampleStage, features: FrozenFeatures, samples: tuple[Sample, ...]
) -> None:
    _always_seg(stage)
    figures = validate_samples(stage, samples, features)
    found = [(answered, losses) for answered, losses in given_answers(stage, samples, features)]
    total = sum((answered.confusion() for answered, _ in found), Confusion())
    expected: Mapping[str, float] = six_metrics(total)
    for name, value in expected.items():
        assert figures[name] == pytest.approx(value), name
    assert figures["loss"] == pytest.approx(np.mean([losses["loss"] for _, losses in found]))
    assert figures["seg_emitted"] == 1.0
    assert not stage.training
    assert all(answered.logits.shape == (64, 64) for answered, _ in found)


def test_a_process_without_samples_sends_as_many_sums_as_the_others(
    stage: SampleStage, features: FrozenFeatures, samples: tuple[Sample, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    def sums_of(values: Sequence[float]) -> list[float]:
        sent.append(len(values))
        return list(values)

    monkeypatch.setattr(validation, "sums_of", sums_of)
    validate_samples(stage, samples[:1], features)
    monkeypatch.setattr(validation, "rank", lambda: 1)
    monkeypatch.setattr(validation, "world_size", lambda: 2)
    validate_samples(stage, samples[:1], features)
    assert len(set(sent)) == 1


def test_an_untrained_model_emits_no_seg_and_marks_nothing(
    stage: SampleStage, features: FrozenFeatures, samples: tuple[Sample, ...]
) -> None:
    figures = validate_samples(stage, samples, features)
    assert figures["seg_emitted"] == figures["f1"] == figures["recall"] == 0.0


def test_free_answers_need_their_own_seg(
    stage: SampleStage, features: FrozenFeatures, samples: tuple[Sample, ...]
) -> None:
    everything = Thresholds(presence=0.0, probability=0.001)
    assert answer_freely(stage, samples, features, everything)["seg_emitted"] == 0.0
    _always_seg(stage)
    figures = answer_freely(stage, samples, features, everything)
    assert figures["seg_emitted"] == 1.0
    assert figures["recall"] > 0.0
    assert figures["answer_equal"] == 0.0
    emptied = answer_freely(stage, samples, features, Thresholds(presence=1.0, probability=0.001))
    assert (emptied["seg_emitted"], emptied["recall"]) == (1.0, 0.0)


def test_thresholds_are_those_of_the_best_f1(
    stage: SampleStage, features: FrozenFeatures, samples: tuple[Sample, ...]
) -> None:
    _always_seg(stage)
    chosen, f1 = choose_thresholds(stage, samples, features, judge_presence=False)
    assert chosen.presence == 0.0
    found = [answered for answered, _ in given_answers(stage, samples, features)]
    by_cut = [
        sum((a.confusion(cut=cut) for a in found), Confusion()).f1 for cut in np.arange(0.2, 0.85, 0.05)
    ]
    assert f1 == pytest.approx(max(by_cut))
    assert chosen.probability == pytest.approx(np.arange(0.2, 0.85, 0.05)[int(np.argmax(by_cut))], abs=0.006)


def test_the_f1_is_that_of_both_thresholds_in_force(
    stage: SampleStage, features: FrozenFeatures, sample_file: Path
) -> None:
    _always_seg(stage)
    with torch.no_grad():
        # As drawn it is surest where nothing changed.
        for parameter in stage.decoder.presence_head[-1].parameters():
            parameter.neg_()
    samples = read_samples(sample_file)
    chosen, f1 = choose_thresholds(stage, samples, features, judge_presence=True)
    found = [answered for answered, _ in given_answers(stage, samples, features)]
    shown = [answered.presence >= chosen.presence for answered in found]
    assert 0 < sum(shown) < len(found)

    def f1_at(cut: float) -> float:
        nothing = (Confusion.of(np.zeros(a.pair.mask.shape, dtype=np.bool_), a.pair.mask) for a in found)
        counts = (a.confusion(cut=cut) if s else n for a, s, n in zip(found, shown, nothing, strict=True))
        return sum(counts, Confusion()).f1

    cuts = np.arange(0.2, 0.85, 0.05)
    assert f1 == pytest.approx(f1_at(chosen.probability)) == pytest.approx(max(map(f1_at, cuts)))
    assert f1 != pytest.approx(sum((a.confusion(cut=chosen.probability) for a in found), Confusion()).f1)
