"""The paper's stage: what learns, and the losses by hand."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from reasoncd.ports import Mode
from services.mask_decoder import config as decoder_config
from services.mask_decoder.model import ChangeMaskDecoder
from services.reasoner import config as reasoner_config
from services.reasoner.build import build_reasoner
from services.vision_encoder import config as vision_config
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.model import ChangeFeatureEncoder
from training.data.sample_batches import SampleBatch
from training.losses import LossWeights, mask_bce, mask_dice
from training.reasoner_start import generated_tokenizer
from training.stages.samples import SampleStage, presence_of
from training.stages.stage import set_precision

pytestmark = pytest.mark.unit

ANSWERS = ("It's <SEG>", "New buildings: <SEG>", "This question is not about a change of land cover.")


def _stage(**more: Any) -> SampleStage:
    torch.manual_seed(0)
    vision = vision_config.paper_tiny()
    stage = SampleStage(
        ClipPatchEncoder(vision.clip),
        ChangeFeatureEncoder(vision),
        ChangeMaskDecoder(decoder_config.paper_tiny()),
        build_reasoner(reasoner_config.paper_tiny(), generated_tokenizer(32_000)),
        **more,
    )
    set_precision(stage, "float32")
    return stage


@pytest.fixture(scope="module")
def batch() -> SampleBatch:
    """Three samples; the last is a refusal, the second holds unknown pixels, and its change is not there."""
    torch.manual_seed(1)
    truth = torch.zeros(3, 128, 128, dtype=torch.uint8)
    truth[0, :40, :50] = 1
    truth[1, -5:] = 255
    return SampleBatch(
        images=torch.randint(0, 256, (3, 2, 3, 128, 128), dtype=torch.uint8),
        clip_tokens=torch.randn(3, 2, 256, 32),
        sam_maps=torch.randn(3, 2, 32, 8, 8),
        questions=("Building", "Building", "Who lives here?"),
        answers=ANSWERS,
        modes=(Mode.SHORT,) * 3,
        truth=truth,
    )


@pytest.fixture(scope="module")
def stage() -> SampleStage:
    return _stage()


def test_what_the_paper_trains_learns_and_nothing_else(stage: SampleStage, batch: SampleBatch) -> None:
    stage.zero_grad()
    stage(batch)["loss"].backward()
    learned = {name for name, p in stage.named_parameters() if p.grad is not None and p.grad.any()}
    trained = {name for name, p in stage.named_parameters() if p.requires_grad}
    assert learned <= trained
    for part in (
        "reasoner.clip_projection.",
        "reasoner.seg_mlp.",
        "encoder.fpn.backbone.",
        "encoder.fpn.pyramid.",
        "encoder.fusion.",
        "decoder.mask_decoder.transformer.",
        "decoder.mask_decoder.output_upscaling.",
    ):
        assert any(name.startswith(part) for name in learned), part
    adapted = {name.split(".lora_")[0].split(".")[-1] for name in trained if ".lora_" in name}
    assert adapted == {"q_proj", "v_proj"}
    assert sum("trainable_tokens_delta" in name for name in trained) == 2
    frozen = {name for name, p in stage.named_parameters() if not p.requires_grad}
    for part in ("clip.", "encoder.sam.", "decoder.prompt_encoder.", "decoder.presence_head."):
        assert any(name.startswith(part) for name in frozen)
        assert not any(name.startswith(part) for name in trained)


def test_the_loss_has_the_papers_weights(stage: SampleStage, batch: SampleBatch) -> None:
    losses = stage(batch)
    assert set(losses) == {"text", "bce", "dice", "loss"}
    total = 1.0 * losses["text"] + 2.0 * losses["bce"] + 0.5 * losses["dice"]
    torch.testing.assert_close(losses["loss"], total)
    other = _stage(weights=LossWeights(text=0.5, bce=3.0, dice=0.0))(batch)
    torch.testing.assert_close(other["loss"], 0.5 * other["text"] + 3.0 * other["bce"])


def test_a_refusal_has_no_map_to_be_judged(stage: SampleStage, batch: SampleBatch) -> None:
    stage.eval()
    with torch.no_grad():
        out = stage.read(batch)
        losses = stage.losses_of(out, batch)
    stage.train()
    assert out.asked.tolist() == [True, True, False]
    bce = mask_bce(out.logits, batch.truth, changed_pixel=2.0)
    torch.testing.assert_close(losses["bce"], bce[:2].mean())
    torch.testing.assert_close(losses["dice"], mask_dice(out.logits, batch.truth)[:2].mean())


def test_refusals_alone_still_reach_every_weight(stage: SampleStage, batch: SampleBatch) -> None:
    stage.zero_grad()
    stage(replace(batch, answers=(ANSWERS[2],) * 3))["loss"].backward()
    without = [name for name, p in stage.named_parameters() if p.requires_grad and p.grad is None]
    # Whatever its samples, every process must have gradients for the same parameters.
    assert without == []


def test_presence_and_quality_are_trained_where_they_weigh(batch: SampleBatch) -> None:
    stage = _stage(presence=0.4, quality=0.2)
    losses = stage(batch)
    total = losses["text"] + 2.0 * losses["bce"] + 0.5 * losses["dice"]
    torch.testing.assert_close(losses["loss"], total + 0.4 * losses["presence"] + 0.2 * losses["quality"])
    losses["loss"].backward()
    for head in (stage.decoder.presence_head, stage.decoder.mask_decoder.iou_prediction_head):
        assert all(p.grad is not None and p.grad.any() for p in head.parameters())


def test_presence_is_known_where_the_mask_is(batch: SampleBatch) -> None:
    asked = torch.tensor([True, True, False])
    assert presence_of(batch.truth, asked).tolist() == [1, 255, 255]
    empty = torch.zeros(1, 4, 4, dtype=torch.uint8)
    assert presence_of(empty, torch.tensor([True])).tolist() == [0]


def test_maps_are_those_of_the_encoder_that_is_exported(stage: SampleStage, batch: SampleBatch) -> None:
    stage.eval()
    with torch.no_grad():
        sam = stage.encoder.sam(batch.images[0].float())
        fused = stage.fuse(batch.images[:1], sam[None])
        torch.testing.assert_close(fused, stage.encoder(batch.images[:1]))
    stage.train()


def test_checkpointed_activations_change_nothing(stage: SampleStage, batch: SampleBatch) -> None:
    other = _stage(checkpoint_activations=True)
    gradients = []
    for one in (stage, other):
        one.zero_grad()
        one.train()
        one(batch)["loss"].backward()
        found = dict(one.named_parameters())
        gradients.append(
            {n: found[n].grad for n in found if ".lora_B" in n or n.startswith("reasoner.clip_projection")}
        )
    for name, gradient in gradients[0].items():
        assert gradient is not None
        # Without checkpoints a pair's prefix is computed apart: the same sums in another order.
        atol = 5e-3 * float(gradient.abs().max())
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=atol)


def test_bfloat16_is_close_to_float32(stage: SampleStage, batch: SampleBatch) -> None:
    stage.eval()
    with torch.no_grad():
        exact = stage(batch)["loss"]
        set_precision(stage, "bfloat16")
        rounded = stage(batch)["loss"]
    set_precision(stage, "float32")
    stage.train()
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, rtol=0.02, atol=0.02)
