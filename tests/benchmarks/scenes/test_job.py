"""The series of runs, and what stands in its way."""

import pytest

from benchmarks.scenes.job import ScenesConfig, turns
from reasoncd.errors import InvalidInputError

pytestmark = pytest.mark.unit


def test_neither_a_way_nor_a_size_always_comes_first() -> None:
    series = turns(ScenesConfig(sides=(1024, 2048, 4096), repeats=3))
    assert series == [
        (1024, "once"), (1024, "tile"), (2048, "once"), (4096, "once"),
        (1024, "tile"), (1024, "once"), (1024, "once"), (1024, "tile"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        {"sides": ()},
        {"sides": (2048, 1024)},
        {"sides": (512,)},
        {"pieces": 0},
        {"repeats": 0},
        {"grid_side": 512},
    ],
)
def test_nothing_runs_with_unusable_values(values: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        ScenesConfig(**values)  # type: ignore[arg-type]
