"""Services that are replaced while requests run, and services that do not fit: never a mixed answer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.pipeline import Detection, Event
from gateway.remote import RemoteModel
from gateway.remote.model import RUNS
from gateway.remote.pins import ASKS
from reasoncd.errors import CheckpointError, ReasonCDError, UnavailableError
from reasoncd.ports import TensorShape
from reasoncd.tensors import Tensor
from tests.gateway.remote.wire import Replica, Wire, edition

pytestmark = pytest.mark.contract

Images = Any
NEW, LOST = "new buildings", "lost buildings"
QUERIES = [NEW, LOST, NEW]
TOKEN = {"old": 0.9, "new": 0.8}
"""`seg_probability` by edition of the reasoner: tells who really computed an answer."""


@pytest.fixture
def images(make_scene: Callable[..., Images]) -> Images:
    return make_scene(64, 150, (16, 24, 16, 20))


@pytest.fixture
def old(wire: Wire, reasoner: Any) -> Replica:
    reasoner.description = replace(reasoner.description, fingerprint="old")
    return wire.replicas["reasoner"][0]


@pytest.fixture
def new(reasoner: Any, old: Replica) -> Replica:
    engine = edition(reasoner, "new")
    engine.seg_probability = TOKEN["new"]
    return Replica(engine)


def reasoners(found: list[Detection]) -> set[str]:
    """Editions of the reasoner behind an answer: what it says, checked against what it shows."""
    for detection in found:
        assert detection.seg_probability == TOKEN[detection.fingerprints["reasoner"]]
    return {detection.fingerprints["reasoner"] for detection in found}


def test_a_new_reasoner_is_taken_as_it_comes(
    wire: Wire, old: Replica, new: Replica, model: RemoteModel, images: Images
) -> None:
    assert reasoners(model.detect(images, QUERIES)) == {"old"}
    wire.replicas["reasoner"] = [new]
    wire.calls.clear()
    assert reasoners(model.detect(images, QUERIES)) == {"new"}
    # Nothing was asked twice, but for the features that the new one lacked.
    assert wire.digests("Reason") == [True, False, True, True]
    assert model.fingerprints["reasoner"] == "new"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_reasoner_replaced_between_two_questions(
    wire: Wire, old: Replica, new: Replica, model: RemoteModel, images: Images, streamed: bool
) -> None:
    def roll(context: Any) -> None:
        wire.replicas["reasoner"] = [new]

    wire.script["Reason"] = [None, roll]
    told: list[Event] = []
    if not streamed:
        assert reasoners(model.detect(images, QUERIES)) == {"new"}
        return
    with pytest.raises(UnavailableError, match=r"reasoner was replaced while it worked .* ask again"):
        model.detect(images, QUERIES, on_event=told.append)
    assert [event.query for event in told if event.text] == [0]
    # The next one holds on to the new edition from the start.
    assert reasoners(model.detect(images, QUERIES, on_event=told.append)) == {"new"}


def test_old_and_new_reasoners_side_by_side(
    wire: Wire, old: Replica, new: Replica, make_model: Callable[..., RemoteModel], images: Images
) -> None:
    """A rolling upgrade under load: no failed request, no mixed answer."""
    model = make_model()
    wire.replicas["reasoner"] = [old, new]
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda _: model.detect(images, QUERIES), range(40)))
    seen = [reasoners(found) for found in answers]
    assert all(len(editions) == 1 for editions in seen)
    assert set.union(*seen) == {"old", "new"}


def test_a_decoder_replaced_between_two_tiles(
    wire: Wire, model: RemoteModel, decoder: Any, images: Images
) -> None:
    stricter = edition(decoder, "stricter", presence_threshold=0.99)

    def roll(context: Any) -> None:
        wire.replicas["mask-decoder"] = [Replica(stricter)]

    wire.script["Decode"] = [None, roll]
    (found,) = model.detect(images, [NEW])
    assert found.fingerprints["mask_decoder"] == "stricter"
    assert found.presence_threshold == 0.99
    assert not found.change_map.any()


@pytest.mark.parametrize("concurrent", [False, True])
def test_an_encoder_replaced_while_a_pair_is_encoded(
    wire: Wire,
    make_model: Callable[..., RemoteModel],
    encoder: Any,
    make_scene: Callable[..., Images],
    concurrent: bool,
) -> None:
    """The old one's features must neither mix with the new one's nor be found again under its name."""
    model = make_model(concurrent=concurrent)
    one, two = make_scene(64, 64, (0, 0, 64, 64)), make_scene(64, 150, (0, 0, 64, 150))
    assert model.detect(one, [NEW])[0].change_map.all()
    blind = edition(encoder, "blind")
    blind.encode_for_decoding = lambda images: Tensor(dtype="bfloat16", shape=(1, 16, 16), data=bytes(512))

    def roll(context: Any) -> None:
        for application in ("clip", "sam-fpn-fusion"):
            wire.replicas[application] = [Replica(blind)]

    wire.script["EncodeForDecoding"] = [None, roll]
    progress: list[Event] = []
    (found,) = model.detect(two, [NEW])
    assert found.fingerprints["vision_encoder"] == "blind"
    assert not found.change_map.any()
    (found,) = model.detect(one, [NEW], on_event=progress.append)
    assert found.fingerprints["vision_encoder"] == "blind"
    assert not found.change_map.any()


def test_a_streamed_request_is_run_again_if_nothing_was_given_out(
    wire: Wire, model: RemoteModel, encoder: Any, images: Images
) -> None:
    other = edition(encoder, "other")
    for application in ("clip", "sam-fpn-fusion"):
        wire.replicas[application] = [Replica(other)]
    told: list[Event] = []
    (found,) = model.detect(images, [NEW], on_event=told.append)
    assert found.fingerprints["vision_encoder"] == "other"
    assert wire.count("EncodeForReasoning") == ASKS + 1
    starts = [event for event in told if (event.stage, event.done) == ("encode", 0)]
    assert len(starts) == 1


def test_runs_are_counted(wire: Wire, model: RemoteModel, decoder: Any, images: Images) -> None:
    """A decoder that is another one at every call: the caller is told to ask again."""
    replies = iter(range(1000))

    def roll(context: Any) -> None:
        wire.replicas["mask-decoder"] = [Replica(edition(decoder, f"edition {next(replies)}"))]

    wire.script["Decode"] = [roll] * 1000
    with pytest.raises(UnavailableError, match="mask_decoder was replaced"):
        model.detect(images, [NEW])
    # Replicas that know nothing yet are asked by digest in vain besides.
    assert wire.digests("Decode").count(False) == sum(ASKS * run for run in range(1, RUNS + 1))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_stream_of_two_editions_is_not_believed(
    wire: Wire, old: Replica, model: RemoteModel, images: Images, streamed: bool
) -> None:
    wire.origins = iter(["old", "new", "old", "new"] * RUNS * RUNS * ASKS)
    with pytest.raises(UnavailableError, match="reasoner was replaced"):
        model.detect(images, [NEW], on_event=(lambda event: None) if streamed else None)


def test_a_new_reasoner_of_another_space_is_refused(
    wire: Wire, model: RemoteModel, reasoner: Any, images: Images
) -> None:
    told: list[Event] = []
    wire.replicas["reasoner"] = [Replica(edition(reasoner, "foreign", seg_space="elsewhere"))]
    with pytest.raises(
        CheckpointError, match=r"reasoner foreign has seg_space elsewhere but mask_decoder .* space"
    ):
        model.detect(images, [NEW], on_event=told.append)
    assert not any(event.text for event in told)


WIDE = (TensorShape(name="clip_tokens", dtype="bfloat16", shape=(2, 16, 64)),)
NARROW = (TensorShape(name="clip_tokens", dtype="bfloat16", shape=(2, 16, 32)),)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"reasoner": {"seg_space": "elsewhere"}},
            "reasoner 726561736f6e has seg_space elsewhere but mask_decoder 6d61736b5f64 has space",
        ),
        (
            {"sam-fpn-fusion": {"fingerprint": "f" * 64}},
            "clip is vision_encoder 766973696f6e but sam-fpn-fusion is ffffffffffff; serve both from one",
        ),
        (
            {"clip": {"tensors": WIDE}, "reasoner": {"tensors": NARROW}},
            r"vision_encoder 7669.* gives clip_tokens as .*, 64\) but reasoner 7265.* takes .*, 32\); use",
        ),
        (
            {
                "reasoner": {"tensors": (TensorShape(name="seg_embedding", dtype="float32", shape=(96,)),)},
                "mask-decoder": {
                    "tensors": (TensorShape(name="seg_embeddings", dtype="float32", shape=(0, 256)),)
                },
            },
            r"reasoner .* gives seg_embedding as float32 \(96,\) but mask_decoder .* takes .* \(0, 256\)",
        ),
        (
            {"clip": {"component": "reasoner"}, "sam-fpn-fusion": {"component": "reasoner"}},
            "reasoner stands where",
        ),
    ],
)
def test_services_that_do_not_fit_are_refused_at_the_handshake(
    wire: Wire, make_model: Callable[..., RemoteModel], changes: dict[str, Any], match: str
) -> None:
    for application, change in changes.items():
        engine = wire.replicas[application][0].engine
        wire.replicas[application] = [Replica(edition(engine, engine.description.fingerprint))]
        engine = wire.replicas[application][0].engine
        engine.description = replace(engine.description, **change)
    with pytest.raises(CheckpointError, match=match):
        make_model()


def test_replies_of_another_shape_than_stated_are_faults_of_the_service(
    wire: Wire, make_model: Callable[..., RemoteModel], encoder: Any, images: Images
) -> None:
    encoder.description = replace(encoder.description, tensors=WIDE)
    model = make_model()
    with pytest.raises(
        ReasonCDError, match=r"vision_encoder answered with clip_tokens as .* but states bfloat16"
    ):
        model.detect(images, [NEW])


def test_replies_that_cannot_be_read_are_faults_of_the_service(
    wire: Wire, model: RemoteModel, decoder: Any, images: Images
) -> None:
    see = decoder.decode

    def decode(*arguments: Any) -> Any:
        masks = see(*arguments)
        return replace(masks, presence=np.ones(1, np.int64))

    decoder.decode = decode
    with pytest.raises(
        ReasonCDError, match=r"mask_decoder answered .* presence is int64; send float32"
    ) as caught:
        model.detect(images, [NEW])
    assert caught.value.code == "INTERNAL"
