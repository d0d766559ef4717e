"""Recipes as files: the shipped ones, copies with changes, and what is wrong with a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reasoncd.errors import InvalidInputError, NotFoundError
from services.mask_decoder import config as decoder_config
from services.reasoner import config as reasoner_config
from services.vision_encoder import config as vision_config
from training import recipes
from training.losses import LossWeights
from training.recipes import load_recipe, read_recipe, recipe_names
from training.recipes.reading import FOLDER

pytestmark = pytest.mark.unit

MINIMAL = """
sizes: {preset: paper_tiny}
samples: {epochs: 3, official_weights: false}
"""


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return path


def test_the_shipped_recipes_are_these() -> None:
    assert recipe_names() == ("mini", "paper-bcdd", "paper-second", "paper-tiny")
    for name in recipe_names():
        assert load_recipe(name).name == name


@pytest.mark.parametrize(
    ("name", "preset"), [("mini", "mini"), ("paper-tiny", "paper_tiny"), ("paper-bcdd", "paper")]
)
def test_sizes_are_those_of_the_services(name: str, preset: str) -> None:
    recipe = load_recipe(name)
    assert recipe.preset == preset
    assert recipe.vision == getattr(vision_config, preset)()
    assert recipe.decoder == getattr(decoder_config, preset)()
    assert recipe.reasoner == getattr(reasoner_config, preset)()


@pytest.mark.parametrize("name", ["paper-bcdd", "paper-second"])
def test_the_papers_settings(name: str) -> None:
    recipe = load_recipe(name)
    samples = recipe.samples
    assert samples is not None
    assert recipe.losses == LossWeights(text=1.0, bce=2.0, dice=0.5, missing_seg=10.0)
    assert (samples.learning_rate, samples.warmup_updates, samples.batch, samples.epochs) == (
        5e-5,
        100,
        16,
        100,
    )
    assert (samples.precision, samples.zero_stage, samples.official_weights) == ("float32", 2, True)
    assert (recipe.reasoner.lora.rank, recipe.reasoner.lora.targets) == (8, ("q_proj", "v_proj"))
    # On SECOND the weights with the lowest loss of all epochs, on BCDD early stopping by F1.
    stopping = (samples.best_by, samples.patience)
    assert stopping == (("f1", 10) if name == "paper-bcdd" else ("loss", None))


def test_mini_without_real_data_draws_scenes_only() -> None:
    assert recipes.mini().staged.bank.real_data
    assert not recipes.mini(real_data=False).staged.bank.real_data


def test_a_file_of_your_own(tmp_path: Path) -> None:
    recipe = load_recipe(str(_file(tmp_path, MINIMAL)))
    assert recipe.name == "own"
    assert recipe.samples is not None
    assert recipe.samples.epochs == 3
    assert recipe.losses == LossWeights()
    with pytest.raises(InvalidInputError, match="recipe own has no `stages`; train it with"):
        _ = recipe.staged


def test_single_sizes_can_be_changed(tmp_path: Path) -> None:
    text = """
sizes:
  preset: paper
  sam: vit_b
  vision: {fusion: {multi_scale: false}}
  reasoner: {lora: {rank: 4, targets: [q_proj]}}
samples: {learning_rate: 5e-5}
"""
    recipe = read_recipe(_file(tmp_path, text))
    fusion = replace(vision_config.paper("vit_b").fusion, multi_scale=False)
    assert recipe.vision == replace(vision_config.paper("vit_b"), fusion=fusion)
    assert (recipe.reasoner.lora.rank, recipe.reasoner.lora.targets) == (4, ("q_proj",))
    assert recipe.reasoner.lora.alpha == reasoner_config.paper().lora.alpha
    assert recipe.samples is not None
    assert recipe.samples.learning_rate == 5e-5


def test_a_copied_recipe_reads_the_same(tmp_path: Path) -> None:
    for name in recipe_names():
        copy = _file(tmp_path, (FOLDER / f"{name}.yaml").read_text())
        assert replace(read_recipe(copy), name=name) == load_recipe(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no mapping of field names"),
        ("- one\n", "is no mapping of field names"),
        ("sizes: [", "line .* is no YAML"),
        ("? [a]\n: x\n", "line 1 is no YAML: a list or a mapping is no name of a field"),
        ("about: x\n2001-99-99: x\n", "line 2 is no YAML: `2001-99-99` looks like a date"),
        ("about: !!bool 3\n", "line 1 is no YAML: `3` looks like"),
        ("about: !!timestamp 3\n", "line 1 is no YAML: `3` looks like"),
        ("sizes: {preset: paper_tiny}\n", "a recipe needs `stages`, `samples` or both"),
        (MINIMAL + "sample: {}\n", "field `sample` is unknown; use about, sizes, losses, stages, samples"),
        (MINIMAL + "losses: {bce: 1.0}\nlosses: {dice: 1.0}\n", "field `losses` stands twice"),
        (MINIMAL.replace("paper_tiny", "huge"), "field `preset` is 'huge'; give one of mini, paper"),
        (MINIMAL.replace("paper_tiny", "mini, sam: vit_b"), "field `sam` is 'vit_b'; give one of vit_b"),
        (MINIMAL.replace("paper_tiny", "paper, sam: vit_x"), "field `sam` is 'vit_x'"),
        (MINIMAL.replace("paper_tiny", "paper_tiny, clip: 3"), "sizes: field `clip` is unknown"),
        (MINIMAL.replace("epochs: 3", "epochs: many"), "samples: field `epochs`: .*valid integer"),
        (MINIMAL.replace("epochs: 3", "epoch: 3"), "samples: field `epoch` is unknown"),
        (MINIMAL.replace("epochs: 3", "epochs: 0"), "samples: .*epochs must be at least 1"),
        (MINIMAL.replace("epochs: 3", "batch: 16, micro_batch: 5"), "must be a multiple of micro_batch 5"),
        (MINIMAL.replace("epochs: 3", "turns: 9"), "turns must lie between 1 and 8"),
        (MINIMAL.replace("epochs: 3", "zero_stage: 3"), "samples: field `zero_stage`"),
        (MINIMAL.replace("epochs: 3", "learning_rate: -1"), "learning_rate must be above 0"),
        (
            MINIMAL.replace("paper_tiny}", "paper_tiny, reasoner: {lora: {rank: 0}}}"),
            "sizes.reasoner: .*lora.rank is 0; it must be at least 1",
        ),
        (
            MINIMAL.replace("paper_tiny}", "paper_tiny, decoder: {embed_dim: 64}}"),
            "sizes.vision.out_channels is 32 but the mask decoder's embed_dim 64",
        ),
        (
            MINIMAL.replace("paper_tiny}", "paper_tiny, reasoner: {image_tokens: 9}}"),
            "sizes.reasoner.image_tokens is 9 but the vision encoder gives 256",
        ),
        (
            MINIMAL.replace("paper_tiny}", "paper_tiny, decoder: {both_orders: true}}"),
            "decoder.both_orders is true, but training on sample files makes no table",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        read_recipe(_file(tmp_path, text))
    assert "own.yaml" in caught.value.message
    assert "\n" not in caught.value.message


STAGED = """
sizes: {preset: paper_tiny}
stages:
  bank: {count: 16, size: 128, real_data: false}
  sam: {steps: 2, learning_rate: 1e-3}
  clip: {steps: 2, learning_rate: 1e-3}
  vision: {run: {steps: 6, learning_rate: 2e-3}, queries_per_pair: 2, settle_table: 3}
  reasoner: {run: {steps: 12, learning_rate: 1e-2}, pairs: 2, queries_per_pair: 4}
  joint: {run: {steps: 2, learning_rate: 1e-3}, pairs: 2, queries_per_pair: 2, extra: 2}
  calibration_pairs: 4
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size: 128", "size: 256", "stages.bank.size is 256 but the vision encoder takes 128"),
        ("count: 16", "count: 4", "bank.count is 4, fewer pairs than one batch takes"),
        ("settle_table: 3", "", "stages: field `vision.settle_table` is missing"),
        ("steps: 12,", "steps: 12, best_by: f1,", "reasoner.run.best_by is f1"),
        (
            "settle_table: 3",
            "settle_table: 3, learns: boxes",
            "field `vision.learns`: .*'decoder' or 'corrections'",
        ),
        (
            "settle_table: 3",
            "settle_table: 3, learns: corrections",
            "learns is corrections, but .*refines_corrections is false",
        ),
        (
            "paper_tiny}",
            "paper_tiny, decoder: {refines_corrections: true}}\nsamples: {epochs: 1}",
            "refines_corrections is true, but training on sample files shows no corrections",
        ),
        ("settle_table: 3", "settle_table: 3, click_share: 0.95", "click_share is 0.95; give a share"),
        ("{steps: 6,", "{steps: 6, best_by: loss,", "vision.run.best_by is loss, .*; give f1"),
        ("settle_table: 3", "settle_table: -1", "`vision`: settle_table is -1; it must be at least 0"),
        ("queries_per_pair: 2, settle", "queries_per_pair: 0, settle", "`vision`: queries_per_pair is 0"),
        ("queries_per_pair: 4", "queries_per_pair: 0", "`reasoner`: queries_per_pair is 0"),
        ("pairs: 2, queries_per_pair: 4", "pairs: 0, queries_per_pair: 4", "`reasoner`: pairs is 0"),
        (
            "pairs: 2, queries_per_pair: 2, extra",
            "pairs: 0, queries_per_pair: 2, extra",
            "`joint`: pairs is 0",
        ),
        ("queries_per_pair: 2, extra", "queries_per_pair: 0, extra", "`joint`: queries_per_pair is 0"),
        ("extra: 2", "extra: -1", "`joint`: extra is -1; it must be at least 0"),
        ("calibration_pairs: 4", "calibration_pairs: 0", "calibration_pairs is 0; it must be at least 1"),
        ("count: 16,", "count: 16, seed: -1,", "`bank`: seed is -1; it must not be negative"),
        ("size: 128", "size: 0", "`bank`: size is 0; it must be at least 1"),
        ("{steps: 6,", "{steps: 6, seed: -11,", "`vision.run`: seed is -11; give one from 0 to"),
        ("{steps: 6,", "{steps: 6, seed: 4294967296,", "`vision.run`: seed is 4294967296; give one"),
        ("{steps: 6,", "{steps: 6, save_seconds: -5,", "`vision.run`: save_seconds is -5"),
        ("stages:", "losses: {bce: -2}\nstages:", "losses: .*bce is -2.0; it must not be negative"),
        ("stages:", "losses: {changed_pixel: 0}\nstages:", "changed_pixel is 0.0; it must be above 0"),
        ("paper_tiny}", "paper_tiny, decoder: {both_orders: true}}", "both_orders differ; set both"),
    ],
)
def test_what_is_wrong_with_stages_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert read_recipe(_file(tmp_path, STAGED)).stages is not None
    with pytest.raises(InvalidInputError, match=said):
        read_recipe(_file(tmp_path, STAGED.replace(old, new)))


def test_corrections_alone_have_no_validation(tmp_path: Path) -> None:
    alone = STAGED.replace("paper_tiny}", "paper_tiny, decoder: {refines_corrections: true}}").replace(
        "settle_table: 3", "settle_table: 3, learns: corrections"
    )
    stages = read_recipe(_file(tmp_path, alone)).stages
    assert stages is not None
    assert stages.vision.learns == "corrections"
    judged = alone.replace("{steps: 6,", "{steps: 6, best_by: f1,")
    with pytest.raises(InvalidInputError, match="best_by is f1, but validation makes no corrections"):
        read_recipe(_file(tmp_path, judged))


@pytest.mark.parametrize(
    ("settle_table", "changes", "first"),
    [
        (6, {}, 6),
        (600, {}, 6),
        (2, {"best_by": "f1", "validate_steps": 2}, 2),
        (6, {"best_by": "f1", "validate_steps": 500}, 6),
    ],
)
def test_a_table_is_settled_before_weights_are_handed_on(
    settle_table: int, changes: dict[str, Any], first: int
) -> None:
    plan = recipes.paper_tiny().staged.vision
    late = replace(plan, settle_table=settle_table, run=replace(plan.run, **changes))
    with pytest.raises(InvalidInputError, match=rf"settle_table is {settle_table}, .*before step {first}$"):
        late.check_table()
    replace(late, settle_table=first - 1).check_table()


def test_unknown_names_and_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="recipe 'maxi' is unknown; use one of mini, paper-bcdd"):
        load_recipe("maxi")
    with pytest.raises(NotFoundError, match=r"gone\.yaml is not there; give a recipe's name or"):
        load_recipe(str(tmp_path / "gone.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NotFoundError, match="cannot be read as text"):
        load_recipe(str(tmp_path / "bytes.yaml"))


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [echo]", "sizes: !!python/name:os.system"])
def test_nothing_in_a_file_is_run(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInputError, match="is no YAML"):
        read_recipe(_file(tmp_path, text))


def test_one_stage_can_be_run_longer_and_faster() -> None:
    recipe = recipes.paper_tiny()
    longer = recipe.with_run("vision", steps=9, learning_rate=None).staged
    assert (longer.vision.run.steps, longer.vision.run.learning_rate) == (9, 2e-3)
    assert recipe.with_run("sam", steps=None, learning_rate=0.5).staged.sam.learning_rate == 0.5
    unchanged: Any = recipe.with_run("bank", steps=None, learning_rate=None)
    assert unchanged == recipe.with_run("joint", steps=None, learning_rate=None) == recipe
    with pytest.raises(InvalidInputError, match="stage bank takes no steps; leave out --steps"):
        recipe.with_run("bank", steps=9, learning_rate=None)
    # Nothing is taken for "as it is".
    with pytest.raises(InvalidInputError, match="learning_rate must be above 0"):
        recipe.with_run("sam", steps=None, learning_rate=0.0)
    staged = recipe.staged
    assert longer == replace(staged, vision=replace(staged.vision, run=replace(staged.vision.run, steps=9)))
