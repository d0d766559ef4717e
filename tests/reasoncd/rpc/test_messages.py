"""What ports pass to each other survives the wire, and messages from elsewhere are judged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from reasoncd.ports import Clicks, DecodedMasks, Description, Mode, ReasonDone, ReasonText, TensorShape
from reasoncd.rpc import messages
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import describe_pb2, reasoner_pb2, tensor_pb2

pytestmark = pytest.mark.unit

text = st.text(max_size=20)
probability = st.floats(0, 1)

descriptions = st.builds(
    Description,
    component=st.sampled_from(["vision_encoder", "reasoner", "mask_decoder"]),
    version=text,
    preset=text,
    fingerprint=text,
    # Empty means none on the wire, and no prompt space is named so.
    seg_space=st.none() | st.text(min_size=1, max_size=20),
    image_size=st.none() | st.integers(0, 2**31 - 1),
    presence_threshold=st.none() | probability,
    probability_threshold=st.none() | probability,
    tensors=st.lists(
        st.builds(
            TensorShape,
            name=text,
            dtype=text,
            shape=st.lists(st.integers(0, 2**40), max_size=4).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
)


@given(descriptions)
def test_descriptions(description: Description) -> None:
    sent = messages.description_to_proto(description).SerializeToString()
    assert messages.description_from_proto(describe_pb2.Description.FromString(sent)) == description


def test_zero_is_not_taken_for_not_set() -> None:
    description = Description(
        component="mask_decoder",
        version="1",
        preset="mini",
        fingerprint="f",
        seg_space="s",
        image_size=0,
        presence_threshold=0.0,
        probability_threshold=0.0,
    )
    assert messages.description_from_proto(messages.description_to_proto(description)) == description


@pytest.mark.parametrize("component", [describe_pb2.COMPONENT_UNSPECIFIED, 77])
def test_an_unknown_component_is_refused(component: describe_pb2.Component) -> None:
    with pytest.raises(InvalidInputError, match="component"):
        messages.description_from_proto(describe_pb2.Description(component=component))


def test_modes() -> None:
    assert [messages.mode_from_proto(messages.mode_to_proto(mode)) for mode in Mode] == list(Mode)
    assert messages.mode_from_proto(reasoner_pb2.MODE_UNSPECIFIED) is Mode.SHORT
    with pytest.raises(InvalidInputError, match="mode 9 is unknown; use MODE_SHORT or MODE_EXPLAINED"):
        messages.mode_from_proto(9)
    # A mode that the contract gets must get its words here too.
    assert len(reasoner_pb2.Mode.values()) == len(Mode) + 1


embeddings = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5).map(
    lambda row: Tensor.from_numpy(np.array(row, dtype=np.float32))
)


@given(
    st.builds(ReasonText, text=text)
    | st.builds(
        ReasonDone,
        answer=text,
        seg_embedding=st.none() | embeddings,
        seg_probability=probability,
        token_count=st.integers(0, 2**31 - 1),
    )
)
def test_events(event: ReasonText | ReasonDone) -> None:
    origin = describe_pb2.Origin(fingerprint="f", seg_space="s")
    sent = messages.event_to_proto(event, origin).SerializeToString()
    received = reasoner_pb2.ReasonResponse.FromString(sent)
    assert received.origin == origin
    assert messages.event_from_proto(received) == event


def test_a_response_without_an_event_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="upgrade this side"):
        messages.event_from_proto(reasoner_pb2.ReasonResponse())


def test_clicks_and_masks() -> None:
    clicks = Clicks(points=np.array([[1.5, 2], [3, 4]], np.float32), labels=np.array([1, 0]))
    back = messages.clicks_from_proto(messages.clicks_to_proto(clicks))
    _same(back.points, clicks.points)
    _same(back.labels, clicks.labels)
    random = np.random.default_rng(0)
    masks = DecodedMasks(
        logits=random.normal(size=(2, 4, 4)).astype(np.float32),
        presence=np.array([0.25, 1], np.float32),
        quality=np.array([0, 0.5], np.float32),
    )
    received = messages.masks_from_proto(messages.masks_to_proto(masks))
    for name in ("logits", "presence", "quality"):
        _same(getattr(received, name), getattr(masks, name))


def _same(one: NDArray[np.generic], other: NDArray[np.generic]) -> None:
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


def test_another_dtype_is_refused_by_the_fields_name() -> None:
    numbers = tensor_to_proto(Tensor.from_numpy(np.zeros(2, np.int64)))
    with pytest.raises(InvalidInputError, match="boxes is int64; send float32"):
        messages.float32_from_proto(numbers, name="boxes")
    with pytest.raises(InvalidInputError, match="images is int64; send uint8"):
        messages.images_from_proto(numbers)
    bytes_ = tensor_to_proto(Tensor.from_numpy(np.zeros(2, np.uint8)))
    with pytest.raises(InvalidInputError, match=r"clicks\.labels is uint8; send int64"):
        messages.int64_from_proto(bytes_, name="clicks.labels")
    half = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_BFLOAT16, shape=[1], data=bytes(2))
    with pytest.raises(InvalidInputError, match="logits is bfloat16"):
        messages.float32_from_proto(half, name="logits")
