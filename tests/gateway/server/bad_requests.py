"""Requests that cannot be answered, each with its condition in docs/errors.md."""

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.io import MemoryFile

from reasoncd.v1 import gateway_pb2 as pb
from tests.gateway.server.conftest import QUESTION, png, scene

MESSAGE_BYTES = 4 * 2**20
IMAGE_BYTES = 2**20
"""Bounds of the server, small so that tests can reach them."""
TOKEN, EXPIRED = "a-token-that-is-good", "a-token-of-yesterday"

GOOD = scene()
_RGB = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, form, **options)
    return sink.getvalue()


def png_header(width: int, height: int, depth: int = 8) -> bytes:
    """A PNG whose header claims that size; its pixels are not there."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, body, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(east: float, dtype: str = "uint8") -> bytes:
    """A georeferenced TIFF of 96 x 64 pixels whose left edge is at that easting."""
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, east, 0, -2, 5_200_000)}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=96, height=64, count=3, dtype=dtype, **place) as sink:
            sink.write(np.moveaxis(_RGB, -1, 0).astype(dtype))
        return bytes(memory.read())


def jpeg_bomb() -> bytes:
    data = encoded(Image.fromarray(_RGB), "JPEG")
    frame = data.index(b"\xff\xc0")
    return data[: frame + 5] + struct.pack(">HH", 65_000, 65_000) + data[frame + 9 :]


IMAGES: list[tuple[str, str, bytes]] = [
    ("empty", "an image is missing or empty", b""),
    ("gif", "an image is of another format", encoded(Image.fromarray(_RGB), "GIF")),
    ("webp", "an image is of another format", encoded(Image.fromarray(_RGB), "WEBP")),
    ("noise", "an image is of another format", np.random.default_rng(0).bytes(5000)),
    ("html", "an image is of another format", b"<html><body>not found</body></html>"),
    ("png-cut", "an image is damaged or cut short", GOOD[0][: len(GOOD[0]) // 2]),
    ("jpeg-cut", "an image is damaged or cut short", encoded(Image.fromarray(_RGB), "JPEG")[:800]),
    ("tiff-cut", "an image is damaged or cut short", tiff(500_000)[:400]),
    ("png-bomb", "an image is too small or too large, told by its header", png_header(60_000, 60_000)),
    ("jpeg-bomb", "an image is too small or too large, told by its header", jpeg_bomb()),
    ("tiny", "an image is too small or too large, told by its header", png(_RGB[:15])),
    ("gray", "an image is not one opaque picture in 8-bit colour", png(_RGB[..., 0])),
    ("16-bit", "an image is not one opaque picture in 8-bit colour", png_header(96, 64, depth=16)),
    ("tiff-16-bit", "an image is not one opaque picture in 8-bit colour", tiff(500_000, "uint16")),
    (
        "cmyk",
        "an image is not one opaque picture in 8-bit colour",
        encoded(Image.new("CMYK", (96, 64)), "JPEG"),
    ),
    (
        "transparent",
        "an image is not one opaque picture in 8-bit colour",
        png(np.dstack([_RGB, np.full((64, 96), 254, np.uint8)])),
    ),
    (
        "animation",
        "an image is not one opaque picture in 8-bit colour",
        encoded(
            Image.fromarray(_RGB), "PNG", save_all=True, append_images=[Image.fromarray(_RGB[::-1].copy())]
        ),
    ),
    ("file-too-large", "an image's file is too large", GOOD[0] + b"\0" * IMAGE_BYTES),
]
"""Files in the place of the earlier image."""

TEXTS: list[tuple[str, str, list[str]]] = [
    ("no-question", "no question, or too many", []),
    ("33-questions", "no question, or too many", ["a"] * 33),
    ("blank", "a question is empty, too long, or holds control characters", [" \n\t "]),
    ("long", "a question is empty, too long, or holds control characters", ["a" * 2001]),
    ("nul", "a question is empty, too long, or holds control characters", ["new\0buildings"]),
    ("escape", "a question is empty, too long, or holds control characters", ["\x1b[31mred"]),
    ("one-of-three", "a question is empty, too long, or holds control characters", ["new", "", "lost"]),
]
"""Questions."""


def request(**fields: Any) -> pb.DetectRequest:
    """One that can be answered, but for the fields given."""
    return pb.DetectRequest(**{"image_t1": GOOD[0], "image_t2": GOOD[1], "queries": [QUESTION], **fields})


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpcCase:
    """A call."""

    name: str
    condition: str
    message: bytes
    method: str = "Detect"
    service: str = "reasoncd.v1.ChangeDetection"
    authorization: str | None = f"Bearer {TOKEN}"


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpCase:
    """A request."""

    name: str
    condition: str
    sent: Mapping[str, Any]
    """What `httpx.request` takes besides."""
    method: str = "POST"
    path: str = "/v1/detect"
    authorization: str | None = f"Bearer {TOKEN}"
    headers: Mapping[str, str] = field(default_factory=dict)
    names: str = ""
    """What the message has to name, where the table's pattern leaves it open."""


def form(t1: bytes = GOOD[0], t2: bytes = GOOD[1], **fields: Any) -> dict[str, Any]:
    """A form that can be answered, but for the fields given."""
    return {"files": {"t1": ("t1", t1), "t2": ("t2", t2)}, "data": {"query": QUESTION, **fields}}


def _grpc(name: str, condition: str, **fields: Any) -> GrpcCase:
    return GrpcCase(name=name, condition=condition, message=request(**fields).SerializeToString())


GRPC_CASES: list[GrpcCase] = [
    *(_grpc(name, condition, image_t1=data) for name, condition, data in IMAGES),
    *(_grpc(name, condition, queries=queries) for name, condition, queries in TEXTS),
    _grpc("second-empty", "an image is missing or empty", image_t1=b"", image_t2=b""),
    _grpc("sizes", "the two images differ in size", image_t2=scene(48, 96)[1]),
    _grpc("grids", "the two images lie on different grids", image_t1=tiff(500_000), image_t2=tiff(600_000)),
    _grpc("mode", "the mode is unknown", mode=9),
    _grpc("mode-negative", "the mode is unknown", mode=-1),
    _grpc("map-format", "the map format is unknown", map_format=7),
    *(
        _grpc(f"threshold-{value}", "the threshold is out of range or no number", threshold=value)
        for value in (float("nan"), float("inf"), 0.0, 1.0, -0.5)
    ),
    GrpcCase(name="no-message", condition="the message is not the contract's", message=b"\xff" * 40),
    GrpcCase(name="bad-utf-8", condition="the message is not the contract's", message=b"\x1a\x02\xc3\x28"),
    GrpcCase(name="nothing-set", condition="an image is missing or empty", message=b""),
    GrpcCase(
        name="stream-nothing-set",
        condition="an image is missing or empty",
        message=b"",
        method="DetectStream",
    ),
    GrpcCase(
        name="stream-no-message",
        condition="the message is not the contract's",
        message=b"\x0a\xff",
        method="DetectStream",
    ),
    GrpcCase(
        name="stream-cut",
        condition="an image is damaged or cut short",
        message=pb.DetectStreamRequest(
            detect=request(image_t2=GOOD[1][:200], image_t1=GOOD[0][:200])
        ).SerializeToString(),
        method="DetectStream",
    ),
    GrpcCase(name="oversize", condition="the request is too large", message=b"\0" * (MESSAGE_BYTES + 1)),
    GrpcCase(name="unknown-method", condition="nothing of that name is served", message=b"", method="Detekt"),
    GrpcCase(
        name="unknown-service",
        condition="nothing of that name is served",
        message=b"",
        service="reasoncd.v9.ChangeDetection",
    ),
    GrpcCase(name="no-token", condition="no token was sent", message=b"", authorization=None),
    GrpcCase(name="basic", condition="no token was sent", message=b"", authorization="Basic YTpi"),
    GrpcCase(name="bare", condition="no token was sent", message=b"", authorization=TOKEN),
    GrpcCase(
        name="wrong-token",
        condition="the token is not known",
        message=b"",
        authorization=f"Bearer {TOKEN}x",
    ),
    GrpcCase(
        name="expired-token",
        condition="the token has expired",
        message=b"",
        authorization=f"Bearer {EXPIRED}",
    ),
    GrpcCase(
        name="describe-no-token",
        condition="no token was sent",
        message=b"",
        method="Describe",
        authorization=None,
    ),
    GrpcCase(
        name="stream-wrong-token",
        condition="the token is not known",
        message=b"",
        method="DetectStream",
        authorization="Bearer nobody",
    ),
]

_BOUNDARY = {"content-type": "multipart/form-data; boundary=cut"}

HTTP_CASES: list[HttpCase] = [
    *(HttpCase(name=name, condition=condition, sent=form(data)) for name, condition, data in IMAGES),
    *(
        HttpCase(name=name, condition=condition, sent=form(query=queries))
        for name, condition, queries in TEXTS
    ),
    HttpCase(name="sizes", condition="the two images differ in size", sent=form(t2=scene(48, 96)[1])),
    HttpCase(
        name="grids",
        condition="the two images lie on different grids",
        sent=form(tiff(500_000), tiff(600_000)),
    ),
    HttpCase(name="mode", condition="the mode is unknown", sent=form(mode="poetic")),
    HttpCase(name="mode-number", condition="the mode is unknown", sent=form(mode="1")),
    HttpCase(name="map-format", condition="the map format is unknown", sent=form(map_format="gif")),
    *(
        HttpCase(
            name=f"threshold-{value}",
            condition="the threshold is out of range or no number",
            sent=form(threshold=value),
        )
        for value in ("nan", "inf", "0", "1.5", "half", "")
    ),
    HttpCase(name="flag", condition="a flag is neither true nor false", sent=form(with_probability="maybe")),
    HttpCase(
        name="first-missing",
        condition="an image is missing or empty",
        sent={"files": {"t2": ("t2", GOOD[1])}, "data": {"query": QUESTION}},
    ),
    HttpCase(
        name="unknown-field",
        condition="a field of the form is unknown, sent twice, or a file where text belongs",
        sent=form(treshold="0.5"),
        names="'treshold'",
    ),
    HttpCase(
        name="mode-twice",
        condition="a field of the form is unknown, sent twice, or a file where text belongs",
        sent=form(mode=["short", "explained"]),
        names="mode is sent 2 times",
    ),
    HttpCase(
        name="image-as-text",
        condition="a field of the form is unknown, sent twice, or a file where text belongs",
        sent={"files": {"t2": ("t2", GOOD[1])}, "data": {"t1": "t1.png", "query": QUESTION}},
        names="t1 is text",
    ),
    HttpCase(
        name="question-as-file",
        condition="a field of the form is unknown, sent twice, or a file where text belongs",
        sent={"files": {**form()["files"], "query": ("q.txt", b"new")}},
        names="query is a file",
    ),
    HttpCase(
        name="three-images",
        condition="a field of the form is unknown, sent twice, or a file where text belongs",
        sent={"files": [("t1", ("a", GOOD[0])), ("t1", ("b", GOOD[0])), ("t2", ("c", GOOD[1]))]},
        names="t1 is sent 2 times",
    ),
    HttpCase(
        name="9-files",
        condition="the form is broken or has too many parts",
        sent={"files": [("t1", ("a", GOOD[0]))] * 9},
        names="Too many files",
    ),
    HttpCase(
        name="300-fields", condition="the form is broken or has too many parts", sent=form(query=["a"] * 300)
    ),
    HttpCase(
        name="huge-field",
        condition="the form is broken or has too many parts",
        sent=form(query="a" * 70_000),
    ),
    HttpCase(
        name="no-boundary",
        condition="the form is broken or has too many parts",
        sent={"content": b"--cut\r\n"},
        headers={"content-type": "multipart/form-data"},
    ),
    HttpCase(
        name="broken-form",
        condition="the form is broken or has too many parts",
        sent={"content": b"--other\r\nnothing"},
        headers=_BOUNDARY,
    ),
    HttpCase(
        name="nameless-part",
        condition="the form is broken or has too many parts",
        sent={"content": b"--cut\r\nContent-Disposition: form-data\r\n\r\na\r\n--cut--\r\n"},
        headers=_BOUNDARY,
    ),
    HttpCase(name="json", condition="the body is no form", sent={"json": {"query": QUESTION}}),
    HttpCase(name="no-body", condition="the body is no form", sent={}),
    HttpCase(name="urlencoded", condition="the body is no form", sent={"data": {"query": QUESTION}}),
    HttpCase(
        name="oversize",
        condition="the request is too large",
        sent={"content": b"\0" * (MESSAGE_BYTES + 1)},
        headers=_BOUNDARY,
    ),
    HttpCase(
        name="oversize-chunked",
        condition="the request is too large",
        sent={
            "content": [
                b'--cut\r\nContent-Disposition: form-data; name="t1"; filename="a"\r\n\r\n',
                *[b"\0" * 2**16] * 80,
            ]
        },
        headers=_BOUNDARY,
    ),
    HttpCase(
        name="stream-cut",
        condition="an image is damaged or cut short",
        sent=form(GOOD[0][:200]),
        path="/v1/detect/stream",
    ),
    HttpCase(
        name="stream-json", condition="the body is no form", sent={"json": {}}, path="/v1/detect/stream"
    ),
    HttpCase(name="unknown-path", condition="nothing of that name is served", sent={}, path="/v1/detekt"),
    HttpCase(name="other-version", condition="nothing of that name is served", sent={}, path="/v2/detect"),
    HttpCase(name="get-detect", condition="the path does not take that verb", sent={}, method="GET"),
    HttpCase(
        name="delete-describe",
        condition="the path does not take that verb",
        sent={},
        method="DELETE",
        path="/v1/describe",
    ),
    HttpCase(name="no-token", condition="no token was sent", sent=form(), authorization=None),
    HttpCase(name="basic", condition="no token was sent", sent=form(), authorization="Basic YTpi"),
    HttpCase(
        name="wrong-token", condition="the token is not known", sent=form(), authorization=f"Bearer {TOKEN}x"
    ),
    HttpCase(
        name="expired-token",
        condition="the token has expired",
        sent=form(),
        authorization=f"Bearer {EXPIRED}",
    ),
    HttpCase(
        name="describe-no-token",
        condition="no token was sent",
        sent={},
        method="GET",
        path="/v1/describe",
        authorization=None,
    ),
    HttpCase(
        name="stream-wrong-token",
        condition="the token is not known",
        sent=form(),
        path="/v1/detect/stream",
        authorization="Bearer nobody",
    ),
]
