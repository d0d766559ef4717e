"""A pipeline that reads colours: three engines in numpy for which every truth is exact.

Each land cover class has one colour. The encoder turns colours into class codes, the reasoner looks a query
up in the phrase bank, and the decoder derives the mask by the ontology's own rule. So a run has known
figures, and each engine can be made wrong in one way.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.measuring.correcting import Engines
from benchmarks.queries.questions import canonical_query
from gateway.pipeline import Pipeline
from reasoncd.ontology import REFUSAL, TARGETS, Target
from reasoncd.ports import Clicks, DecodedMasks, Description, MaskDecoder, Mode, ReasonDone, ReasonEvent
from reasoncd.tensors import Tensor
from training.data.labels import YES, LabelledPair, LandCover, target_mask
from training.queries import PhraseBank, explicit_queries, load_phrases

SIDE = 32
COLOURS = np.array([(20 * code, 255 - 20 * code, 7 * code) for code in range(len(LandCover))], dtype=np.uint8)


def paint(land: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return COLOURS[land]


def pair_of(land_t1: NDArray[np.uint8], land_t2: NDArray[np.uint8]) -> LabelledPair:
    return LabelledPair(
        image_t1=paint(land_t1), image_t2=paint(land_t2), land_t1=land_t1, land_t2=land_t2, origin="scene"
    )


def ground(code: LandCover = LandCover.LOW_VEGETATION) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE), code, dtype=np.uint8)


@pytest.fixture(scope="session")
def phrases() -> PhraseBank:
    return load_phrases()


@pytest.fixture
def new_house() -> LabelledPair:
    """A building of 64 pixels on grass, and a pond of 64 that stays."""
    before, after = ground(), ground()
    for land in (before, after):
        land[20:28, 20:28] = LandCover.WATER
    after[4:12, 4:12] = LandCover.BUILDING
    return pair_of(before, after)


def _description(component: str) -> Description:
    return Description(
        component=component, version="1", preset="tiny", fingerprint=component.encode().hex(),
        seg_space=None if component == "vision_encoder" else "one",
        image_size=None if component == "reasoner" else SIDE,
        presence_threshold=0.5 if component == "mask_decoder" else None,
        probability_threshold=0.5 if component == "mask_decoder" else None,
    )  # fmt: skip


def _bfloat16(array: NDArray[np.float32]) -> Tensor:
    bits = np.ascontiguousarray(array, dtype="<f4").view("<u4")
    return Tensor(dtype="bfloat16", shape=array.shape, data=(bits >> 16).astype("<u2").tobytes())


def _from_bfloat16(tensor: Tensor) -> NDArray[np.float32]:
    bits = np.frombuffer(tensor.data, dtype="<u2").astype("<u4") << 16
    return bits.view("<f4").reshape(tensor.shape)


class ColourEncoder:
    def describe(self) -> Description:
        return _description("vision_encoder")

    def encode_for_reasoning(self, images: NDArray[np.uint8]) -> Tensor:
        return _bfloat16(np.zeros((2, 1, 4), dtype=np.float32))

    def encode_for_decoding(self, images: NDArray[np.uint8]) -> Tensor:
        distance = np.abs(images[..., None, :].astype(int) - COLOURS.astype(int)).sum(axis=-1)
        return _bfloat16(distance.argmin(axis=-1).astype(np.float32))


@dataclass
class BankReasoner:
    """Knows every phrase by heart; `twist` alters what it understands."""

    bank: PhraseBank
    twist: Callable[[Target], Target]
    broken: str | None

    def __post_init__(self) -> None:
        self.meaning: dict[str, Target] = {}
        for target in TARGETS:
            lines = [p.query for p in self.bank.implicit.get(target.key, ())]
            for query in (*lines, *self.bank.synonyms.get(target.key, ()), *explicit_queries(target)):
                self.meaning.setdefault(query, target)

    def describe(self) -> Description:
        return _description("reasoner")

    def reason(self, clip_tokens: Tensor, query: str, mode: Mode) -> Iterator[ReasonEvent]:
        if query == self.broken:
            raise RuntimeError("the reasoner stumbled")
        target = self.meaning.get(query)
        if target is None:
            yield ReasonDone(answer=REFUSAL, seg_embedding=None, seg_probability=0.0, token_count=9)
            return
        target = self.twist(target)
        embedding = np.zeros(len(TARGETS), dtype=np.float32)
        embedding[TARGETS.index(target)] = 1
        yield ReasonDone(
            answer=f"{target.words}:",
            seg_embedding=Tensor.from_numpy(embedding),
            seg_probability=1.0,
            token_count=4,
        )


class RuleDecoder:
    def describe(self) -> Description:
        return _description("mask_decoder")

    def decode(
        self,
        fused: Tensor,
        seg_embeddings: Tensor,
        *,
        clicks: Clicks | None = None,
        boxes: NDArray[np.float32] | None = None,
        previous_logits: NDArray[np.float32] | None = None,
    ) -> DecodedMasks:
        one, two = _from_bfloat16(fused).astype(np.uint8)
        pair = pair_of(one, two)
        masks = [target_mask(pair, TARGETS[int(row.argmax())]) == YES for row in seg_embeddings.numpy()]
        there = np.array([mask.any() for mask in masks])
        return DecodedMasks(
            logits=np.where(masks, np.float32(9), np.float32(-9)),
            presence=np.where(there, np.float32(0.9), np.float32(0.1)),
            quality=np.full(len(masks), 0.8, dtype=np.float32),
        )


MakePipeline = Callable[..., Pipeline]
MakeEngines = Callable[..., Engines]


@pytest.fixture
def make_engines(phrases: PhraseBank) -> MakeEngines:
    def make(
        twist: Callable[[Target], Target] = lambda t: t,
        broken: str | None = None,
        decoder: MaskDecoder | None = None,
    ) -> Engines:
        return Engines(ColourEncoder(), BankReasoner(phrases, twist, broken), decoder or RuleDecoder())

    return make


@pytest.fixture
def make_pipeline(make_engines: MakeEngines) -> MakePipeline:
    def make(**options: Any) -> Pipeline:
        return make_engines(**options).pipeline()

    return make


@pytest.fixture
def plain() -> Callable[[Target], str]:
    return canonical_query
