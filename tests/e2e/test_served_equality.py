"""Through real processes an answer has the bytes that it has in one process.

Over gRPC and over HTTP, at once and as a stream. One request at a time, so nothing is batched with others.
"""

import base64
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gateway.detection import Event
from gateway.embedded import build_pipeline
from gateway.pipeline import Pipeline
from reasoncd.client import Detected, ReasonCDClient, Text
from reasoncd.client.images import image_bytes
from reasoncd.ports import Mode
from tests.served_system import MINI, System, drawn, served

# One worker for all tests with such a system: two at once would only fight for the cores.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("served")]

PAIRS = {
    "smaller than a tile": drawn(128),
    "not square": drawn(200, seed=5)[:, :150],
    "one tile": drawn(256),
    "four tiles": drawn(300, seed=6),
}
SHORT = [
    "new buildings",
    "Where did people get more living space?",
    "lost vegetation",
    "Where did a lake or pond dry up?",
    "new roads",
    "Which fields were given up?",
    "who painted the Mona Lisa?",
]
EXPLAINED = ["Where did people get more living space?", "new roads"]
Case = tuple[str, str, Mode]
CASES: list[Case] = [
    (pair, query, mode)
    for pair in PAIRS
    for mode, queries in ((Mode.SHORT, SHORT), (Mode.EXPLAINED, EXPLAINED))
    for query in queries
]


Ask = Callable[..., "Answer"]


@dataclass(kw_only=True, slots=True)
class Answer:
    """What has to be the same on every way."""

    change_map: NDArray[np.bool_]
    answer: str
    model_answer: str
    presence: float
    texts: list[str] = field(default_factory=list)
    """As they were streamed."""

    def facts(self) -> tuple[object, ...]:
        """To be compared: the map as its bytes, and all words."""
        found = self.change_map
        return found.shape, found.tobytes(), self.answer, self.model_answer, self.presence


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with served(MINI, replicas=1) as running:
        yield running


@pytest.fixture(scope="module")
def here() -> Iterator[Pipeline]:
    threads = torch.get_num_threads()
    yield build_pipeline(MINI, threads=1)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def expected(here: Pipeline) -> dict[Case, Answer]:
    return {case: in_process(here, *case) for case in CASES}


@pytest.fixture(scope="module")
def client(system: System) -> Iterator[ReasonCDClient]:
    with ReasonCDClient(system.gateway.grpc) as connected:
        yield connected


@pytest.fixture(scope="module")
def web(system: System) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=system.gateway.http, timeout=120) as connected:
        yield connected


def in_process(pipeline: Pipeline, pair: str, query: str, mode: Mode) -> Answer:
    texts: list[str] = []

    def note(event: Event) -> None:
        if event.text:
            texts.append(event.text)

    (found,) = pipeline.detect(PAIRS[pair], [query], mode=mode, on_event=note)
    return Answer(
        change_map=found.change_map,
        answer=found.answer,
        model_answer=found.model_answer,
        presence=found.presence,
        texts=texts,
    )


def by_grpc(client: ReasonCDClient, pair: str, query: str, mode: Mode) -> Answer:
    (found,) = client.detect(PAIRS[pair][0], PAIRS[pair][1], query, mode=mode)
    return Answer(
        change_map=found.change_map,
        answer=found.answer,
        model_answer=found.model_answer,
        presence=found.presence,
    )


def by_grpc_stream(client: ReasonCDClient, pair: str, query: str, mode: Mode) -> Answer:
    events = list(client.detect_stream(PAIRS[pair][0], PAIRS[pair][1], query, mode=mode))
    (found,) = [event.detection for event in events if isinstance(event, Detected)]
    return Answer(
        change_map=found.change_map,
        answer=found.answer,
        model_answer=found.model_answer,
        presence=found.presence,
        texts=[event.text for event in events if isinstance(event, Text)],
    )


def form(pair: str, query: str, mode: Mode) -> dict[str, object]:
    t1, t2 = (image_bytes(image, name="image") for image in PAIRS[pair])
    return {"files": {"t1": t1, "t2": t2}, "data": {"query": query, "mode": mode.value}}


def from_json(told: dict[str, object]) -> Answer:
    png = base64.b64decode(str(told["change_map_png"]))
    with Image.open(io.BytesIO(png)) as image:
        change_map = np.asarray(image) > 0
    return Answer(
        change_map=change_map,
        answer=str(told["answer"]),
        model_answer=str(told["model_answer"]),
        presence=float(str(told["presence"])),
    )


def by_http(web: httpx.Client, pair: str, query: str, mode: Mode) -> Answer:
    response = web.post("/v1/detect", **form(pair, query, mode))  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    (told,) = response.json()["detections"]
    return from_json(told)


def by_http_stream(web: httpx.Client, pair: str, query: str, mode: Mode) -> Answer:
    events: list[tuple[str, dict[str, object]]] = []
    with web.stream("POST", "/v1/detect/stream", **form(pair, query, mode)) as response:  # type: ignore[arg-type]
        assert response.status_code == 200
        name = ""
        for line in response.iter_lines():
            kind, _, value = line.partition(": ")
            if kind == "event":
                name = value
            elif kind == "data":
                events.append((name, json.loads(value)))
    assert events[-1][0] == "done"
    (told,) = [value["detection"] for name, value in events if name == "mask"]
    assert isinstance(told, dict)
    answer = from_json(told)
    answer.texts = [str(value["text"]) for name, value in events if name == "text"]
    return answer


def test_there_is_enough_to_compare(expected: dict[Case, Answer]) -> None:
    assert len(CASES) >= 30
    # Empty maps alone would prove little.
    assert sum(bool(answer.change_map.any()) for answer in expected.values()) >= 10
    assert len({answer.answer for answer in expected.values()}) >= 10


@pytest.mark.parametrize("ask", [by_grpc, by_grpc_stream])
def test_over_grpc(client: ReasonCDClient, expected: dict[Case, Answer], ask: Ask) -> None:
    hold_against(expected, lambda case: ask(client, *case), streamed=ask is by_grpc_stream)


@pytest.mark.parametrize("ask", [by_http, by_http_stream])
def test_over_http(web: httpx.Client, expected: dict[Case, Answer], ask: Ask) -> None:
    hold_against(expected, lambda case: ask(web, *case), streamed=ask is by_http_stream)


def hold_against(expected: dict[Case, Answer], ask: Callable[[Case], Answer], *, streamed: bool) -> None:
    """Every case is answered as in one process, and streamed in the same pieces."""
    for case in CASES:
        answer = ask(case)
        assert answer.facts() == expected[case].facts(), case
        if streamed:
            assert answer.texts == expected[case].texts, case
