"""Stage (a): the prompt table and the sum of the losses."""

from dataclasses import replace

import pytest
import torch

from reasoncd.ontology import TARGETS
from services.mask_decoder import config as decoder_config
from services.mask_decoder.model import Prompts
from services.vision_encoder import config as encoder_config
from training.corrections import click_errors
from training.data.batches import PairBatch
from training.losses import LossWeights
from training.stages import vision
from training.stages.vision import REFINER, Learning, PromptTable, VisionStage, load_backbone

pytestmark = pytest.mark.unit


def _stage(weights: LossWeights | None = None, *, refines_corrections: bool = False) -> VisionStage:
    torch.manual_seed(0)
    decoder = replace(decoder_config.paper_tiny(), refines_corrections=refines_corrections)
    return VisionStage(encoder_config.paper_tiny(), decoder, weights)


def test_prompts_have_unit_variance_and_follow_their_target() -> None:
    torch.manual_seed(0)
    table = PromptTable(16)
    index = torch.tensor([3, 0, 3])
    prompts = table(index)
    assert prompts.shape == (3, 16)
    assert table.prompts().shape == (len(TARGETS), 16)
    torch.testing.assert_close(prompts.var(dim=1, unbiased=False), torch.ones(3), rtol=1e-3, atol=1e-3)
    assert torch.equal(prompts[0], prompts[2])
    assert not torch.equal(prompts[0], prompts[1])


def test_settled_prompts_stay_whatever_becomes_of_the_rows() -> None:
    torch.manual_seed(0)
    table = PromptTable(16)
    optimizer = torch.optim.AdamW(table.parameters(), lr=0.1, weight_decay=0.1)
    table.prompts()[:, 0].sum().backward()
    optimizer.step()
    before, rows = table.prompts(), table.rows.detach().clone()
    assert before.requires_grad
    table.settle(before)
    # As a training step does that did not use the rows: momentum and decay go on.
    table.rows.grad = torch.zeros_like(table.rows)
    optimizer.step()
    assert not torch.equal(table.rows, rows)
    assert not table.prompts().requires_grad
    assert torch.equal(table.prompts(), before)
    assert set(table.state_dict()) == {"rows"}


def test_the_loss_is_the_weighted_sum_of_its_parts(scene_batch: PairBatch) -> None:
    stage = _stage(LossWeights(bce=3.0, dice=0.25))
    losses = stage(scene_batch)
    expected = (
        3.0 * losses["bce"]
        + 0.25 * losses["dice"]
        + 0.8 * losses["presence"]
        + 0.2 * losses["quality"]
        + 0.3 * losses["land"]
        + 0.7 * losses["change"]
    )
    torch.testing.assert_close(losses["loss"], expected)
    assert all(float(v.detach()) > 0 for v in losses.values())


def test_every_part_that_is_exported_learns(scene_batch: PairBatch) -> None:
    stage = _stage()
    stage(scene_batch)["loss"].backward()
    silent = {
        n for n, p in stage.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    }
    allowed = (
        # SAM's ambiguity masks and prompts by click and mask are not asked for in this stage.
        "decoder.prompt_encoder.",
        "decoder.mask_decoder.mask_tokens",
        "decoder.mask_decoder.output_hypernetworks_mlps.",
        # Residual branches that start at zero pass nothing back at first.
        "encoder.fpn.backbone.layer",
    )
    assert {n for n in silent if not n.startswith(allowed)} == set()
    assert stage.table.rows.grad is not None
    asked = set(scene_batch.target_index.tolist())
    learning = set(stage.table.rows.grad.abs().sum(dim=1).nonzero().flatten().tolist())
    assert learning == asked


def test_noise_on_prompts_is_training_only(scene_batch: PairBatch) -> None:
    stage = _stage().eval()
    with torch.no_grad():
        assert stage(scene_batch)["bce"] == stage(scene_batch)["bce"]
        stage.train()
        assert stage(scene_batch)["bce"] != stage(scene_batch)["bce"]


def test_freezing_leaves_the_pyramid_and_the_late_backbone() -> None:
    stage = _stage()
    stage.freeze_pretrained(sam=True, early_backbone=True)
    learning = {n for n, p in stage.named_parameters() if p.requires_grad}
    assert not any(n.startswith("encoder.sam.") for n in learning)
    backbone = {
        n.removeprefix("encoder.fpn.backbone.").split(".")[0] for n in learning if "fpn.backbone" in n
    }
    assert backbone == {"layer2", "layer3", "layer4"}
    for part in (
        "encoder.fpn.pyramid.",
        "encoder.fusion.",
        "decoder.",
        "table.",
        "land_head.",
        "change_head.",
    ):
        assert any(n.startswith(part) for n in learning), part
    untouched = _stage()
    untouched.freeze_pretrained(sam=False, early_backbone=False)
    assert all(
        p.requires_grad for n, p in untouched.named_parameters() if "sam" in n and "pos_embed" not in n
    )


def test_backbone_weights_are_loaded_strictly() -> None:
    stage, other = _stage(), _stage()
    assert other.encoder.fpn is not None
    state = {k: v + 1 for k, v in other.encoder.fpn.backbone.state_dict().items()}
    load_backbone(stage, {**state, "classifier.weight": torch.zeros(1)})
    assert stage.encoder.fpn is not None
    assert all(torch.equal(v, state[k]) for k, v in stage.encoder.fpn.backbone.state_dict().items())
    state.pop("conv1.weight")
    with pytest.raises(ValueError, match=r"lack 1 entries, first conv1\.weight"):
        load_backbone(stage, state)


def test_each_click_is_on_what_is_wrong_after_those_before_it(
    scene_batch: PairBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = _stage().eval()
    # In the middle, not anywhere: two calls click on the same places.
    monkeypatch.setattr(vision, "click_errors", lambda *given, anywhere: click_errors(*given))
    with torch.no_grad():
        fused = stage.encoder.fusion.fuse_pair(stage.encoder.encode_dates(scene_batch.images))
        prompts = Prompts(seg=stage.table(scene_batch.target_index))
        one, two = (stage._clicked(fused, prompts, scene_batch, clicks=n) for n in (1, 2))
        assert one.points is not None and two.points is not None and one.previous_logits is not None
        after_one = stage.decoder(fused, one, scene_batch.pair_index).mask_logits
        place, _ = click_errors(stage.decoder.to_input_size(after_one), scene_batch.truth, 1)
    assert torch.equal(two.points[:, :1], one.points)
    assert torch.equal(two.points[:, 1:], place)
    assert two.previous_logits is not None
    torch.testing.assert_close(two.previous_logits, after_one)


@pytest.mark.parametrize(
    ("part", "learning"),
    [
        ("features", {"encoder", "land_head", "change_head"}),
        ("decoder", {"decoder", "table"}),
        ("all", {"encoder", "land_head", "change_head", "decoder", "table"}),
    ],
)
def test_a_run_may_leave_a_part_as_it_is(scene_batch: PairBatch, part: Learning, learning: set[str]) -> None:
    stage = _stage().train()
    stage.learn_only(part)
    statistics = {n: b.clone() for n, b in stage.encoder.named_buffers()}
    losses = stage(scene_batch)
    losses["loss"].backward()
    assert {n.split(".")[0] for n, p in stage.named_parameters() if p.grad is not None} == learning
    assert ("bce" in losses, "change" in losses) == ("decoder" in learning, "encoder" in learning)
    moved = any(not torch.equal(b, statistics[n]) for n, b in stage.encoder.named_buffers())
    # The fusion's batch statistics are features too.
    assert moved == ("encoder" in learning)


def test_as_many_steps_show_clicks_as_the_recipe_says(
    scene_batch: PairBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = _stage().train()
    stage.learn_only("decoder")
    shown = 0

    def counted(fused: torch.Tensor, prompts: Prompts, batch: PairBatch, *, clicks: int) -> Prompts:
        nonlocal shown
        shown += 1
        return prompts

    monkeypatch.setattr(stage, "_clicked", counted)
    for share, expected in ((0.0, 0), (0.9, 18)):
        stage.click_share, shown = share, 0
        torch.manual_seed(0)
        for _ in range(20):
            stage._corrected(torch.zeros(0), Prompts(seg=torch.zeros(1, 32)), scene_batch)
        assert abs(shown - expected) <= 3


@pytest.mark.parametrize("boxed", [False, True])
def test_corrections_alone_are_learned_in_every_step_and_by_the_refiner_only(
    scene_batch: PairBatch, monkeypatch: pytest.MonkeyPatch, boxed: bool
) -> None:
    monkeypatch.setattr(vision, "BOX_SHARE_ALONE", float(boxed))
    stage = _stage(refines_corrections=True).train()
    stage.learn_only("corrections")
    statistics = {n: b.clone() for n, b in stage.named_buffers()}
    for seed in range(3):
        torch.manual_seed(seed)
        stage.zero_grad()
        stage(scene_batch)["loss"].backward()
        learning = {n for n, p in stage.named_parameters() if p.grad is not None}
        assert learning
        assert all(n.startswith(REFINER) for n in learning)
        refiner = stage.decoder.correction_refiner
        assert refiner is not None
        assert refiner.logits.weight.grad is not None
        assert refiner.logits.weight.grad.any()
        assert refiner.quality.weight.grad is not None
        assert refiner.quality.weight.grad.any()
    assert all(torch.equal(b, statistics[n]) for n, b in stage.named_buffers())


def test_without_a_refiner_corrections_alone_cannot_be_learned() -> None:
    with pytest.raises(ValueError, match="refines_corrections"):
        _stage().learn_only("corrections")
