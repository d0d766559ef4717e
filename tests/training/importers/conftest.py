"""What several importers' tests need: a pickle that would act when it is read."""

import os
from pathlib import Path

import pytest


class _Acts:
    """Unpickled carelessly, makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def acting(tmp_path: Path) -> tuple[object, Path]:
    """An object for `torch.save`, and the place that appears if a reader runs it."""
    mark = tmp_path / "it-ran"
    return _Acts(mark), mark
