"""Every ablation end to end at test size: trained, measured, compared, and not twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError
from training import calibration, recipes
from training.ablations import absence_trial, running
from training.ablations.names import AblationName
from training.ablations.plan import Plan
from training.ablations.running import MEASURED_FILE, run_ablation
from training.cli import app
from training.data.fixed_pairs import pairs_sha256
from training.prompt_table import kept_table
from training.recipes import Recipe
from training.run.loop import WEIGHTS_FILE
from training.workshop.workshop import Workshop

pytestmark = pytest.mark.contract

PlanOf = Callable[..., Plan]
WORDS = (
    AblationName.LORA_RANK,
    AblationName.LORA_TARGETS,
    AblationName.REASON_ORDER,
    AblationName.MISSING_SEG,
)


def _with_real_data() -> Recipe:
    recipe = recipes.paper_tiny()
    bank = replace(recipe.staged.bank, real_data=True)
    return replace(recipe, stages=replace(recipe.staged, bank=bank))


@pytest.mark.parametrize("name", WORDS)
def test_text_arms(plan_of: PlanOf, name: AblationName) -> None:
    plan = plan_of(name)
    report = run_ablation(plan, seeds=1)
    arms = [arm.name for arm in plan.ablation.arms]
    assert [row.arm for row in report.rows[: len(arms)]] == arms
    measured = {row.measure: row.units for row in report.rows}
    assert measured == {
        "class and direction right": 2,
        "class and direction right, level D1": 1,
        "class and direction right, level D2": 1,
        "class right": 2,
        "direction right": 2,
        "`<SEG>` written": 2,
        "right row nearest": 2,
        "off-topic refused": 1,
    }
    assert report.path.read_text() == report.markdown


def test_vision_arms_share_the_table_and_differ_in_the_encoder(plan_of: PlanOf, adopted: Path) -> None:
    plan = plan_of(AblationName.FUSION)
    report = run_ablation(plan, seeds=1)
    assert {row.measure for row in report.rows} == {
        "macro F1, scenes",
        "wrong-direction share, scenes (less is better)",
        "presence told right, scenes",
    }
    on, off = (load_file(plan.folder / arm / "seed0" / WEIGHTS_FILE) for arm in ("on", "off"))
    for weights in (on, off):
        assert weights["table.rows"].equal(kept_table(adopted))
    sam = load_file(adopted / "sam" / WEIGHTS_FILE)
    assert all(on[name].equal(off[name]) for name in on if name.startswith("encoder.sam."))
    for name, tensor in sam.items():
        assert on[name.replace("encoder.", "encoder.sam.", 1)].equal(tensor)
    assert any(name.startswith("encoder.fpn.") for name in on)
    assert not any(name.startswith("encoder.fpn.") for name in off)


def test_vision_arms_are_corrected_as_often_as_the_recipe_says(plan_of: PlanOf) -> None:
    recipe = recipes.paper_tiny()
    vision = replace(recipe.staged.vision, click_share=0.6)
    plan = plan_of(AblationName.FUSION, replace(recipe, stages=replace(recipe.staged, vision=vision)))
    for arm in plan.ablation.arms:
        assert plan.workshop_of(arm, "vision", seed=0).vision_stage().click_share == 0.6


def test_real_composites_against_as_many_scenes(
    plan_of: PlanOf, fake_data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REASONCD_DATA", str(fake_data_root))
    plan = plan_of(AblationName.REAL_COMPOSITES, _with_real_data())
    real, scenes = plan.bank(), plan.bank(scenes_only=True)
    assert len(real) == len(scenes) == 2 * plan.recipe.staged.vision.run.micro_batch
    assert {scenes[i].origin for i in range(len(scenes))} == {"scene"}
    assert {real[i].origin for i in range(len(real))} != {"scene"}
    report = run_ablation(plan, seeds=1)
    assert {row.measure for row in report.rows} >= {"macro F1, composites", "macro F1, scenes"}


def _in_both_orders() -> Recipe:
    recipe = recipes.paper_tiny()
    vision, decoder = replace(recipe.vision, both_orders=True), replace(recipe.decoder, both_orders=True)
    return replace(recipe, vision=vision, decoder=decoder, samples=None)


@pytest.mark.parametrize(("recipe", "steps"), [(recipes.paper_tiny(), 2), (_in_both_orders(), 1)])
def test_absence_by_the_head_and_by_the_language_model(plan_of: PlanOf, recipe: Recipe, steps: int) -> None:
    report = run_ablation(plan_of(AblationName.ABSENCE, recipe, steps=steps), seeds=1)
    measured = {row.measure for row in report.rows}
    for name in ("called absent", "map empty"):
        assert f"told apart by {name}, scenes" in measured
        assert measured >= {f"{level}: {name}, scenes" for level in ("N0", "N1", "N2")}
        assert f"present changes: {name}, scenes (less is better)" in measured
    for row in report.rows:
        if "called absent" in row.measure:
            # What is called absent has an empty map.
            empty = row.measure.replace("called absent", "map empty")
            twin = next(r for r in report.rows if (r.measure, r.arm) == (empty, row.arm))
            assert not twin.mean < row.mean


def test_the_presence_head_gets_the_thresholds_of_an_export(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(AblationName.ABSENCE, steps=3)
    calibrated: list[str] = []

    def calibrate(*given: Any) -> calibration.Calibration:
        calibrated.append(pairs_sha256(given[-1]))
        return calibration.calibrate(*given)

    monkeypatch.setattr(absence_trial, "calibrate", calibrate)
    run_ablation(plan, seeds=1)
    assert calibrated == [pairs_sha256(plan.workshop.calibration_pairs())] * 2


def test_what_is_finished_is_not_repeated(plan_of: PlanOf, tmp_path: Path) -> None:
    plan = plan_of(AblationName.MISSING_SEG, steps=1)
    out = tmp_path / "table.md"
    first = run_ablation(plan, seeds=1, out=out)
    assert first.path == out
    assert json.loads(out.with_suffix(".json").read_text())["ablation"] == "missing-seg"
    weights = plan.folder / "on" / "seed0" / WEIGHTS_FILE
    written = weights.stat().st_mtime_ns
    assert run_ablation(plan, seeds=1, out=out).markdown == first.markdown
    (plan.folder / "on" / "seed0" / MEASURED_FILE).unlink()
    again = run_ablation(plan, seeds=2, out=out)
    assert weights.stat().st_mtime_ns == written
    assert [r.seeds[0] for r in again.rows] == [r.seeds[0] for r in first.rows]
    assert all(set(r.seeds) == {0, 1} for r in again.rows)
    assert "seeds 0, 1" in again.markdown
    # Figures of an earlier way of measuring are not compared with those of this one.
    measured = plan.folder / "on" / "seed0" / MEASURED_FILE
    content = json.loads(measured.read_text())
    stale = [{**one, "counts": [[0, 1] for _ in one["counts"]]} for one in content["measures"]]
    measured.write_text(json.dumps({**content, "version": content["version"] - 1, "measures": stale}))
    assert run_ablation(plan, seeds=2, out=out).markdown == again.markdown
    # Other queries are asked of the same weights.
    other = tmp_path / "queries.yaml"
    other.write_text("queries: [{level: D9, target: water.loss, q: where did the lake go}]")
    asked = run_ablation(replace(plan, queries=other), seeds=1, out=out)
    assert "level D9" in asked.markdown
    assert weights.stat().st_mtime_ns == written


def test_what_another_ablation_has_trained_is_not_trained_again(plan_of: PlanOf) -> None:
    first = plan_of(AblationName.MISSING_SEG, steps=3)
    run_ablation(first, seeds=1)
    said = first.workshop.say.__self__  # type: ignore[attr-defined]
    second = plan_of(AblationName.LORA_TARGETS, steps=3)
    run_ablation(second, seeds=1)
    assert [line for line in said if "trained already" in line] == ["trained already as on of missing-seg"]
    on, taken = (plan.folder / arm / "seed0" / WEIGHTS_FILE for plan, arm in ((first, "on"), (second, "qv")))
    assert taken.read_bytes() == on.read_bytes()
    # It is what its own training would have made.
    (second.folder / "qv" / "seed0" / MEASURED_FILE).unlink()
    taken.unlink()
    (first.folder / "on" / "seed0" / WEIGHTS_FILE).rename(first.folder / "away")
    run_ablation(second, seeds=1)
    anew, kept = load_file(taken), load_file(first.folder / "away")
    assert anew.keys() == kept.keys()
    assert all(anew[name].equal(kept[name]) for name in kept)
    # Another recipe trains for itself.
    (first.folder / "away").rename(first.folder / "on" / "seed0" / WEIGHTS_FILE)
    recipe = recipes.paper_tiny()
    other = replace(recipe, losses=replace(recipe.losses, text=0.5))
    said.clear()
    run_ablation(plan_of(AblationName.LORA_RANK, other, steps=3), seeds=1)
    assert not [line for line in said if "trained already" in line]


def test_arms_that_began_otherwise_are_not_added_to(plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(AblationName.MISSING_SEG, steps=1)
    run_ablation(plan, seeds=1)
    recipe = recipes.paper_tiny()
    other = replace(recipe, losses=replace(recipe.losses, text=0.5))
    refused = "another recipe, other weights or other phrases; move that folder away"
    with pytest.raises(InvalidInputError, match=refused):
        run_ablation(plan_of(AblationName.MISSING_SEG, other, steps=1), seeds=1)
    with monkeypatch.context() as patch:
        patch.setattr(running, "phrases_sha256", lambda: "of more phrases")
        with pytest.raises(InvalidInputError, match=refused):
            run_ablation(plan, seeds=1)
    measured = plan.folder / "on" / "seed0" / MEASURED_FILE
    content = measured.read_text()
    measured.write_text("{")
    with pytest.raises(CorruptDataError, match=r"measured\.json is no JSON .*delete it"):
        run_ablation(plan, seeds=1)
    measured.write_text(content)


def test_what_cannot_be_compared_is_refused(plan_of: PlanOf, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="compares real imagery with drawn scenes"):
        plan_of(AblationName.REAL_COMPOSITES)
    with pytest.raises(InvalidInputError, match="steps is 0"):
        plan_of(AblationName.FUSION, steps=0)
    plan = plan_of(AblationName.FUSION)
    with pytest.raises(InvalidInputError, match=r"table\.json would be overwritten"):
        run_ablation(plan, seeds=1, out=tmp_path / "table.json")
    empty = replace(plan, workshop=Workshop(recipes.paper_tiny(), tmp_path, lambda line: None))
    with pytest.raises(NotFoundError, match="run vision"):
        run_ablation(empty, seeds=1)


def test_the_command(adopted: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.md"
    command = ["ablate", "missing-seg", "--recipe", "paper-tiny", "--folder", str(adopted), "--steps", "1"]
    queries = ["--queries", str(adopted / "queries.yaml"), "--seeds", "1", "--pairs", "2", "--out", str(out)]
    result = CliRunner().invoke(app, [*command, *queries])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == out.read_text().strip()
    absent = CliRunner().invoke(app, [*command, "--queries", str(tmp_path / "absent.yaml")])
    assert absent.exit_code == 2
    assert absent.stderr.splitlines()[-1].startswith("reasoncd-train: ")
    assert "--queries" in absent.stderr
