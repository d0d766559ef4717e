"""Two arms from one start, in a working folder that adopted a checkpoint."""

from pathlib import Path

import pytest

from training import recipes
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
