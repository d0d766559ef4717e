"""The files that a run leaves to look at."""

import time
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.run.curves import draw_curves
from training.run.log import CsvLog, RunLog

pytestmark = pytest.mark.unit


def test_rows_after_the_save_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = CsvLog(path, 0)
    for update in (5, 10, 15):
        log.add(update, {"loss": update / 10})
    again = CsvLog(path, 10)
    again.add(15, {"loss": 9.0})
    assert path.read_text().splitlines() == ["update,loss", "5,0.5", "10,1", "15,9"]


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("update,loss,text\n5,0.5,1.0\n10,0.4\n")
    assert CsvLog(path, 10).rows == [{"update": 5.0, "loss": 0.5, "text": 1.0}]
    assert path.read_text() == "update,loss,text\n5,0.5,1\n"


def test_a_new_figure_becomes_a_column(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("update,loss\n5,0.5\n")
    CsvLog(path, 5).add(10, {"loss": 0.4, "learning_rate": 5e-05})
    assert path.read_text().splitlines() == ["update,loss,learning_rate", "5,0.5,", "10,0.4,5e-05"]


def test_tensorboard_sees_what_counts(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    for update, loss in ((5, 3.0), (10, 2.0), (15, 1.0)):
        log.training(update, {"loss": loss})
    log.close()
    # TensorBoard reads files in the order of their names, which start with the second.
    time.sleep(1.01)
    resumed = RunLog(tmp_path, 10)
    resumed.training(15, {"loss": 0.5})
    resumed.validation(15, {"f1": 0.25})
    resumed.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(5, 3.0), (10, 2.0), (15, 0.5)]
    assert [(e.step, e.value) for e in events.Scalars("validation/f1")] == [(15, 0.25)]


def test_curves_are_drawn_now_and_then_and_on_demand(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    log.training(5, {"loss": 3.0})
    log.draw()
    assert not (tmp_path / "curves.png").exists()
    log.draw(now=True)
    log.close()
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"


def test_a_picture_of_losses_and_one_of_shares(tmp_path: Path) -> None:
    training = [{"update": s, "loss": 1 / s, "learning_rate": 1e-3} for s in (1.0, 2.0, 3.0)]
    validation = [{"update": s, "loss": 2 / s, "f1": s / 10, "count": 40.0} for s in (2.0, 3.0)]
    draw_curves(tmp_path / "nothing.png", [], [])
    draw_curves(tmp_path / "losses.png", training, [])
    draw_curves(tmp_path / "both.png", training, validation)
    assert not (tmp_path / "nothing.png").exists()
    with Image.open(tmp_path / "losses.png") as one, Image.open(tmp_path / "both.png") as two:
        assert two.height > 1.5 * one.height
    assert not list(tmp_path.glob("*.part"))
