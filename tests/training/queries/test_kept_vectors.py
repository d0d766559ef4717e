"""Vectors in the cache: each text is embedded once, and what is kept belongs to the text alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from reasoncd.errors import OutputError
from training.queries import kept_vectors as module
from training.queries.kept_vectors import F32, kept_vectors

pytestmark = pytest.mark.unit


class Lengths:
    """Texts to unit vectors that follow from their lengths; remembers what it was asked."""

    def __init__(self, name: str = "lengths") -> None:
        self.name = name
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> F32:
        self.asked += texts
        angles = np.array([len(text) for text in texts], dtype=np.float32)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REASONCD_CACHE", str(tmp_path))
    return tmp_path / "phrase-vectors"


def test_only_new_texts_are_embedded() -> None:
    first, second = Lengths(), Lengths()
    rows = kept_vectors(first, ["a pond", "new road", "a pond"])
    assert first.asked == ["a pond", "new road"]
    again = kept_vectors(second, ["new road", "sheds", "a pond"])
    assert second.asked == ["sheds"]
    np.testing.assert_array_equal(again, Lengths().embed(["new road", "sheds", "a pond"]))
    np.testing.assert_array_equal(rows[0], again[2])
    assert again.dtype == np.float32


def test_what_is_known_asks_no_model() -> None:
    kept_vectors(Lengths(), ["a pond"])
    embedder = Lengths()
    assert kept_vectors(embedder, ["a pond"]).shape == (1, 2)
    assert embedder.asked == []


def test_another_model_has_vectors_of_its_own() -> None:
    kept_vectors(Lengths(), ["a pond"])
    other = Lengths("another")
    kept_vectors(other, ["a pond"])
    assert other.asked == ["a pond"]


@pytest.mark.parametrize("damaged", [b"", b"no archive", "cut"])
def test_a_damaged_file_is_made_again(cache: Path, damaged: bytes | str) -> None:
    kept_vectors(Lengths(), ["a pond"])
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:100] if isinstance(damaged, str) else damaged)
    embedder = Lengths()
    kept_vectors(embedder, ["a pond"])
    assert embedder.asked == ["a pond"]
    kept_vectors(embedder, ["a pond"])
    assert embedder.asked == ["a pond"]
    assert [path.name for path in cache.iterdir()] == ["lengths.npz"]


def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    kept_vectors(Lengths(), ["one", "three", "eleven"])
    embedder = Lengths()
    kept_vectors(embedder, ["three", "eleven"])
    assert embedder.asked == []
    kept_vectors(embedder, ["one"])
    assert embedder.asked == ["one"]


def test_a_cache_that_cannot_be_written_is_named(cache: Path) -> None:
    cache.write_text("a file in its place")
    with pytest.raises(OutputError, match="REASONCD_CACHE"):
        kept_vectors(Lengths(), ["a pond"])
