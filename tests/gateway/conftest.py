"""Three small engines in numpy behind the ports, and image files to feed them.

They compute: the fused map is the signed difference of brightness, the reasoner looks for a word,
and the decoder draws where it became brighter ("gain") or darker ("loss") than before.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

from gateway.pipeline import Pipeline
from reasoncd.ontology import REFUSAL, TARGET_BY_KEY
from reasoncd.ports import Clicks, DecodedMasks, Description, Mode, ReasonDone, ReasonEvent, ReasonText
from reasoncd.tensors import Tensor

SIDE = 64
STRIDE = 4
PRESENCE_THRESHOLD = 0.5


def describe(component: str, **fields: object) -> Description:
    base = Description(
        component=component, version="1", preset="tiny", fingerprint=component.encode().hex(), seg_space=None
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def bfloat16(array: NDArray[np.float32]) -> Tensor:
    bits = np.ascontiguousarray(array, dtype="<f4").view("<u4")
    return Tensor(dtype="bfloat16", shape=array.shape, data=(bits >> 16).astype("<u2").tobytes())


class DifferenceEncoder:
    """Signed difference of brightness, averaged over the stride."""

    def __init__(self, side: int = SIDE) -> None:
        self.side = side
        self.description = describe("vision_encoder", image_size=side)
        self.calls: list[str] = []

    def describe(self) -> Description:
        return self.description

    def encode_for_reasoning(self, images: NDArray[np.uint8]) -> Tensor:
        self.calls.append("overview")
        means = images.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        return bfloat16(means[:, None, :] / 255)

    def encode_for_decoding(self, images: NDArray[np.uint8]) -> Tensor:
        self.calls.append("tile")
        assert images.shape == (2, self.side, self.side, 3)
        bright = images.astype(np.float32).mean(axis=3) / 255
        grid = self.side // STRIDE
        difference = (bright[1] - bright[0]).reshape(grid, STRIDE, grid, STRIDE).mean(axis=(1, 3))
        return bfloat16(difference[None])


class WordReasoner:
    """Reads "new" as gain, "lost" as loss, "weather" as off-topic."""

    def __init__(self) -> None:
        self.description = describe("reasoner", seg_space="space")
        self.seg_probability = 0.9

    def describe(self) -> Description:
        return self.description

    def reason(self, clip_tokens: Tensor, query: str, mode: Mode) -> Iterator[ReasonEvent]:
        if "weather" in query:
            yield ReasonText(text=REFUSAL)
            yield ReasonDone(answer=REFUSAL, seg_embedding=None, seg_probability=0.0, token_count=9)
            return
        target = TARGET_BY_KEY["building.gain" if "new" in query else "building.loss"]
        reason = "Roofs stand on what were fields. " if mode is Mode.EXPLAINED else ""
        text = f"{reason}{target.words}: "
        yield ReasonText(text=text)
        sign = 1.0 if target.direction == "gain" else -1.0
        embedding = Tensor.from_numpy(np.array([sign, 0.0], dtype=np.float32))
        yield ReasonDone(
            answer=text, seg_embedding=embedding, seg_probability=self.seg_probability, token_count=5
        )


class SignDecoder:
    """Logits grow with the difference in the asked direction; present where one is positive."""

    def __init__(self, side: int = SIDE) -> None:
        self.side = side
        self.description = describe(
            "mask_decoder",
            seg_space="space",
            image_size=side,
            presence_threshold=PRESENCE_THRESHOLD,
            probability_threshold=0.5,
        )

    def describe(self) -> Description:
        return self.description

    def decode(
        self,
        fused: Tensor,
        seg_embeddings: Tensor,
        *,
        clicks: Clicks | None = None,
        boxes: NDArray[np.float32] | None = None,
        previous_logits: NDArray[np.float32] | None = None,
    ) -> DecodedMasks:
        difference = fused.numpy()[0].repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)
        signs = seg_embeddings.numpy()[:, 0]
        logits = (20 * signs[:, None, None] * difference[None] - 2).astype(np.float32)
        peak = logits.max(axis=(1, 2))
        presence = np.where(peak > 0, 0.95, 0.1).astype(np.float32)
        quality = (1 / (1 + np.exp(-peak))).astype(np.float32)
        return DecodedMasks(logits=logits, presence=presence, quality=quality)


@pytest.fixture
def encoder() -> DifferenceEncoder:
    return DifferenceEncoder()


@pytest.fixture
def reasoner() -> WordReasoner:
    return WordReasoner()


@pytest.fixture
def decoder() -> SignDecoder:
    return SignDecoder()


@pytest.fixture
def pipeline(encoder: DifferenceEncoder, reasoner: WordReasoner, decoder: SignDecoder) -> Pipeline:
    return Pipeline(encoder, reasoner, decoder)


MakeScene = Callable[..., NDArray[np.uint8]]
MakeTiff = Callable[..., Path]


@pytest.fixture
def make_scene() -> MakeScene:
    """(2, H, W, 3): textured ground, and bright boxes (top, left, height, width) on the later date."""

    def make(height: int, width: int, *boxes: tuple[int, int, int, int], seed: int = 0) -> NDArray[np.uint8]:
        ground = np.random.default_rng(seed).integers(60, 70, (height, width, 3), dtype=np.uint8)
        images = np.stack([ground, ground])
        for top, left, rows, columns in boxes:
            images[1, top : top + rows, left : left + columns] = 200
        return images

    return make


@pytest.fixture
def make_tiff(tmp_path: Path) -> MakeTiff:
    """Write (bands, H, W) as a TIFF, georeferenced where `crs` or `transform` is given."""

    def make(name: str, bands: NDArray[np.generic], **profile: object) -> Path:
        path = tmp_path / name
        count, height, width = bands.shape
        settings = {"count": count, "height": height, "width": width, "dtype": bands.dtype, **profile}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", driver="GTiff", **settings) as sink:
                sink.write(bands)
        return path

    return make


@pytest.fixture
def pair_files(tmp_path: Path, make_scene: MakeScene) -> tuple[Path, Path]:
    """Two PNG files of 96 x 80 pixels with one new box of 24 x 16."""
    images = make_scene(80, 96, (32, 40, 16, 24))
    paths = tmp_path / "before.png", tmp_path / "after.png"
    for path, pixels in zip(paths, images, strict=True):
        Image.fromarray(pixels).save(path)
    return paths
