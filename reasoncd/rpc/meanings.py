"""Meanings and clicks as messages and back; a meaning also as text, for forms and JSON."""

import base64
import binascii
import re

import numpy as np
from google.protobuf.message import DecodeError

from reasoncd.errors import InvalidInputError
from reasoncd.meanings import Click, Meaning
from reasoncd.rpc.messages import float32_from_proto
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import gateway_pb2 as pb

_TEXT = re.compile(r"[A-Za-z0-9_-]+={0,2}")


def meaning_to_proto(meaning: Meaning) -> pb.Meaning:
    """The message of a meaning."""
    seg = meaning.seg_embedding
    return pb.Meaning(
        answer=meaning.answer,
        seg_embedding=None if seg is None else tensor_to_proto(Tensor.from_numpy(seg)),
        seg_probability=meaning.seg_probability,
        fingerprint=meaning.fingerprint,
        seg_space=meaning.seg_space,
    )


def meaning_from_proto(message: pb.Meaning) -> Meaning:
    """The meaning of a message as received.

    Raises:
        InvalidInputError: it is not one that was given.
    """
    seg = None
    if message.HasField("seg_embedding"):
        seg = float32_from_proto(message.seg_embedding, name="meaning.seg_embedding")
    return Meaning(
        answer=message.answer,
        seg_embedding=None if seg is None else np.ascontiguousarray(seg),
        seg_probability=message.seg_probability,
        fingerprint=message.fingerprint,
        seg_space=message.seg_space,
    )


def meaning_to_text(message: pb.Meaning) -> str:
    """A meaning as one word of base64url."""
    return base64.urlsafe_b64encode(message.SerializeToString(deterministic=True)).decode("ascii")


def meaning_from_text(text: str) -> Meaning:
    """The meaning of such a word.

    Raises:
        InvalidInputError: it is not one that was given.
    """
    try:
        if not _TEXT.fullmatch(text):
            raise ValueError
        message = pb.Meaning.FromString(base64.urlsafe_b64decode(text))
    except (ValueError, binascii.Error, DecodeError):
        raise InvalidInputError("meaning cannot be read; send it as an answer gave it, unaltered") from None
    return meaning_from_proto(message)


def click_to_proto(click: Click) -> pb.Click:
    """The message of a click."""
    return pb.Click(x=click.x, y=click.y, changed=click.changed)


def click_from_proto(message: pb.Click) -> Click:
    """The click of a message.

    Raises:
        InvalidInputError: a coordinate is no finite number.
    """
    return Click(x=message.x, y=message.y, changed=message.changed)
