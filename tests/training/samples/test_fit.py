"""Fitting to a sample file end to end, at a size for tests, and what it refuses."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from gateway.embedded import build_pipeline
from reasoncd.checkpoint import Checkpoint
from reasoncd.errors import InvalidInputError, NotFoundError, OutputError
from training import recipes
from training.data.sample_parts import load_parts
from training.data.samples import SampleSplit
from training.recipes import Recipe, read_recipe
from training.run.progress import PlainReport
from training.samples.fit import SampleFit
from training.samples.start import OfficialFiles

pytestmark = pytest.mark.unit

NOTHING = OfficialFiles()


@pytest.fixture
def recipe(quick_recipe: Path) -> Recipe:
    return read_recipe(quick_recipe)


@pytest.fixture
def parts(sample_file: Path) -> SampleSplit:
    return load_parts(sample_file)


def _fit(recipe: Recipe, folder: Path, told: list[str] | None = None, **samples: Any) -> SampleFit:
    assert recipe.samples is not None
    changed = replace(recipe, samples=replace(recipe.samples, **samples))
    return SampleFit(changed, folder, PlainReport((told if told is not None else []).append))


def test_from_a_sample_file_to_an_answer(recipe: Recipe, parts: SampleSplit, tmp_path: Path) -> None:
    told: list[str] = []
    fit = _fit(recipe, tmp_path / "work", told)
    figures = fit.fit(parts, NOTHING)
    place = tmp_path / "work" / "samples"
    for name in ("weights.safetensors", "log.csv", "validation.csv", "curves.png", "seg_space.json"):
        assert (place / name).is_file(), name
    written = json.loads((place / "test.json").read_text())
    assert written == {"part": "test", "samples": 1, **figures}
    assert {"f1", "iou", "precision", "recall", "accuracy", "kappa", "seg_emitted"} < figures.keys()
    # 8 samples, 4 an update, 2 a pass: two epochs of four steps each.
    assert sum(line.startswith("validation |") for line in told) == 2
    assert any(line.startswith("step 8/8") for line in told)

    thresholds, f1 = fit.export(tmp_path / "checkpoint", parts, "# Card\n")
    assert thresholds.presence == 0.0
    assert 0.0 <= f1 <= 1.0
    checkpoint = Checkpoint.open(tmp_path / "checkpoint")
    assert checkpoint.seg_space_of("reasoner") == checkpoint.seg_space_of("mask_decoder")
    sample = parts.test[0]
    images = np.stack([np.array(Image.open(p)) for p in (sample.img1_path, sample.img2_path)])
    (answer,) = build_pipeline(tmp_path / "checkpoint").detect(images, [sample.question])
    assert answer.change_map.shape == (64, 64)


def test_features_are_computed_once(recipe: Recipe, parts: SampleSplit, tmp_path: Path) -> None:
    kept = _fit(recipe, tmp_path / "kept")
    kept.fit(parts, NOTHING)
    entries = list((tmp_path / "kept" / "samples" / "features").glob("*/*/*.safetensors"))
    # Two images of each of ten pairs, each shown as it is.
    assert len(entries) == 20
    none = _fit(recipe, tmp_path / "none", cache_gigabytes=0.0)
    none.fit(parts, NOTHING)
    assert not (tmp_path / "none" / "samples" / "features").exists()
    one, other = (load_file(tmp_path / n / "samples" / "weights.safetensors") for n in ("kept", "none"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_only_what_learned_is_handed_on(recipe: Recipe, parts: SampleSplit, tmp_path: Path) -> None:
    _fit(recipe, tmp_path).fit(parts, NOTHING)
    names = set(load_file(tmp_path / "samples" / "weights.safetensors"))
    assert not any(name.startswith(("clip.visual", "encoder.sam.")) for name in names)
    assert any("lora_A" in name for name in names)
    assert "encoder.fusion.ffn.1.running_mean" in names


def test_the_losses_fall_and_seg_is_learned(recipe: Recipe, parts: SampleSplit, tmp_path: Path) -> None:
    told: list[str] = []
    _fit(recipe, tmp_path, told, epochs=8, patience=None).fit(parts, NOTHING)
    figures = [
        dict(zip(line.split()[2::2], map(float, line.split()[3::2]), strict=True))
        for line in told
        if line.startswith("validation |")
    ]
    assert figures[-1]["text"] < figures[0]["text"] - 0.5
    assert figures[-1]["bce"] < figures[0]["bce"]
    assert figures[-1]["seg_emitted"] == 1.0


def test_a_finished_fit_is_measured_again_and_not_trained(
    recipe: Recipe, parts: SampleSplit, tmp_path: Path
) -> None:
    first = _fit(recipe, tmp_path).fit(parts, NOTHING)
    told: list[str] = []
    assert _fit(recipe, tmp_path, told).fit(parts, NOTHING) == first
    assert "is there already" in told[0]


def test_other_samples_are_no_continuation(recipe: Recipe, parts: SampleSplit, tmp_path: Path) -> None:
    fit = _fit(recipe, tmp_path)
    fit.fit(parts, NOTHING)
    fewer = SampleSplit(train=parts.train[1:], validation=parts.validation, test=parts.test)
    for call in (lambda: fit.fit(fewer, NOTHING), lambda: fit.export(tmp_path / "out", fewer, "# Card\n")):
        with pytest.raises(InvalidInputError, match="begun with other samples in its train part"):
            call()


def test_an_export_before_the_end_is_refused(recipe: Recipe, parts: SampleSplit, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="run `reasoncd-train fit --recipe quick` to its end"):
        _fit(recipe, tmp_path).export(tmp_path / "out", parts, "# Card\n")


def test_a_recipe_in_stages_is_not_for_samples(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="recipe mini has no `samples`"):
        SampleFit(recipes.mini(), tmp_path, PlainReport(print))


def _without_change(parts: SampleSplit, folder: Path) -> SampleSplit:
    empty = folder / "empty.png"
    Image.new("L", (64, 64)).save(empty)
    return replace(parts, validation=tuple(replace(s, mask_path=empty) for s in parts.validation))


def _with_long_answer(parts: SampleSplit, _: Path) -> SampleSplit:
    return replace(parts, train=(replace(parts.train[0], answer="word " * 60 + "<SEG>"), *parts.train[1:]))


@pytest.mark.parametrize(
    ("spoil", "best_by", "said"),
    [
        (_without_change, "f1", "no mask of the validation part marks a change"),
        (_with_long_answer, "loss", "entry .*: answer has .* tokens but at most 48 are taken; shorten it"),
    ],
)
def test_data_that_will_not_do_is_refused_before_training(
    recipe: Recipe, parts: SampleSplit, tmp_path: Path,
    spoil: Callable[[SampleSplit, Path], SampleSplit], best_by: str, said: str,
) -> None:  # fmt: skip
    with pytest.raises(InvalidInputError, match=said):
        _fit(recipe, tmp_path / "work", best_by=best_by).fit(spoil(parts, tmp_path), NOTHING)
    assert not (tmp_path / "work" / "samples" / "latest").exists()


def test_an_answer_that_was_mended_as_told_is_taken(
    recipe: Recipe, parts: SampleSplit, tmp_path: Path
) -> None:
    fit = _fit(recipe, tmp_path / "work", epochs=1)
    with pytest.raises(InvalidInputError, match="shorten it"):
        fit.fit(_with_long_answer(parts, tmp_path), NOTHING)
    assert "f1" in fit.fit(parts, NOTHING)


def test_no_batch_is_made_ahead_of_a_run_that_failed(
    recipe: Recipe, parts: SampleSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: nn.Module, batches: Callable[[int], object], *__: object, **___: object) -> None:
        batches(0)
        raise OutputError("the disk is full")

    # As far as the run a GPU need only be said to be there.
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("training.samples.fit.check_memory", lambda *_: None)
    monkeypatch.setattr("training.samples.fit.run_stage", full_disk)
    with pytest.raises(OutputError):
        _fit(recipe, tmp_path).fit(parts, NOTHING)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_too_little_memory_is_told_before_anything_is_built(
    recipe: Recipe, parts: SampleSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.run.preflight.free_memory", lambda _: 10**6)
    with pytest.raises(InvalidInputError, match=r"training quick takes about .* lower samples\.micro_batch"):
        _fit(recipe, tmp_path).fit(parts, NOTHING)
