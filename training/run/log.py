"""What a run leaves to look at: CSV files, TensorBoard events, and pictures of the curves.

Only the first process writes. A run that goes on from a save forgets the rows that came after it. Rows count
updates of the weights: those stay what they are where a run goes on with another number of steps for each.
"""

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.run.curves import draw_curves

LOG_FILE = "log.csv"
VALIDATION_FILE = "validation.csv"
CURVES_FILE = "curves.png"
EVENTS_FOLDER = "tensorboard"

_DRAW_SECONDS = 120.0
"""Least time between two drawings while a run goes on."""

Row = Mapping[str, float]


class RunLog:
    """The log of one stage.

    Args:
        folder: the stage's folder.
        update: where the run goes on.
    """

    def __init__(self, folder: Path, update: int) -> None:
        self._folder = folder
        self._training = CsvLog(folder / LOG_FILE, update)
        self._validation = CsvLog(folder / VALIDATION_FILE, update)
        self._events = _event_writer(folder / EVENTS_FOLDER, update)
        self._drawn = time.monotonic()

    def training(self, update: int, figures: Row) -> None:
        """Mean losses up to an update, and the learning rate."""
        self._training.add(update, figures)
        self._show("train", update, figures)

    def validation(self, update: int, figures: Row) -> None:
        """Figures of a validation."""
        self._validation.add(update, figures)
        self._show("validation", update, figures)

    def draw(self, *, now: bool = False) -> None:
        """Draw the curves if it is time to, or now."""
        if now or time.monotonic() - self._drawn > _DRAW_SECONDS:
            draw_curves(self._folder / CURVES_FILE, self._training.rows, self._validation.rows)
            self._drawn = time.monotonic()

    def close(self) -> None:
        """Let go of the files."""
        self._events.close()

    def _show(self, kind: str, update: int, figures: Row) -> None:
        for name, value in figures.items():
            self._events.add_scalar(f"{kind}/{name}", value, update)
        self._events.flush()


class CsvLog:
    """A table of one row an update, on disk after every row.

    Args:
        path: the file; rows of an earlier part of the run are read from it.
        update: the last whose row is kept.
    """

    def __init__(self, path: Path, update: int) -> None:
        self._path = path
        self.rows: list[dict[str, float]] = []
        """All rows, with `update`."""
        if path.exists():
            found = _read(path)
            self.rows = [row for row in found if row["update"] <= update]
            self._rewrite()

    def add(self, update: int, figures: Row) -> None:
        """Append a row; a figure that no row had yet becomes a column."""
        columns = self._columns()
        self.rows.append({"update": float(update), **figures})
        if self._columns() != columns or not self._path.exists():
            self._rewrite()
            return
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(_cells(self.rows[-1], columns))

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def _rewrite(self) -> None:
        part = self._path.with_suffix(".part")
        columns = self._columns()
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if columns:
                writer.writerow(columns)
            writer.writerows(_cells(row, columns) for row in self.rows)
        part.replace(self._path)


def _cells(row: Row, columns: list[str]) -> list[str]:
    return [
        "" if name not in row else str(int(row[name])) if name == "update" else f"{row[name]:.6g}"
        for name in columns
    ]


def _read(path: Path) -> list[dict[str, float]]:
    """The rows of a log; one that a kill cut short ends it."""
    rows: list[dict[str, float]] = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                rows.append({name: float(cell) for name, cell in row.items() if cell != ""})
            except (TypeError, ValueError):
                break
    return [row for row in rows if "update" in row]


def _event_writer(folder: Path, update: int) -> Any:
    # It takes a second to import, which only runs are to wait for.
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=update + 1 if update else None)
