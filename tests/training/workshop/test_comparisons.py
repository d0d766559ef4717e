"""Two arms from one start, in a working folder that adopted a checkpoint."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reasoncd.errors import InvalidInputError
from training import recipes
from training.recipes import Recipe
from training.run.config import RunConfig
from training.run.loop import run_stage
from training.stages.vision import VisionStage
from training.workshop import comparisons
from training.workshop.adoption import adopt
from training.workshop.comparisons import compare_frozen_sam
from training.workshop.workshop import Workshop

pytestmark = pytest.mark.contract


def test_both_arms_go_on_from_an_adopted_checkpoint(paper_tiny: Path, tmp_path: Path) -> None:
    """Whose heads that only training has are not in any file."""
    adopt(paper_tiny, tmp_path, recipes.paper_tiny())
    workshop = Workshop(recipes.paper_tiny(), tmp_path, say=lambda line: None)
    figures = compare_frozen_sam(workshop, steps=1, pairs=6)
    assert list(figures) == ["start", "frozen", "trained"]
    assert all(0 <= found["f1"] <= 1 for found in figures.values())
    assert not (tmp_path / "vision" / "latest").exists()


def _with_vision_run(**changes: Any) -> Recipe:
    staged = recipes.paper_tiny().staged
    run = replace(staged.vision.run, **changes)
    return replace(recipes.paper_tiny(), stages=staged.with_run("vision", run))


def test_arms_learn_as_the_stage_does(
    paper_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its precision, and with all of a backbone that is not pretrained; no validation ends them."""
    recipe = _with_vision_run(precision="float32", validate_steps=2, best_by="f1", patience=1)
    adopt(paper_tiny, tmp_path, recipe)
    workshop = Workshop(recipe, tmp_path, say=lambda line: None)
    seen: list[tuple[VisionStage, RunConfig]] = []

    def watched(stage: VisionStage, batches: Any, run: RunConfig, *given: Any, **named: Any) -> Path | None:
        seen.append((stage, run))
        return run_stage(stage, batches, run, *given, **named)

    monkeypatch.setattr(comparisons, "run_stage", watched)
    compare_frozen_sam(workshop, steps=2, pairs=6)
    assert len(seen) == 2
    for stage, run in seen:
        assert stage.precision == run.precision == "float32"
        assert (run.steps, run.best_by, run.patience) == (2, None, None)
        assert stage.encoder.fpn is not None
        assert all(weight.requires_grad for weight in stage.encoder.fpn.backbone.parameters())


def test_steps_that_do_not_fit_are_told(paper_tiny: Path, tmp_path: Path) -> None:
    recipe = _with_vision_run(accumulation=2)
    adopt(paper_tiny, tmp_path, recipe)
    with pytest.raises(InvalidInputError, match="steps and validate_steps must be multiples of accumulation"):
        compare_frozen_sam(Workshop(recipe, tmp_path, say=lambda line: None), steps=1, pairs=6)
