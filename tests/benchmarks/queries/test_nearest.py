"""The control by resemblance, with vectors that count words."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.queries.nearest import NearestPhrases
from reasoncd.ontology import TARGET_BY_KEY
from training.queries import Phrase, PhraseBank
from training.queries.kept_vectors import F32

pytestmark = pytest.mark.unit


class WordCounts:
    """Texts to counts of their words, each word in one of 256 places."""

    name = "word-counts"

    def __init__(self) -> None:
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> F32:
        self.calls += 1
        out = np.zeros((len(texts), 256), dtype=np.float32)
        for row, text in zip(out, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % 256] += 1
        return out / np.linalg.norm(out, axis=1, keepdims=True)


def _phrases(*lines: str) -> tuple[Phrase, ...]:
    return tuple(Phrase(query=line, why=None, family="f") for line in lines)


BANK = PhraseBank(
    implicit={
        "building.gain": _phrases("families sleep under a roof", "beds under a fresh roof"),
        "road.loss": _phrases("nobody drives here anymore", "lorries cannot drives here"),
        "tree.gain": _phrases("shade for picnics", "shade and birdsong"),
        "playground.gain": _phrases("children swing"),
    },
    synonyms={},
    off_topic=_phrases("tell me a joke", "what a joke"),
)


@pytest.fixture
def nearest() -> NearestPhrases:
    return NearestPhrases(WordCounts(), BANK, keep=False)


@pytest.mark.parametrize("way", ["vote", "classify"])
def test_a_query_gets_the_target_of_what_it_resembles(nearest: NearestPhrases, way: str) -> None:
    find = getattr(nearest, way)
    assert find("beds under a roof") == TARGET_BY_KEY["building.gain"]
    assert find("nobody drives here") == TARGET_BY_KEY["road.loss"]
    assert find("new water") == TARGET_BY_KEY["water.gain"]
    assert find("a joke") is None


def test_parts_of_a_class_stand_for_the_class_that_is_asked(nearest: NearestPhrases) -> None:
    # Trees are vegetation; playgrounds are no class of the protocol, so nothing is said of them.
    assert nearest.vote("shade for birdsong") == TARGET_BY_KEY["vegetation.gain"]
    found = nearest.vote("children swing")
    assert found is None or found.cls != "playground"


def test_the_bank_is_embedded_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REASONCD_CACHE", str(tmp_path))
    first, second, third = WordCounts(), WordCounts(), WordCounts()
    NearestPhrases(first, BANK)
    again = NearestPhrases(second, BANK)
    assert (first.calls, second.calls) == (1, 0)
    assert again.vote("beds under a roof") == TARGET_BY_KEY["building.gain"]
    # Of another bank only what is new is embedded.
    NearestPhrases(third, PhraseBank(implicit={}, synonyms={}, off_topic=BANK.off_topic))
    assert third.calls == 0
