"""The workshop's stages in a working folder: what they refuse, and the table that they settle."""

from pathlib import Path

import pytest
import torch

from reasoncd.errors import InvalidInputError
from training import recipes
from training.data.batches import BatchSource, PairBatch
from training.prompt_table import kept_table
from training.run.loop import WEIGHTS_FILE
from training.stages.vision import VisionStage
from training.workshop.adoption import adopt
from training.workshop.workshop import Workshop

pytestmark = pytest.mark.contract


def test_a_run_that_never_settles_its_table_is_refused(tmp_path: Path) -> None:
    short = recipes.paper_tiny().with_run("vision", steps=3, learning_rate=None)
    with pytest.raises(InvalidInputError, match="settle_table is 3, but the weights of step 3"):
        Workshop(short, tmp_path, say=lambda line: None).vision()
    assert not (tmp_path / "vision").exists()


def test_an_adopted_table_is_settled_however_short_the_run(paper_tiny: Path, tmp_path: Path) -> None:
    short = recipes.paper_tiny().with_run("vision", steps=2, learning_rate=None)
    adopt(paper_tiny, tmp_path, short)
    Workshop(short, tmp_path, say=lambda line: None).vision()
    assert (tmp_path / "vision" / WEIGHTS_FILE).exists()


class _NotedStages(Workshop):
    """Remembers the vision stage that it trains."""

    stage: VisionStage

    def vision_stage(self) -> VisionStage:
        self.stage = super().vision_stage()
        return self.stage


class _KilledError(Exception):
    """Stands for the end of the process."""


def test_the_table_that_is_kept_is_the_one_that_the_rest_learns_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a run was killed between settling and a save, and goes on at another pace."""
    recipe = recipes.paper_tiny()
    workshop = _NotedStages(recipe, tmp_path, say=lambda line: None)
    workshop.sam()
    batch = BatchSource.batch

    def dying(source: BatchSource, step: int) -> PairBatch:
        if step == 4:
            raise _KilledError
        return batch(source, step)

    with monkeypatch.context() as patch:
        patch.setattr(BatchSource, "batch", dying)
        with pytest.raises(_KilledError):
            workshop.vision()
    table = kept_table(tmp_path)
    assert torch.equal(workshop.stage.table.prompts(), table)
    workshop.recipe = recipe.with_run("vision", steps=6, learning_rate=1e-2)
    workshop.vision()
    assert torch.equal(kept_table(tmp_path), table)
    assert torch.equal(workshop.stage.table.prompts(), table)
