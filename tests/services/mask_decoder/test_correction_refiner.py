"""What the correction refiner may change, where, and what it sees."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from services.mask_decoder.config import paper_tiny
from services.mask_decoder.correction_refiner import CorrectionRefiner
from services.mask_decoder.model import ChangeMaskDecoder, DecoderOutput, Prompts

pytestmark = pytest.mark.unit

CONFIG = replace(paper_tiny(), refines_corrections=True)
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
