"""Batches made ahead are the same batches."""

import threading

import pytest

from training.data.look_ahead import LookAhead

pytestmark = pytest.mark.unit


def test_steps_come_in_order_and_jumps_are_followed() -> None:
    made: list[tuple[int, str]] = []

    def batch(step: int) -> int:
        made.append((step, threading.current_thread().name))
        return step * 10

    ahead = LookAhead(batch)
    assert [ahead.batch(step) for step in (0, 1, 2, 7, 8)] == [0, 10, 20, 70, 80]
    ahead.close()
    assert [step for step, _ in made][:6] == [0, 1, 2, 3, 7, 8]
    assert all(name.startswith("batches") for _, name in made)


def test_an_error_is_raised_where_its_batch_is_due() -> None:
    def batch(step: int) -> int:
        if step == 1:
            raise ValueError("step 1 is broken")
        return step

    ahead = LookAhead(batch)
    assert ahead.batch(0) == 0
    with pytest.raises(ValueError, match="step 1 is broken"):
        ahead.batch(1)
    ahead.close()
