import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reasoncd.checkpoint import Checkpoint
from reasoncd.errors import InvalidInputError
from reasoncd.meanings import MAX_CLICKS
from reasoncd.ports import Clicks, DecodedMasks, Description, MaskDecoder
from reasoncd.tensors import Tensor
from services.mask_decoder import engine as engine_module
from services.mask_decoder.engine import MaskDecoderEngine
from services.mask_decoder.model import ChangeMaskDecoder, Prompts
from services.mask_decoder.requests import DecodeRequest
from services.wire import from_torch, to_torch

pytestmark = pytest.mark.unit

WHO = Description(component="mask_decoder", version="0", preset="paper_tiny", fingerprint="f", seg_space="s")


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _fused(seed: int = 0) -> Tensor:
    return from_torch(_random(32, 8, 8, seed=seed).to(torch.bfloat16))


def _segs(count: int, seed: int = 9) -> Tensor:
    return from_torch(_random(count, 32, seed=seed))


def _logits(count: int, seed: int = 3) -> NDArray[np.float32]:
    return (_random(count, 128, 128, seed=seed) * 5).numpy()


def _clicks(*points: tuple[float, float, int]) -> Clicks:
    rows = np.array(points, dtype=np.float32).reshape(-1, 3)
    return Clicks(points=rows[:, :2].copy(), labels=rows[:, 2].astype(np.int64))


def _close(a: DecodedMasks, b: DecodedMasks, atol: float = 1e-4) -> None:
    np.testing.assert_allclose(a.logits, b.logits, rtol=0, atol=atol)
    np.testing.assert_allclose(a.presence, b.presence, rtol=0, atol=atol)
    np.testing.assert_allclose(a.quality, b.quality, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def engine(tiny_decoder: ChangeMaskDecoder) -> MaskDecoderEngine:
    return MaskDecoderEngine(copy.deepcopy(tiny_decoder), WHO)


def test_answers_are_the_models(engine: MaskDecoderEngine, tiny_decoder: ChangeMaskDecoder) -> None:
    with torch.no_grad():
        out = tiny_decoder(
            to_torch(_fused())[None].float(), Prompts(seg=_random(2, 32, seed=9)), torch.tensor([0, 0])
        )
        logits = torch.nn.functional.interpolate(
            out.mask_logits[:, None], (128, 128), mode="bilinear", align_corners=False
        )[:, 0]
    got = engine.decode(_fused(), _segs(2))
    assert got.logits.shape == (2, 128, 128)
    assert got.logits.dtype == got.presence.dtype == got.quality.dtype == np.float32
    np.testing.assert_allclose(got.logits, logits.numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(got.presence, torch.sigmoid(out.presence_logits).numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(got.quality, out.quality.clamp(0, 1).numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("bias", "expected"), [(9.0, 1.0), (-9.0, 0.0)])
def test_quality_stays_in_its_range(tiny_decoder: ChangeMaskDecoder, bias: float, expected: float) -> None:
    decoder = copy.deepcopy(tiny_decoder)
    with torch.no_grad():
        decoder.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(bias)
    assert MaskDecoderEngine(decoder, WHO).decode(_fused(), _segs(1)).quality.tolist() == [expected]


def test_same_question_gives_the_same_bits(engine: MaskDecoderEngine) -> None:
    a, b = engine.decode(_fused(), _segs(2)), engine.decode(_fused(), _segs(2))
    assert a.logits.tobytes() == b.logits.tobytes()


def test_batched_queries_are_each_query_alone(engine: MaskDecoderEngine) -> None:
    segs = _random(3, 32, seed=9)
    boxes = np.array([[1, 2, 30, 40], [0, 0, 128, 128], [60, 60, 61, 61]], dtype=np.float32)
    previous, clicks = _logits(3), _clicks((3, 4, 1), (100, 90, 0))
    together = engine.decode(_fused(), from_torch(segs), boxes=boxes, previous_logits=previous, clicks=clicks)
    for i in range(3):
        alone = engine.decode(
            _fused(),
            from_torch(segs[i : i + 1]),
            boxes=boxes[i : i + 1],
            previous_logits=previous[i : i + 1],
            clicks=clicks,
        )
        np.testing.assert_allclose(together.logits[i], alone.logits[0], rtol=0, atol=1e-4)
        np.testing.assert_allclose(together.presence[i], alone.presence[0], rtol=0, atol=1e-4)


def test_queries_do_not_see_each_other(engine: MaskDecoderEngine) -> None:
    segs = _random(3, 32, seed=9)
    straight, swapped = (
        engine.decode(_fused(), from_torch(segs)),
        engine.decode(_fused(), from_torch(segs.flip(0))),
    )
    np.testing.assert_allclose(straight.logits, swapped.logits[::-1], rtol=0, atol=1e-4)
    assert not np.allclose(straight.logits[0], straight.logits[1], atol=1e-2)


def test_more_queries_than_a_batch(engine: MaskDecoderEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = engine.decode(_fused(), _segs(5))
    monkeypatch.setattr(engine_module, "MAX_BATCH", 2)
    _close(engine.decode(_fused(), _segs(5)), whole)


def test_requests_about_several_pairs_are_answered_as_if_alone(engine: MaskDecoderEngine) -> None:
    boxes = np.array([[10, 10, 50, 60], [0, 0, 20, 20]], dtype=np.float32)
    requests = [
        DecodeRequest(fused=_fused(1), seg_embeddings=_segs(2)),
        DecodeRequest(fused=_fused(2), seg_embeddings=_segs(1), clicks=_clicks((5, 5, 1))),
        DecodeRequest(fused=_fused(3), seg_embeddings=_segs(1, seed=4)),
        DecodeRequest(fused=_fused(2), seg_embeddings=_segs(2), boxes=boxes, previous_logits=_logits(2)),
        DecodeRequest(fused=_fused(1), seg_embeddings=_segs(1), clicks=_clicks((5, 5, 1), (9, 9, 0))),
        DecodeRequest(fused=_fused(1), seg_embeddings=_segs(1), clicks=_clicks((90, 9, 0))),
    ]
    answers = engine.decode_many(requests)
    assert [len(a.presence) for a in answers] == [2, 1, 1, 2, 1, 1]
    for request, answer in zip(requests, answers, strict=True):
        alone = engine.decode(
            request.fused,
            request.seg_embeddings,
            clicks=request.clicks,
            boxes=request.boxes,
            previous_logits=request.previous_logits,
        )
        _close(answer, alone)


def test_no_requests_give_no_answers(engine: MaskDecoderEngine) -> None:
    assert engine.decode_many([]) == []


def test_one_and_four_threads_agree(engine: MaskDecoderEngine) -> None:
    before = torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            answers.append(engine.decode(_fused(), _segs(2)))
    finally:
        torch.set_num_threads(before)
    _close(answers[0], answers[1])


@pytest.mark.parametrize(
    "correction",
    [
        {"clicks": _clicks((64, 64, 1))},
        {"clicks": _clicks((64, 64, 0))},
        {"boxes": np.array([[20, 20, 100, 90]], dtype=np.float32)},
        {"previous_logits": _logits(1)},
    ],
    ids=["click", "click not", "box", "previous"],
)
def test_each_kind_of_correction_changes_the_map(
    engine: MaskDecoderEngine, correction: dict[str, Any]
) -> None:
    plain = engine.decode(_fused(), _segs(1)).logits
    assert np.abs(engine.decode(_fused(), _segs(1), **correction).logits - plain).max() > 1e-3


def test_place_label_and_order_of_clicks(engine: MaskDecoderEngine) -> None:
    def ask(*points: tuple[float, float, int]) -> NDArray[np.float32]:
        return engine.decode(_fused(), _segs(1), clicks=_clicks(*points)).logits

    one = ask((20, 100, 1))
    assert np.abs(ask((100, 20, 1)) - one).max() > 1e-4  # x and y are not the same.
    assert np.abs(ask((20, 100, 0)) - one).max() > 1e-4
    np.testing.assert_allclose(ask((5, 6, 1), (90, 80, 0)), ask((90, 80, 0), (5, 6, 1)), rtol=0, atol=1e-4)


def test_no_clicks_in_the_list_is_no_correction(engine: MaskDecoderEngine) -> None:
    _close(engine.decode(_fused(), _segs(1), clicks=_clicks()), engine.decode(_fused(), _segs(1)), atol=0)


def test_previous_logits_are_brought_back_to_the_masks_own_size(engine: MaskDecoderEngine) -> None:
    low = _random(1, 1, 32, 32, seed=5).cumsum(-1)  # Smooth along x, as logits are.
    up = torch.nn.functional.interpolate(low, (128, 128), mode="bilinear", align_corners=False)[:, 0]
    back = engine._at_mask_size(up)
    assert back.shape == (1, 32, 32)
    assert float((back - low[:, 0]).abs().mean()) < 0.3 * float(low.std())
    assert np.abs(engine.decode(_fused(), _segs(1), previous_logits=up.numpy()).logits).max() > 0


def _changed(values: NDArray[np.float32], value: float) -> NDArray[np.float32]:
    out = values.copy()
    out.flat[0] = value
    return out


BOX = np.array([[1, 1, 9, 9]], dtype=np.float32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fused": from_torch(_random(32, 8, 8))}, "fused map: float32"),
        ({"fused": from_torch(_random(32, 8, 9).bfloat16())}, r"fused map: .*\(32, 8, 9\)"),
        ({"fused": from_torch(_random(16, 8, 8).bfloat16())}, r"\(32, 8, 8\)"),
        ({"fused": from_torch((_random(32, 8, 8) / 0).bfloat16())}, "fused map holds NaN or infinite"),
        ({"seg_embeddings": from_torch(_random(1, 16))}, r"seg_embeddings: .*\(1, 16\)"),
        ({"seg_embeddings": from_torch(_random(32))}, "seg_embeddings have shape"),
        ({"seg_embeddings": from_torch(_random(0, 32))}, "1 to 256 queries"),
        ({"seg_embeddings": from_torch(_random(257, 32))}, "1 to 256 queries"),
        ({"seg_embeddings": from_torch(_random(1, 32).bfloat16())}, "seg_embeddings: bfloat16"),
        ({"seg_embeddings": from_torch(_random(1, 32) * float("nan"))}, "seg_embeddings hold NaN"),
        ({"boxes": BOX[:, :3].copy()}, r"boxes: .*\(1, 3\)"),
        ({"boxes": np.repeat(BOX, 2, 0)}, r"boxes: .*\(2, 4\)"),
        ({"boxes": BOX.astype(np.float64)}, "boxes: float64"),
        ({"boxes": _changed(BOX, np.nan)}, "boxes hold NaN"),
        ({"boxes": _changed(BOX, -1)}, "boxes must lie"),
        ({"boxes": _changed(BOX, 99)}, "x1 <= x2"),
        ({"previous_logits": _logits(1)[:, :64]}, "previous_logits: float32"),
        ({"previous_logits": _logits(2)}, r"previous_logits: .*\(2, 128, 128\)"),
        ({"previous_logits": _changed(_logits(1), np.inf)}, "previous_logits hold NaN or infinite"),
        ({"clicks": _clicks((1, 129, 1))}, "clicks.points must lie"),
        ({"clicks": _clicks((1, np.nan, 1))}, "clicks.points hold NaN"),
        ({"clicks": _clicks((1, 1, 2))}, "clicks.labels must be"),
        ({"clicks": _clicks((1, 1, -1))}, "clicks.labels must be"),
        ({"clicks": _clicks(*[(1, 1, 1)] * 33)}, "clicks: 33 are given; give at most 32"),
        (
            {"clicks": Clicks(points=np.zeros((), np.float32), labels=np.ones((), np.int64))},
            r"clicks.points: .*\(\)",
        ),
        (
            {"clicks": Clicks(points=np.zeros((2, 3), np.float32), labels=np.ones(2, np.int64))},
            "clicks.points:",
        ),
        (
            {"clicks": Clicks(points=np.zeros((2, 2), np.float32), labels=np.ones(3, np.int64))},
            "clicks.labels:",
        ),
        ({"clicks": Clicks(points=np.zeros((1, 2)), labels=np.ones(1, np.int64))}, "clicks.points: float64"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_refused_by_name(
    engine: MaskDecoderEngine, change: dict[str, Any], said: str
) -> None:
    arguments: dict[str, Any] = {"fused": _fused(), "seg_embeddings": _segs(1)}
    with pytest.raises(InvalidInputError, match=said):
        engine.decode(**(arguments | change))


def test_as_many_clicks_as_a_person_may_make_are_read(engine: MaskDecoderEngine) -> None:
    clicks = _clicks(*[(3 * i, 2 * i, i % 2) for i in range(MAX_CLICKS)])
    assert np.isfinite(engine.decode(_fused(), _segs(1), clicks=clicks).logits).all()


@pytest.mark.parametrize(
    "change",
    [
        {"seg_embeddings": from_torch(_random(1, 32) * 1e30)},
        {"previous_logits": np.full((1, 128, 128), 3e38, dtype=np.float32)},
        {"fused": from_torch((_random(32, 8, 8) * 2e37).bfloat16())},
    ],
    ids=lambda change: next(iter(change)),
)
def test_numbers_too_large_to_compute_with_are_refused(
    engine: MaskDecoderEngine, change: dict[str, Any]
) -> None:
    arguments: dict[str, Any] = {"fused": _fused(), "seg_embeddings": _segs(1)} | change
    with pytest.raises(InvalidInputError, match=f"{next(iter(change))}.* too large to compute with; send"):
        engine.decode(**arguments)


def test_loads_from_a_checkpoint(tiny_checkpoint: Checkpoint, engine: MaskDecoderEngine) -> None:
    loaded: MaskDecoder = MaskDecoderEngine.from_checkpoint(tiny_checkpoint)
    who = loaded.describe()
    assert (who.component, who.preset, who.image_size) == ("mask_decoder", "paper_tiny", 128)
    assert who.fingerprint == tiny_checkpoint.fingerprint("mask_decoder")
    assert (who.seg_space, who.presence_threshold, who.probability_threshold) == ("seg-a", 0.25, 0.4)
    stored = loaded.decode(_fused(), _segs(1)).logits
    exact = engine.decode(_fused(), _segs(1)).logits
    assert 0 < np.linalg.norm(stored - exact) / np.linalg.norm(exact) < 0.05  # Stored as bfloat16.
