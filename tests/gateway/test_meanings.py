"""A question's meaning brought along, and clicks that correct its map."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.detection import Click, Detection, Event, Meaning
from gateway.pipeline import Pipeline
from reasoncd.errors import InvalidInputError, ReasonCDError
from reasoncd.ports import Mode, ReasonDone
from reasoncd.rpc.meanings import meaning_from_proto, meaning_from_text, meaning_to_proto, meaning_to_text
from reasoncd.tensors import Tensor
from tests.gateway.clicked_decoder import ClickedDecoder
from tests.gateway.conftest import DifferenceEncoder, WordReasoner
from tests.gateway.remote.wire import same

pytestmark = pytest.mark.unit

MakeScene = Callable[..., NDArray[np.uint8]]
NEW, LOST, OFF_TOPIC = "new buildings", "lost buildings", "how is the weather?"


@pytest.fixture
def decoder() -> ClickedDecoder:
    return ClickedDecoder()


def test_a_meaning_gives_the_same_map_without_reasoning(
    pipeline: Pipeline, encoder: DifferenceEncoder, reasoner: WordReasoner, make_scene: MakeScene
) -> None:
    images = make_scene(100, 130, (4, 4, 20, 20))
    expected = pipeline.detect(images, [NEW, OFF_TOPIC, LOST], mode=Mode.EXPLAINED)
    fresh = Pipeline(encoder, reasoner, ClickedDecoder())
    encoder.calls.clear()
    reasoner.reason = None  # type: ignore[method-assign, assignment]
    events: list[Event] = []
    found = fresh.detect(
        images,
        [NEW, OFF_TOPIC, LOST],
        mode=Mode.EXPLAINED,
        meanings=[each.meaning for each in expected],
        on_event=events.append,
    )
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert set(encoder.calls) == {"tile"}
    assert {event.stage for event in events} == {"decode"}
    assert found[0].timings_s.keys() == expected[0].timings_s.keys()


def test_an_answer_names_the_reasoner_that_its_meaning_came_from(
    pipeline: Pipeline, make_scene: MakeScene
) -> None:
    images = make_scene(64, 64, (16, 24, 16, 20))
    (first,) = pipeline.detect(images, [NEW])
    assert first.meaning.fingerprint == first.fingerprints["reasoner"]
    assert first.meaning.seg_space == "space"
    (found,) = pipeline.detect(images, [NEW], meanings=[replace(first.meaning, fingerprint="older")])
    assert found.fingerprints == {**first.fingerprints, "reasoner": "older"}
    # Its probability goes on counting.
    (found,) = pipeline.detect(images, [NEW], meanings=[replace(first.meaning, seg_probability=0.4)])
    assert not found.change_map.any()


def meaning(**fields: Any) -> Meaning:
    given = {
        "answer": "New buildings: ",
        "seg_embedding": np.array([1, 0], np.float32),
        "seg_probability": 0.9,
        "fingerprint": "ab",
        "seg_space": "space",
    }
    return Meaning(**{**given, **fields})


def click(x: float, y: float, changed: bool = True) -> Click:
    return Click(x=x, y=y, changed=changed)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"meanings": [meaning(seg_space="other")]}, "meaning 1 is of the prompt space other but .* has space"),
    ({"meanings": [meaning(), meaning()]}, "2 meanings are given for 1 questions"),
    ({"meanings": []}, "0 meanings are given for 1 questions"),
    ({"clicks": [click(130, 5)]}, r"clicks: \(130, 5\) lies beside the images of 130 x 100 pixels"),
    ({"clicks": [click(5, -0.5)]}, r"clicks: \(5, -0.5\) lies beside"),
    ({"clicks": [click(5, 5)] * 33}, "clicks: 33 are given; give at most 32"),
    (
        {"clicks": [click(5, 5)], "meanings": [meaning(seg_embedding=None, seg_probability=0.0)]},
        "clicks correct a map, but the question has none",
    ),
]


@pytest.mark.parametrize(("given", "match"), REFUSED)
def test_what_cannot_be_used_is_refused_before_any_work(
    pipeline: Pipeline, encoder: DifferenceEncoder, make_scene: MakeScene, given: Any, match: str
) -> None:
    with pytest.raises(InvalidInputError, match=match):
        pipeline.detect(make_scene(100, 130), [NEW], **given)
    assert encoder.calls == []


def test_clicks_are_for_one_question_and_one_with_a_map(pipeline: Pipeline, make_scene: MakeScene) -> None:
    images = make_scene(64, 64)
    with pytest.raises(InvalidInputError, match="clicks correct one map, but 2 questions are given"):
        pipeline.detect(images, [NEW, LOST], clicks=[click(5, 5)])
    with pytest.raises(InvalidInputError, match="the question has none"):
        pipeline.detect(images, [OFF_TOPIC], clicks=[click(5, 5)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"seg_embedding": np.array([np.nan, 0], np.float32)},
        {"seg_embedding": np.zeros((1, 2), np.float32)},
        {"seg_embedding": np.zeros(2)},
        {"seg_probability": 1.5},
        {"seg_probability": float("nan")},
        {"fingerprint": ""},
        {"seg_space": ""},
    ],
)
def test_a_meaning_holds_what_it_says(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="meaning "):
        meaning(**wrong)


def test_a_reasoner_that_gives_nonsense_is_a_fault_of_ours(
    pipeline: Pipeline, reasoner: WordReasoner, make_scene: MakeScene
) -> None:
    nan = Tensor.from_numpy(np.array([np.nan, 0], np.float32))
    done = ReasonDone(answer="New", seg_embedding=nan, seg_probability=0.9, token_count=1)
    reasoner.reason = lambda *_: iter([done])  # type: ignore[method-assign]
    with pytest.raises(ReasonCDError, match="the reasoner gave what cannot be used") as caught:
        pipeline.detect(make_scene(64, 64), [NEW])
    assert not isinstance(caught.value, InvalidInputError)


def test_a_meaning_survives_the_wire_and_the_form() -> None:
    for one in (meaning(), meaning(seg_embedding=None, seg_probability=0.0)):
        assert meaning_from_proto(meaning_to_proto(one)) == one
        text = meaning_to_text(meaning_to_proto(one))
        assert meaning_from_text(text) == one
        assert hash(meaning_from_text(text)) == hash(one)
        for damaged in (text[:-3] + "*", "", "aaaa", text[:9]):
            with pytest.raises(InvalidInputError, match="meaning"):
                meaning_from_text(damaged)
    assert meaning() != meaning(seg_probability=0.8)
    assert meaning() != "meaning"


def tile_map(found: Detection, left: int, right: int) -> bytes:
    return found.probability[:, left:right].tobytes()


def test_clicks_correct_the_tiles_that_they_lie_in_and_no_other(
    pipeline: Pipeline, decoder: ClickedDecoder, make_scene: MakeScene
) -> None:
    images = make_scene(64, 160, (16, 8, 16, 20))
    before = pipeline.detect(images, [NEW])[0]
    found = pipeline.detect(images, [NEW], clicks=[click(20.5, 50.5), click(12.5, 20.5, changed=False)])[0]
    # One tile, two rounds: in the tile's own pixels (0 is the middle of the first), with the clicks so far.
    assert decoder.rounds == [([[20, 50]], [1]), ([[20, 50], [12, 20]], [1, 0])]
    assert found.change_map[46:54, 16:24].all()
    assert not found.change_map[17:24, 8:16].any()
    assert before.change_map[17:24, 8:16].all()
    # The second tile starts at 48.
    assert tile_map(found, 64, 160) == tile_map(before, 64, 160)
    decoder.rounds.clear()
    pipeline.detect(images, [NEW], clicks=[click(60.5, 10.5)])
    assert decoder.rounds == [([[60, 10]], [1]), ([[12, 10]], [1])]
    # Left of the middle of the first pixel there is none.
    decoder.rounds.clear()
    pipeline.detect(images, [NEW], clicks=[click(0.1, 0.7)])
    assert decoder.rounds == [([[0, pytest.approx(0.2)]], [1])]


def test_a_marked_change_is_shown_where_the_model_sees_none(
    pipeline: Pipeline, make_scene: MakeScene
) -> None:
    images = make_scene(64, 160)
    (before,) = pipeline.detect(images, [NEW])
    assert not before.change_map.any()
    (found,) = pipeline.detect(images, [NEW], clicks=[click(130.5, 30.5)])
    assert found.change_map[26:34, 126:134].all()
    assert found.change_map.sum() == 64
    assert found.confidence is not None
    assert found.presence < found.presence_threshold
    assert found.answer.startswith("New buildings: 1 place")
    (found,) = pipeline.detect(images, [NEW], clicks=[click(130.5, 30.5, changed=False)])
    assert not found.change_map.any()
