"""Recipes: what each is made of and how long what learns. One YAML file each; users copy and edit them."""

from training.recipes.reading import load_recipe, read_recipe, recipe_names
from training.recipes.recipe import (
    JointTraining,
    ReasonerTraining,
    Recipe,
    StagedTraining,
    VisionTraining,
)
from training.recipes.sample_training import SampleTraining

__all__ = [
    "JointTraining",
    "ReasonerTraining",
    "Recipe",
    "SampleTraining",
    "StagedTraining",
    "VisionTraining",
    "load_recipe",
    "mini",
    "paper_tiny",
    "read_recipe",
    "recipe_names",
]


def mini(*, real_data: bool = True) -> Recipe:
    """The shipped `mini`; without real data every pair is a drawn scene."""
    return load_recipe("mini").with_real_data(real_data)


def paper_tiny() -> Recipe:
    """The paper's code path in seconds, for tests."""
    return load_recipe("paper-tiny")
