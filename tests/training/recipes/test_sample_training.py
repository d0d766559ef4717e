"""Epochs and batches as steps."""

import pytest

from reasoncd.errors import InvalidInputError
from training.recipes import SampleTraining

pytestmark = pytest.mark.unit


def test_epochs_become_steps_of_every_process() -> None:
    training = SampleTraining(epochs=100, batch=16, micro_batch=1, warmup_updates=100)
    # 5,947 samples are 371 whole batches.
    one, four = (training.run(samples=5947, processes=n) for n in (1, 4))
    assert (one.accumulation, four.accumulation) == (16, 4)
    assert (one.steps, four.steps) == (100 * 371 * 16, 100 * 371 * 4)
    assert (one.validate_steps, four.validate_steps) == (371 * 16, 371 * 4)
    assert (one.warmup_steps, four.warmup_steps) == (1600, 400)
    assert one.steps // one.accumulation == four.steps // four.accumulation


def test_few_samples_make_an_epoch_of_one_update() -> None:
    assert SampleTraining(batch=16).updates_per_epoch(3) == 1


def test_a_batch_must_divide_evenly() -> None:
    training = SampleTraining(batch=16, micro_batch=2)
    assert training.accumulation(8) == 1
    for processes in (3, 16):
        with pytest.raises(
            InvalidInputError, match=f"16 cannot be dealt to {processes} processes with 2 at a time"
        ):
            training.accumulation(processes)


@pytest.mark.parametrize("fields", [{"patience": 3, "best_by": None}, {"presence": -1.0}, {"epochs": 0}])
def test_impossible_settings_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        SampleTraining(**fields)  # type: ignore[arg-type]
