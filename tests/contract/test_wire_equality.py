"""Over the wire, through the real servicers, an answer has the bytes that it has in one process.

Each application is a bare gRPC server of its own. One request at a time, so nothing is batched with others.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.detection import Detection
from gateway.embedded import build_pipeline
from gateway.pipeline import Pipeline
from gateway.remote import Application, RemoteConfig, RemoteModel, connect
from reasoncd.errors import InvalidInputError
from reasoncd.ports import Mode
from tests.real_services import served

pytestmark = pytest.mark.contract

Images = NDArray[np.uint8]
QUERIES = [
    "new buildings",
    "Where did people get more living space?",
    "trees",
    "lost roads",
    "who won the match?",
]


@pytest.fixture(scope="module")
def targets(marking_checkpoint: Path) -> Iterator[dict[Application, str]]:
    with served(marking_checkpoint) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def here(marking_checkpoint: Path) -> Pipeline:
    return build_pipeline(marking_checkpoint)


@pytest.fixture(scope="module")
def there(targets: dict[Application, str]) -> Iterator[RemoteModel]:
    with connect(RemoteConfig(targets=targets)) as model:
        yield model


@pytest.fixture(scope="module")
def pairs(place: Images) -> list[Images]:
    """One tile, less than a tile the other way round, and two tiles."""
    return [place, place[::-1, :90, 30:], np.pad(place, ((0, 0), (0, 60), (0, 0), (0, 0)), mode="reflect")]


def facts(found: Detection) -> tuple[object, ...]:
    """All that a detection says but the seconds it took, arrays as their bytes."""
    plain = (getattr(found, name) for name in Detection.__slots__ if name != "timings_s")
    return tuple(value.tobytes() if isinstance(value, np.ndarray) else value for value in plain)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("pair", range(3))
def test_the_same_bytes(
    there: RemoteModel, here: Pipeline, pairs: list[Images], pair: int, query: str
) -> None:
    (expected,) = here.detect(pairs[pair], [query])
    for _ in range(2):
        (found,) = there.detect(pairs[pair], [query])
        assert facts(found) == facts(expected)


@pytest.mark.parametrize("mode", list(Mode))
def test_the_same_events_and_bytes_where_it_is_streamed(
    there: RemoteModel, here: Pipeline, pairs: list[Images], mode: Mode
) -> None:
    def streamed(model: Pipeline | RemoteModel) -> list[object]:
        told: list[object] = []

        def on_detection(number: int, found: Detection) -> None:
            told.append((number, facts(found)))

        queries = QUERIES[::2]
        model.detect(pairs[2], queries, mode=mode, on_event=told.append, on_detection=on_detection)
        return told

    assert streamed(there) == streamed(here)


def test_what_a_service_refuses_is_refused_in_its_words(there: RemoteModel, place: Images) -> None:
    with pytest.raises(InvalidInputError, match=r"query takes \d+ tokens; shorten it"):
        there.detect(place, ["\U0001f3e0" * 400])
    (found,) = there.detect(place, QUERIES[:1])
    assert found.seg_emitted
