"""A working folder whose first stages are finished, and a few queries."""

from pathlib import Path

import pytest

from training import recipes
from training.ablations.arms import ABLATIONS
from training.ablations.names import AblationName
from training.ablations.plan import Plan
from training.recipes import Recipe
from training.workshop.adoption import adopt
from training.workshop.workshop import Workshop

QUERIES = """queries:
  - {level: D1, target: building.gain, q: "new homes"}
  - {level: D2, target: vegetation.loss, accept: [bare_ground.gain], q: "where was the hay made"}
  - {level: DN3, target: off_topic, q: "who is the mayor"}
"""


@pytest.fixture(scope="session")
def adopted(paper_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `reasoncd-train adopt` makes of a checkpoint; arms of different ablations share it."""
    folder = tmp_path_factory.mktemp("ablations")
    adopt(paper_tiny, folder, recipes.paper_tiny())
    (folder / "queries.yaml").write_text(QUERIES)
    return folder


@pytest.fixture
def plan_of(adopted: Path) -> "PlanOf":
    """Two steps of any ablation, measured on a few pairs and queries."""
    return PlanOf(adopted)


class PlanOf:
    """Makes plans in one working folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []

    def __call__(self, name: AblationName, recipe: Recipe | None = None, *, steps: int = 2) -> Plan:
        """A plan whose lines are kept in `said`."""
        workshop = Workshop(recipe or recipes.paper_tiny(), self.folder, self.said.append)
        queries = self.folder / "queries.yaml"
        return Plan(ablation=ABLATIONS[name], workshop=workshop, steps=steps, pairs=2, queries=queries)
