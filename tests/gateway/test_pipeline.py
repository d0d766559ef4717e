"""Questions through small engines that compute: maps, presence, words and caching."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.pipeline import Detection, Event, Pipeline
from gateway.wording import NOTHING_SEEN
from reasoncd.errors import CheckpointError, InvalidInputError, ReasonCDError
from reasoncd.ontology import REFUSAL
from reasoncd.ports import DecodedMasks, Mode, ReasonText
from reasoncd.tensors import Tensor

pytestmark = pytest.mark.unit

MakeScene = Callable[..., NDArray[np.uint8]]

NEW, LOST, OFF_TOPIC = "new buildings", "lost buildings", "how is the weather?"


def agrees(detection: Detection) -> bool:
    """Whether words, figures and map say the same."""
    empty = not detection.change_map.any()
    says_empty = NOTHING_SEEN in detection.answer or detection.answer == REFUSAL
    return (
        says_empty == empty
        and ("of the area" in detection.answer) != empty
        and (detection.confidence is None) == empty
        and (detection.changed_fraction == 0) == empty
        and (detection.places.count == 0) == empty
    )


def test_a_new_box_is_found_where_it_stands(pipeline: Pipeline, make_scene: MakeScene) -> None:
    images = make_scene(64, 64, (16, 24, 16, 20))
    (found,) = pipeline.detect(images, [NEW])
    expected = np.zeros((64, 64), bool)
    expected[16:32, 24:44] = True
    np.testing.assert_array_equal(found.change_map, expected)
    assert found.answer == "New buildings: 1 place, 7.8 % of the area."
    assert found.presence == pytest.approx(0.9 * 0.95)
    assert found.confidence == pytest.approx(0.999, abs=0.001)
    assert found.seg_emitted
    assert set(found.timings_s) == {"encode", "reason", "decode", "outline"}
    assert set(found.fingerprints) == {"vision_encoder", "reasoner", "mask_decoder"}


def test_the_direction_of_time_and_of_the_question_matter(pipeline: Pipeline, make_scene: MakeScene) -> None:
    images = make_scene(64, 64, (16, 24, 16, 20))
    new, lost = pipeline.detect(images, [NEW, LOST])
    assert new.change_map.any()
    assert not lost.change_map.any()
    assert lost.answer == "Lost buildings: no such change is seen."
    (turned,) = pipeline.detect(images[::-1], [LOST])
    np.testing.assert_array_equal(turned.change_map, new.change_map)


@pytest.mark.parametrize("size", [(16, 16), (16, 700), (63, 65), (64, 64), (100, 130), (333, 190)])
def test_sizes_that_are_no_multiples_of_the_tile(
    pipeline: Pipeline, make_scene: MakeScene, size: tuple[int, int]
) -> None:
    top, left = (size[0] - 12) // 8 * 4, (size[1] - 12) // 8 * 4
    images = make_scene(*size, (top, left, 12, 12))
    (found,) = pipeline.detect(images, [NEW])
    assert found.change_map.shape == size
    assert found.probability.shape == size
    truth = np.zeros(size, bool)
    truth[top : top + 12, left : left + 12] = True
    # Tiles do not start on the stride's grid, so borders may be off by a stride.
    overlap = (found.change_map & truth).sum() / (found.change_map | truth).sum()
    assert overlap > 0.55
    assert agrees(found)


def test_one_tile_is_bit_for_bit_what_the_decoder_said(
    pipeline: Pipeline, encoder: Any, reasoner: Any, decoder: Any, make_scene: MakeScene
) -> None:
    images = make_scene(64, 64, (16, 24, 16, 20))
    (found,) = pipeline.detect(images, [NEW])
    (_, done) = list(reasoner.reason(encoder.encode_for_reasoning(images), NEW, Mode.SHORT))
    row = replace(done.seg_embedding, shape=(1, 2))
    logits = decoder.decode(encoder.encode_for_decoding(images), row).logits[0]
    assert found.probability.tobytes() == (1 / (1 + np.exp(-logits))).tobytes()


def test_seams_leave_no_trace_where_tiles_agree(pipeline: Pipeline, make_scene: MakeScene) -> None:
    images = make_scene(64, 300)
    images[1] = 200
    (found,) = pipeline.detect(images, [NEW])
    assert found.change_map.all()
    assert np.ptp(found.probability) < 0.01
    assert found.answer == "New buildings: 1 place, 100 % of the area."


def test_a_tile_below_the_presence_threshold_is_empty(
    encoder: Any, reasoner: Any, decoder: Any, make_scene: MakeScene
) -> None:
    images = make_scene(64, 200, (0, 0, 32, 32), (0, 168, 32, 32))
    whole = Pipeline(encoder, reasoner, decoder).detect(images, [NEW])[0]
    assert whole.places.count == 2

    see = decoder.decode

    def half_blind(fused: Tensor, seg_embeddings: Tensor) -> DecodedMasks:
        """Sees no presence where the tile's left half is unchanged."""
        decoded: DecodedMasks = see(fused, seg_embeddings)
        left = decoded.logits[:, :, :32].max(axis=(1, 2)) > 0
        return replace(decoded, presence=np.where(left, 0.95, 0.1).astype(np.float32))

    decoder.decode = half_blind
    found = Pipeline(encoder, reasoner, decoder).detect(images, [NEW])[0]
    assert found.change_map[:, :32].any()
    assert not found.change_map[:, 100:].any()
    assert found.presence == pytest.approx(0.9 * 0.95)
    assert agrees(found)


def test_a_doubtful_seg_lowers_presence_until_the_map_is_empty(
    pipeline: Pipeline, reasoner: Any, make_scene: MakeScene
) -> None:
    images = make_scene(64, 64, (16, 24, 16, 20))
    reasoner.seg_probability = 0.4
    (found,) = pipeline.detect(images, [NEW])
    assert found.presence == pytest.approx(0.4 * 0.95)
    assert found.seg_emitted
    assert not found.change_map.any()
    assert found.answer == "New buildings: no such change is seen."
    assert found.confidence is None


def test_a_refusal_gives_an_empty_map_and_needs_no_decoding(
    pipeline: Pipeline, encoder: Any, make_scene: MakeScene
) -> None:
    images = make_scene(64, 64, (16, 24, 16, 20))
    (found,) = pipeline.detect(images, [OFF_TOPIC])
    assert found.answer == REFUSAL
    assert (found.presence, found.confidence, found.seg_emitted) == (0, None, False)
    assert not found.change_map.any()
    assert found.probability.max() == 0
    assert encoder.calls == ["overview"]


@pytest.mark.parametrize("threshold", [0.001, 0.05, 0.3, 0.5, 0.95, 0.999, None])
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("boxes", [[], [(4, 4, 8, 8)], [(0, 0, 64, 150)]])
def test_words_never_contradict_the_map(
    pipeline: Pipeline,
    make_scene: MakeScene,
    threshold: float | None,
    mode: Any,
    boxes: list[tuple[int, int, int, int]],
) -> None:
    images = make_scene(64, 150, *boxes)
    for found in pipeline.detect(images, [NEW, LOST, OFF_TOPIC], threshold=threshold, mode=mode):
        assert agrees(found), found.answer
        assert ("Roofs" in found.answer) <= bool(found.change_map.any())


def test_an_absent_change_stays_empty_at_the_lowest_threshold(
    pipeline: Pipeline, make_scene: MakeScene
) -> None:
    (found,) = pipeline.detect(make_scene(64, 150), [NEW], threshold=0.001)
    assert not found.change_map.any()


def test_an_explained_answer_keeps_its_reason_with_the_change(
    pipeline: Pipeline, make_scene: MakeScene
) -> None:
    (found,) = pipeline.detect(make_scene(64, 64, (16, 24, 16, 20)), [NEW], mode=Mode.EXPLAINED)
    assert found.answer == "Roofs stand on what were fields. New buildings: 1 place, 7.8 % of the area."
    assert found.model_answer == "Roofs stand on what were fields. New buildings: "


def test_several_questions_answer_as_each_alone(
    pipeline: Pipeline, encoder: Any, reasoner: Any, decoder: Any, make_scene: MakeScene
) -> None:
    images = make_scene(100, 130, (4, 4, 20, 20), (60, 80, 20, 20))
    together = pipeline.detect(images, [OFF_TOPIC, NEW, LOST])
    for found in together:
        (alone,) = Pipeline(encoder, reasoner, decoder).detect(images, [found.query])
        assert alone.answer == found.answer
        assert alone.probability.tobytes() == found.probability.tobytes()
        assert (alone.presence, alone.confidence) == (found.presence, found.confidence)


def test_features_are_made_once_per_pair(pipeline: Pipeline, encoder: Any, make_scene: MakeScene) -> None:
    images = make_scene(64, 100, (16, 24, 16, 20))
    first = pipeline.detect(images, [NEW, LOST])[0]
    assert encoder.calls == ["overview", "tile", "tile"]
    again = pipeline.detect(images.copy(), [NEW])[0]
    assert encoder.calls == ["overview", "tile", "tile"]
    assert again.probability.tobytes() == first.probability.tobytes()
    pipeline.detect(images[::-1], [NEW])
    assert len(encoder.calls) == 6


def test_a_cache_too_small_changes_no_answer(
    encoder: Any, reasoner: Any, decoder: Any, make_scene: MakeScene
) -> None:
    images = make_scene(100, 130, (4, 4, 20, 20))
    kept = Pipeline(encoder, reasoner, decoder).detect(images, [NEW])[0]
    unkept = Pipeline(encoder, reasoner, decoder, cache_bytes=0)
    for _ in range(2):
        assert unkept.detect(images, [NEW])[0].probability.tobytes() == kept.probability.tobytes()


def test_events_tell_every_stage_and_the_text(pipeline: Pipeline, make_scene: MakeScene) -> None:
    events: list[Event] = []
    pipeline.detect(make_scene(64, 100), [NEW, OFF_TOPIC], on_event=events.append)
    assert "".join(e.text for e in events if e.query == 0) == "New buildings: "
    assert "".join(e.text for e in events if e.query == 1) == REFUSAL
    for stage, total in (("encode", 1), ("reason", 2), ("decode", 2)):
        done = [e.done for e in events if e.stage == stage]
        assert done == sorted(done)
        assert done[-1] == total


@pytest.mark.parametrize(
    ("images", "queries", "threshold", "match"),
    [
        (np.zeros((2, 15, 64, 3), np.uint8), [NEW], None, "64 x 15 pixels"),
        (np.zeros((2, 64, 4097, 3), np.uint8), [NEW], None, "4097 x 64 pixels"),
        (np.zeros((3, 64, 64, 3), np.uint8), [NEW], None, "shape"),
        (np.zeros((2, 64, 64, 3), np.float32), [NEW], None, "float32"),
        (np.zeros((2, 64, 64, 3), np.uint8), [], None, "0 questions"),
        (np.zeros((2, 64, 64, 3), np.uint8), [NEW] * 33, None, "33 questions"),
        (np.zeros((2, 64, 64, 3), np.uint8), [NEW, "  "], None, "query is empty"),
        (np.zeros((2, 64, 64, 3), np.uint8), ["x" * 10_000], None, "query has 10000 characters"),
        (np.zeros((2, 64, 64, 3), np.uint8), [NEW], 0.0, "threshold is 0.0"),
        (np.zeros((2, 64, 64, 3), np.uint8), [NEW], float("nan"), "threshold is nan"),
        (np.zeros((2, 4096, 4096, 3), np.uint8), [NEW] * 9, None, "ask 8 or fewer"),
    ],
)
def test_unusable_requests_are_refused_before_any_work(
    pipeline: Pipeline, encoder: Any, images: Any, queries: list[str], threshold: float | None, match: str
) -> None:
    with pytest.raises(InvalidInputError, match=match):
        pipeline.detect(images, queries, threshold=threshold)
    assert encoder.calls == []


@pytest.mark.parametrize(
    ("part", "change", "match"),
    [
        (
            "reasoner",
            {"seg_space": "other"},
            "reasoner 726561736f6e has seg_space other but mask_decoder .* has space",
        ),
        ("reasoner", {"seg_space": None}, "seg_space None"),
        ("encoder", {"image_size": 128}, "vision_encoder .* image_size 128 but mask_decoder .* has 64"),
        ("encoder", {"image_size": None}, "image_size None"),
        ("encoder", {"component": "reasoner"}, "reasoner stands where vision_encoder belongs"),
        ("decoder", {"presence_threshold": None}, "states no thresholds"),
    ],
)
def test_services_that_do_not_fit_are_refused(
    request: pytest.FixtureRequest,
    encoder: Any,
    reasoner: Any,
    decoder: Any,
    part: str,
    change: dict[str, Any],
    match: str,
) -> None:
    engine = request.getfixturevalue(part)
    engine.description = replace(engine.description, **change)
    with pytest.raises(CheckpointError, match=match):
        Pipeline(encoder, reasoner, decoder)


def test_a_reasoner_that_stops_early_is_a_fault_of_ours(
    encoder: Any, reasoner: Any, decoder: Any, make_scene: MakeScene
) -> None:
    reasoner.reason = lambda *_: iter([ReasonText(text="New")])
    with pytest.raises(ReasonCDError, match="stopped before the end"):
        Pipeline(encoder, reasoner, decoder).detect(make_scene(64, 64), [NEW])


@pytest.mark.parametrize("broken", ["shape", "nan"])
def test_a_decoder_that_answers_nonsense_is_a_fault_of_ours(
    encoder: Any, reasoner: Any, decoder: Any, make_scene: MakeScene, broken: str
) -> None:
    def decode(*_, **__) -> DecodedMasks:
        logits = np.zeros((1, 64, 32 if broken == "shape" else 64), np.float32)
        logits[0, 0, 0] = np.nan
        return DecodedMasks(logits=logits, presence=np.ones(1, np.float32), quality=np.ones(1, np.float32))

    decoder.decode = decode
    with pytest.raises(ReasonCDError, match="mask_decoder answered with"):
        Pipeline(encoder, reasoner, decoder).detect(make_scene(64, 64), [NEW])
