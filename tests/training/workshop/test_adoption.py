"""Going on from a finished checkpoint, and training another reasoner against its prompt space."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gateway.embedded import load_engines
from gateway.pipeline import Pipeline
from reasoncd.checkpoint import Checkpoint
from reasoncd.errors import CheckpointError, InvalidInputError, NotFoundError
from reasoncd.ontology import TARGETS
from reasoncd.tensors import Tensor
from services.mask_decoder.model import Prompts
from training import calibration, recipes
from training.data.sample import sample_pair
from training.prompt_table import kept_space, kept_table, table_of
from training.recipes import Recipe
from training.run import saves
from training.run.loop import WEIGHTS_FILE
from training.run.saves import write_weights
from training.stages.vision import REFINER
from training.workshop.adoption import START_FILE, adopt
from training.workshop.workshop import Workshop

pytestmark = pytest.mark.contract

SAME_FILES = (
    "vision_encoder/clip.safetensors",
    "vision_encoder/change_features.safetensors",
    "mask_decoder/mask_decoder.safetensors",
    "mask_decoder/prompt_table.safetensors",
)


@pytest.fixture
def scaled_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads whose scaling is no identity: fitted again, their last bits would move."""
    monkeypatch.setattr(calibration, "presence_scaling", lambda *given: (1.37, -0.21))
    monkeypatch.setattr(calibration, "quality_scaling", lambda *given: (0.73, 0.05))


def _with_refiner() -> Recipe:
    """`paper_tiny` that follows corrections; sample files could not teach it."""
    recipe = recipes.paper_tiny()
    return replace(recipe, decoder=replace(recipe.decoder, refines_corrections=True), samples=None)


def _other_reasoner() -> Recipe:
    """`paper_tiny` with a smaller language model: another reasoner for the same decoder."""
    recipe = recipes.paper_tiny()
    llm = replace(recipe.reasoner.llm, width=32, mlp_width=64)
    return replace(recipe, reasoner=replace(recipe.reasoner, llm=llm))


def test_a_checkpoint_keeps_the_prompts_it_was_trained_with(paper_tiny: Path) -> None:
    table = table_of(Checkpoint.open(paper_tiny))
    assert table.dtype == torch.float32
    assert table.shape == (44, recipes.paper_tiny().decoder.embed_dim)


def test_stages_begin_where_the_checkpoint_ends(paper_tiny: Path, tmp_path: Path) -> None:
    assert adopt(paper_tiny, tmp_path, recipes.paper_tiny())
    checkpoint = Checkpoint.open(paper_tiny)
    assert torch.equal(kept_table(tmp_path), table_of(checkpoint))
    assert kept_space(tmp_path) == checkpoint.seg_space
    workshop = Workshop(recipes.paper_tiny(), tmp_path, say=lambda line: None)
    # Without a further step, what is exported is what was adopted.
    workshop.export(tmp_path / "again", "# tiny\n")
    for name in (*SAME_FILES, "reasoner/adapter_model.safetensors", "reasoner/projections.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (paper_tiny / name).read_bytes(), name


def test_another_reasoner_leaves_encoder_and_decoder_untouched(paper_tiny: Path, tmp_path: Path) -> None:
    recipe = _other_reasoner()
    assert not adopt(paper_tiny, tmp_path, recipe)
    workshop = Workshop(recipe, tmp_path, say=lambda line: None)
    workshop.reasoner()
    workshop.export(tmp_path / "upgraded", "# tiny\n")
    before, after = Checkpoint.open(paper_tiny), Checkpoint.open(tmp_path / "upgraded")
    for name in SAME_FILES:
        assert (after.path / name).read_bytes() == (before.path / name).read_bytes(), name
    for part in ("vision_encoder", "mask_decoder"):
        assert after.fingerprint(part) == before.fingerprint(part)
    assert after.fingerprint("reasoner") != before.fingerprint("reasoner")
    assert after.seg_space == before.seg_space


def test_scaled_heads_and_thresholds_stay_where_vision_was_not_trained_on(
    paper_tiny: Path, tmp_path: Path, scaled_heads: None
) -> None:
    recipe = recipes.paper_tiny()
    adopt(paper_tiny, tmp_path / "one", recipe)
    workshop = Workshop(recipe, tmp_path / "one", say=lambda line: None)
    workshop.vision()
    scaled = workshop.export(tmp_path / "scaled", "# tiny\n")
    assert scaled.calibration is not None
    assert adopt(tmp_path / "scaled", tmp_path / "two", recipe)
    again = Workshop(recipe, tmp_path / "two", say=lambda line: None).export(tmp_path / "again", "# tiny\n")
    assert (again.thresholds, again.calibration) == (scaled.thresholds, None)
    for name in SAME_FILES:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "scaled" / name).read_bytes(), name
    # A recipe that answers otherwise has its numbers chosen anew.
    adopt(tmp_path / "scaled", tmp_path / "three", _in_both_orders())
    both = Workshop(_in_both_orders(), tmp_path / "three", say=lambda line: None)
    assert both.export(tmp_path / "both", "# tiny\n").calibration is not None


def test_how_much_is_dropped_in_training_makes_no_other_reasoner(paper_tiny: Path, tmp_path: Path) -> None:
    recipe = recipes.paper_tiny()
    reasoner = recipe.reasoner
    dropping = replace(recipe, reasoner=replace(reasoner, lora=replace(reasoner.lora, dropout=0.2)))
    assert adopt(paper_tiny, tmp_path, dropping)
    assert (tmp_path / "reasoner" / START_FILE).exists()


def test_the_table_stays_while_vision_goes_on(paper_tiny: Path, tmp_path: Path) -> None:
    adopt(paper_tiny, tmp_path, recipes.paper_tiny())
    workshop = Workshop(recipes.paper_tiny(), tmp_path, say=lambda line: None)
    table = kept_table(tmp_path)
    start = load_file(tmp_path / "vision" / START_FILE)
    workshop.vision()
    done = load_file(workshop.weights_of("vision"))
    assert torch.equal(kept_table(tmp_path), table)
    assert torch.equal(done["table.rows"], start["table.rows"])
    assert any(not torch.equal(done[n], t) for n, t in start.items() if n.startswith("decoder."))


def test_a_stage_cut_off_is_not_taken_for_finished(paper_tiny: Path, tmp_path: Path) -> None:
    adopt(paper_tiny, tmp_path, recipes.paper_tiny())
    (tmp_path / "vision" / "latest").write_text("step3")
    with pytest.raises(NotFoundError, match="run vision"):
        Workshop(recipes.paper_tiny(), tmp_path).weights_of("vision")


def test_other_sizes_and_used_folders_are_refused(paper_tiny: Path, tmp_path: Path) -> None:
    recipe = recipes.paper_tiny()
    wider = replace(recipe, decoder=replace(recipe.decoder, mlp_dim=128))
    with pytest.raises(CheckpointError, match="mask_decoder of other sizes"):
        adopt(paper_tiny, tmp_path / "wider", wider)
    (tmp_path / "used" / "reasoner").mkdir(parents=True)
    with pytest.raises(InvalidInputError, match="name an empty folder"):
        adopt(paper_tiny, tmp_path / "used", recipe)


def _in_both_orders() -> Recipe:
    recipe = recipes.paper_tiny()
    return replace(
        recipe,
        vision=replace(recipe.vision, both_orders=True),
        decoder=replace(recipe.decoder, both_orders=True),
        samples=None,
    )


def test_a_checkpoint_may_answer_in_both_orders_with_the_same_weights(
    paper_tiny: Path, tmp_path: Path
) -> None:
    recipe = _in_both_orders()
    adopt(paper_tiny, tmp_path, recipe)
    Workshop(recipe, tmp_path, say=lambda line: None).export(tmp_path / "both", "# both\n")
    names = ("vision_encoder/change_features.safetensors", "mask_decoder/prompt_table.safetensors")
    for name in names:
        assert (tmp_path / "both" / name).read_bytes() == (paper_tiny / name).read_bytes(), name
    vision, reasoner, decoder = load_engines(tmp_path / "both")
    pair = sample_pair(size=128)
    images = np.stack([pair.image_t1, pair.image_t2])
    table = table_of(Checkpoint.open(tmp_path / "both"))
    rows = {target.key: row for row, target in enumerate(TARGETS)}
    answers = []
    for order, key in ((images, "building.gain"), (images[::-1], "building.loss")):
        fused = vision.encode_for_decoding(np.ascontiguousarray(order))
        assert fused.shape == (2, *recipe.decoder.fused_shape[1:])
        answers.append(decoder.decode(fused, Tensor.from_numpy(table[rows[key]].numpy()[None])))
    one, other = answers
    np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)
    np.testing.assert_allclose(one.presence, other.presence, atol=1e-5)
    # Parts of two checkpoints that differ in this do not fit.
    with pytest.raises(CheckpointError, match=r"gives fused_map as .*2, 32, 8, 8.* but mask_decoder"):
        Pipeline(vision, reasoner, load_engines(paper_tiny)[2])


@pytest.mark.parametrize("written", range(5))
def test_an_adoption_cut_off_leaves_no_stage_without_its_table(
    paper_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Its files are the table, and the weights of reasoner, vision, SAM and CLIP."""
    recipe = recipes.paper_tiny()
    left = [written]

    def full(*given: Any) -> None:
        if not left[0]:
            raise OSError("the disk is full")
        left[0] -= 1
        save_file(*given)

    with monkeypatch.context() as patch:
        patch.setattr(saves, "save_file", full)
        with pytest.raises(OSError, match="the disk is full"):
            adopt(paper_tiny, tmp_path, recipe)
    workshop = Workshop(recipe, tmp_path, say=lambda line: None)
    if written < 3:
        with pytest.raises(NotFoundError, match="run sam"):
            workshop.vision()
        return
    workshop.vision()
    assert torch.equal(kept_table(tmp_path), table_of(Checkpoint.open(paper_tiny)))
    with pytest.raises(NotFoundError, match="run clip"):
        workshop.reasoner()


@pytest.mark.parametrize("adopted_in_both", [False, True])
def test_thresholds_hang_on_the_recipe_of_the_export_alone(
    paper_tiny: Path, tmp_path: Path, adopted_in_both: bool
) -> None:
    one, both = recipes.paper_tiny(), _in_both_orders()
    adopt(paper_tiny, tmp_path / "folder", both if adopted_in_both else one)
    for recipe, kept in ((one, True), (both, False)):
        workshop = Workshop(recipe, tmp_path / "folder", say=lambda line: None)
        exported = workshop.export(tmp_path / str(kept), "# tiny\n")
        assert (exported.calibration is None) == kept


def test_only_what_was_trained_can_stay(tmp_path: Path) -> None:
    recipe = recipes.paper_tiny()
    plan = recipe.staged
    part = replace(recipe, stages=replace(plan, vision=replace(plan.vision, learns="decoder")))
    with pytest.raises(InvalidInputError, match=r"learns is decoder, but .* adopt a checkpoint first"):
        Workshop(part, tmp_path, say=lambda line: None).vision()


def test_the_decoder_learns_over_features_that_stay(paper_tiny: Path, tmp_path: Path) -> None:
    recipe = recipes.paper_tiny()
    plan = recipe.staged
    part = replace(recipe, stages=replace(plan, vision=replace(plan.vision, learns="decoder")))
    adopt(paper_tiny, tmp_path, part)
    workshop = Workshop(part, tmp_path, say=lambda line: None)
    workshop.vision()
    start, done = load_file(tmp_path / "vision" / START_FILE), load_file(workshop.weights_of("vision"))
    assert all(torch.equal(done[n], t) for n, t in start.items() if n.startswith("encoder."))
    assert any(not torch.equal(done[n], t) for n, t in start.items() if n.startswith("decoder."))


def test_a_checkpoint_may_grow_and_answers_as_before(paper_tiny: Path, tmp_path: Path) -> None:
    recipe = recipes.paper_tiny()
    vision = replace(recipe.vision, fusion=replace(recipe.vision.fusion, context_blocks=2))
    grown = replace(recipe, vision=vision, decoder=replace(recipe.decoder, presence_reads_mask=True))
    adopt(paper_tiny, tmp_path, grown)
    workshop = Workshop(grown, tmp_path, say=lambda line: None)
    stages = []
    for plan, at in ((recipe, paper_tiny), (grown, tmp_path)):
        shop = workshop
        if plan is recipe:
            shop = Workshop(recipe, tmp_path / "old", say=lambda line: None)
            adopt(at, tmp_path / "old", recipe)
        stage = shop.vision_stage()
        shop.load_finished(stage, "vision")
        stages.append(stage.eval())
    images = torch.randint(256, (1, 2, 3, 128, 128), generator=torch.Generator().manual_seed(0)).byte()
    seg, first = torch.ones(1, recipe.decoder.embed_dim), torch.tensor([0])
    with torch.no_grad():
        maps = [stage.encoder(images) for stage in stages]
        old, new = (s.decoder(m, Prompts(seg=seg), first) for s, m in zip(stages, maps, strict=True))
    assert torch.equal(*maps)
    assert torch.equal(old.mask_logits, new.mask_logits)
    torch.testing.assert_close(old.presence_logits, new.presence_logits)
    # Smaller it may not become.
    workshop.vision()
    workshop.export(tmp_path / "grown", "# grown\n")
    with pytest.raises(CheckpointError, match="other sizes"):
        adopt(tmp_path / "grown", tmp_path / "back", recipe)


def test_corrections_alone_leave_every_other_answer_and_the_thresholds(
    paper_tiny: Path, tmp_path: Path, scaled_heads: None
) -> None:
    recipe = _with_refiner()
    vision = replace(recipe.staged.vision, learns="corrections")
    corrections = replace(recipe, stages=replace(recipe.staged, vision=vision))
    adopt(paper_tiny, tmp_path / "folder", corrections)
    workshop = Workshop(corrections, tmp_path / "folder", say=lambda line: None)
    workshop.vision()
    exported = workshop.export(tmp_path / "corrected", "# tiny\n")
    before, after = Checkpoint.open(paper_tiny), Checkpoint.open(tmp_path / "corrected")
    assert exported.calibration is None
    assert (after.presence_threshold, after.probability_threshold) == (
        before.presence_threshold,
        before.probability_threshold,
    )
    for part in ("vision_encoder", "reasoner"):
        assert after.fingerprint(part) == before.fingerprint(part)
    old, new = (load_file(c.safetensors("mask_decoder", "mask_decoder")) for c in (before, after))
    assert all(torch.equal(new.pop(name), tensor) for name, tensor in old.items())
    assert new
    assert all(name.startswith("correction_refiner.") for name in new)
    assert new["correction_refiner.logits.weight"].any()
    # And the next training goes on from there, with the same numbers again.
    assert adopt(tmp_path / "corrected", tmp_path / "next", corrections)
    again = Workshop(corrections, tmp_path / "next", say=lambda line: None).export(
        tmp_path / "again", "# tiny\n"
    )
    assert again.thresholds == exported.thresholds


def test_what_is_grown_begins_alike_whatever_the_seed(paper_tiny: Path, tmp_path: Path) -> None:
    starts = []
    for seed in (11, 12):
        recipe = _with_refiner()
        run = replace(recipe.staged.vision.run, seed=seed)
        grown = replace(
            recipe,
            vision=replace(recipe.vision, fusion=replace(recipe.vision.fusion, context_blocks=1)),
            stages=recipe.staged.with_run("vision", run),
        )
        adopt(paper_tiny, tmp_path / str(seed), grown)
        starts.append(load_file(tmp_path / str(seed) / "vision" / START_FILE))
    assert any(name.startswith(REFINER) for name in starts[0])
    assert all(torch.equal(tensor, starts[1][name]) for name, tensor in starts[0].items())


@pytest.mark.parametrize(
    ("name", "kept"),
    [("decoder.correction_refiner.logits.bias", True), ("decoder.presence_head.0.bias", False)],
)
def test_thresholds_stay_only_where_nothing_but_the_refiner_moved(
    paper_tiny: Path, tmp_path: Path, name: str, kept: bool
) -> None:
    recipe = _with_refiner()
    adopt(paper_tiny, tmp_path, recipe)
    # As after a training, or the mean of several.
    state = load_file(tmp_path / "vision" / START_FILE)
    state[name] = state[name] + 0.25
    write_weights(state, tmp_path / "vision" / WEIGHTS_FILE)
    exported = Workshop(recipe, tmp_path, say=lambda line: None).export(tmp_path / "out", "# tiny\n")
    assert (exported.calibration is None) == kept


def test_joint_tuning_leaves_the_refiner_as_it_is(paper_tiny: Path, tmp_path: Path) -> None:
    recipe = _with_refiner()
    adopt(paper_tiny, tmp_path, recipe)
    workshop = Workshop(recipe, tmp_path, say=lambda line: None)
    workshop.joint()
    start, done = (load_file(tmp_path / name) for name in (f"vision/{START_FILE}", f"joint/{WEIGHTS_FILE}"))
    assert not any("correction_refiner" in name for name in done)
    assert any("presence_head" in name for name in done)
    exported = workshop.export(tmp_path / "out", "# tiny\n")
    assert exported.calibration is not None
    after = load_file(Checkpoint.open(tmp_path / "out").safetensors("mask_decoder", "mask_decoder"))
    for name, tensor in start.items():
        # The head of what it adds to the confidence is scaled with the confidence.
        if name.startswith(REFINER) and ".quality." not in name:
            written = after[name.removeprefix("decoder.")]
            assert torch.equal(written, tensor.to(written.dtype)), name
