"""Whole scenes: two GeoTIFFs of any size and a question give rasters, polygons and a report."""

from gateway.scenes.pair import ScenePair
from gateway.scenes.run import run_scene
from gateway.scenes.settings import (
    FailedTile,
    Reasoning,
    SceneProgress,
    SceneResult,
    SceneSettings,
)

__all__ = [
    "FailedTile",
    "Reasoning",
    "ScenePair",
    "SceneProgress",
    "SceneResult",
    "SceneSettings",
    "run_scene",
]
