"""What the correction refiner may change, where, and what it sees."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reasoncd.ontology import TARGETS
from reasoncd.ports import Clicks, Description
from services.mask_decoder.config import paper_tiny
from services.mask_decoder.correction_refiner import CorrectionRefiner
from services.mask_decoder.engine import MaskDecoderEngine
from services.mask_decoder.model import ChangeMaskDecoder, DecoderOutput, OppositePrompts, Prompts
from services.mask_decoder.requests import DecodeRequest
from services.wire import from_torch

pytestmark = pytest.mark.unit

CONFIG = replace(paper_tiny(), refines_corrections=True)
WHO = Description(component="mask_decoder", version="0", preset="paper_tiny", fingerprint="f", seg_space="s")
WHERE = torch.tensor([0, 0])
BOXES = torch.tensor([[1.0, 2.0, 50.0, 60.0], [70.0, 3.0, 127.0, 90.0]])


@pytest.fixture
def fused() -> Tensor:
    return torch.randn(1, 32, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def seg() -> Tensor:
    return torch.randn(2, 32, generator=torch.Generator().manual_seed(2))


def _decoder(*, trained: bool) -> ChangeMaskDecoder:
    torch.manual_seed(0)
    decoder = ChangeMaskDecoder(CONFIG).eval().requires_grad_(False)
    if trained:
        # Random, yet something: as built, it adds nothing.
        for head in (_refiner(decoder).logits, _refiner(decoder).quality):
            nn.init.normal_(head.weight)
    return decoder


def _refiner(decoder: ChangeMaskDecoder) -> CorrectionRefiner:
    assert decoder.correction_refiner is not None
    return decoder.correction_refiner


def _without_refiner(decoder: ChangeMaskDecoder) -> ChangeMaskDecoder:
    plain = ChangeMaskDecoder(replace(CONFIG, refines_corrections=False)).eval().requires_grad_(False)
    plain.load_state_dict(
        {n: t for n, t in decoder.state_dict().items() if not n.startswith("correction_refiner")}
    )
    return plain


def _equal(one: DecoderOutput, other: DecoderOutput) -> bool:
    return torch.equal(one.mask_logits, other.mask_logits) and torch.equal(one.quality, other.quality)


def _clicks(*labels: int) -> tuple[Tensor, Tensor]:
    """One click for each of two prompts."""
    return torch.tensor([[[40.0, 70.0]], [[90.0, 20.0]]]), torch.tensor(labels)[:, None]


def test_answers_without_corrections_are_those_of_the_decoder_alone(fused: Tensor, seg: Tensor) -> None:
    decoder = _decoder(trained=True)
    plain = _without_refiner(decoder)
    earlier = torch.randn(2, 32, 32)
    for prompts in (
        Prompts(seg=seg),
        Prompts(seg=seg, previous_logits=earlier),
    ):
        assert _equal(decoder(fused, prompts, WHERE), plain(fused, prompts, WHERE))


def test_before_it_is_trained_it_changes_nothing(fused: Tensor, seg: Tensor) -> None:
    decoder = _decoder(trained=False)
    points, labels = _clicks(1, 0)
    prompts = Prompts(seg=seg, points=points, point_labels=labels, boxes=BOXES)
    assert _equal(decoder(fused, prompts, WHERE), _without_refiner(decoder)(fused, prompts, WHERE))


def test_padding_is_no_click(fused: Tensor, seg: Tensor) -> None:
    decoder = _decoder(trained=True)
    plain = _without_refiner(decoder)
    points, labels = _clicks(1, -1)
    prompts = Prompts(seg=seg, points=points, point_labels=labels, previous_logits=torch.randn(2, 32, 32))
    found, alone = decoder(fused, prompts, WHERE), plain(fused, prompts, WHERE)
    assert not torch.allclose(found.mask_logits[0], alone.mask_logits[0])
    assert torch.equal(found.mask_logits[1], alone.mask_logits[1])
    assert torch.equal(found.quality[1], alone.quality[1])
    # Nor does a padded place say anything beside a click.
    padded = replace(
        prompts,
        points=torch.cat([points, points.flip(0)], dim=1),
        point_labels=torch.cat([labels, torch.full((2, 1), -1)], dim=1),
    )
    guides = [
        _refiner(decoder)._guides(fused[WHERE], torch.ones(2, 4, 32, 32), p.points, p.point_labels, None)
        for p in (prompts, padded)
        if p.points is not None and p.point_labels is not None
    ]
    assert torch.equal(*guides)


def test_guides_peak_at_the_click_and_tell_the_kinds_apart(fused: Tensor) -> None:
    refiner = _refiner(_decoder(trained=True))
    upscaled = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(3))
    points = torch.tensor([[[10.0, 25.0]], [[3.0, 4.0]]])
    guides = refiner._guides(fused[WHERE], upscaled, points, torch.tensor([[1], [0]]), None)
    not_changed, changed = guides[:, :8].unflatten(1, (2, 4)).unbind(1)
    assert not guides[:, 8].any()
    assert not not_changed[0].any()
    assert not changed[1].any()
    for near, x, y in ((changed[0], 10, 25), (not_changed[1], 3, 4)):
        assert near[0, y, x] == 1.0
        assert near[0].argmax() == y * 32 + x
        # The clicked place is like itself.
        assert near[3, y, x].item() == pytest.approx(1.0, abs=1e-5)


def test_clicks_are_given_in_input_pixels(
    fused: Tensor, seg: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = _decoder(trained=True)
    given: list[Tensor] = []
    whole = _refiner(decoder).forward

    def noted(*args: Tensor, **maps: Tensor) -> object:
        given.append(args[2])
        return whole(*args, **maps)

    monkeypatch.setattr(_refiner(decoder), "forward", noted)
    # The input has 128 pixels a side, the mask 32: the centre of the first four is that of the first one.
    points = torch.tensor([[[1.5, 1.5]], [[127.0, 0.0]]])
    decoder(fused, Prompts(seg=seg, points=points, point_labels=torch.tensor([[1], [1]])), WHERE)
    assert given[0].tolist() == [[[0.0, 0.0]], [[31.375, -0.375]]]


def test_the_order_of_clicks_says_nothing_to_it(fused: Tensor) -> None:
    refiner = _refiner(_decoder(trained=True))
    generator = torch.Generator().manual_seed(3)
    upscaled, shown, decoded = (torch.randn(2, n, 32, 32, generator=generator) for n in (4, 1, 1))
    points, labels = torch.rand(2, 5, 2, generator=generator) * 31, torch.tensor([[1, 0, 1, -1, 0]] * 2)
    order = torch.tensor([4, 2, 0, 1, 3])
    one, other = (
        refiner(fused[WHERE], upscaled, p, k, shown=shown[:, 0], decoded=decoded[:, 0])
        for p, k in ((points, labels), (points[:, order], labels[:, order]))
    )
    torch.testing.assert_close(one, other)


def test_a_box_alone_changes_its_map_too(fused: Tensor, seg: Tensor) -> None:
    decoder = _decoder(trained=True)
    prompts = Prompts(seg=seg, boxes=BOXES)
    found, alone = decoder(fused, prompts, WHERE), _without_refiner(decoder)(fused, prompts, WHERE)
    for row in range(2):
        assert not torch.allclose(found.mask_logits[row], alone.mask_logits[row])
    moved = decoder(fused, replace(prompts, boxes=BOXES.flip(0)), WHERE)
    assert not torch.allclose(found.mask_logits[0], moved.mask_logits[0])


def test_a_box_is_seen_as_the_pixels_in_it(fused: Tensor, seg: Tensor) -> None:
    refiner = _refiner(_decoder(trained=True))
    none = torch.zeros(2, 0, 2), torch.zeros(2, 0)
    boxes = torch.tensor([[3.0, 5.0, 9.0, 6.0], [-0.4, -0.4, 31.4, 31.4]])
    guides = refiner._guides(fused[WHERE], torch.ones(2, 4, 32, 32), *none, boxes)
    expected = torch.full((32, 32), -1.0)
    expected[5:7, 3:10] = 1.0
    assert torch.equal(guides[0, 8], expected)
    assert (guides[1, 8] == 1).all()
    assert not guides[:, :8].any()


def _in_both_orders() -> ChangeMaskDecoder:
    torch.manual_seed(0)
    decoder = ChangeMaskDecoder(replace(CONFIG, both_orders=True, presence_reads_mask=True)).eval()
    decoder.opposites = OppositePrompts(torch.randn(len(TARGETS), 32))
    nn.init.normal_(_refiner(decoder).logits.weight)
    nn.init.normal_(_refiner(decoder).quality.weight)
    return decoder


def test_exchanged_dates_give_the_same_corrected_answer(seg: Tensor) -> None:
    decoder = _in_both_orders()
    assert decoder.opposites is not None
    generator = torch.Generator().manual_seed(5)
    handed = torch.randn(1, 2, 32, 8, 8, generator=generator)
    points, labels = _clicks(1, 0)
    earlier = torch.randn(2, 32, 32, generator=generator)
    prompts = Prompts(seg=seg, points=points, point_labels=labels, boxes=BOXES, previous_logits=earlier)
    with torch.no_grad():
        one = decoder.answer(handed, prompts, WHERE)
        other = decoder.answer(handed.flip(1), replace(prompts, seg=decoder.opposites(seg)), WHERE)
        plain = decoder.answer(handed, replace(prompts, points=None, point_labels=None, boxes=None), WHERE)
    for name in ("mask_logits", "quality", "presence_logits"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(getattr(one, name), getattr(plain, name), atol=1e-3)


def test_corrected_answers_do_not_hang_on_their_batch(seg: Tensor) -> None:
    engine = MaskDecoderEngine(_in_both_orders(), WHO)
    generator = torch.Generator().manual_seed(6)
    requests = []
    for count, labels in ((2, [1, 0]), (1, [0, 0]), (2, [1, 1])):
        clicks = torch.rand(2, 2, generator=generator) * 127
        requests.append(
            DecodeRequest(
                fused=from_torch(torch.randn(2, 32, 8, 8, generator=generator).to(torch.bfloat16)),
                seg_embeddings=from_torch(seg[:count]),
                clicks=Clicks(points=clicks.numpy(), labels=np.array(labels, dtype=np.int64)),
                boxes=BOXES[:count].numpy(),
                previous_logits=torch.randn(count, 128, 128, generator=generator).numpy(),
            )
        )
    for request, found in zip(requests, engine.decode_many(requests), strict=True):
        (alone,) = engine.decode_many([request])
        for name in ("logits", "presence", "quality"):
            np.testing.assert_allclose(getattr(found, name), getattr(alone, name), rtol=0, atol=1e-4)
