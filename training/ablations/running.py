"""Runs the arms of an ablation one after the other, each from where it was cut off, and writes the table."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasoncd.config import from_dict, parse_json, read_json, to_dict, write_json
from reasoncd.errors import CorruptDataError, InvalidInputError
from training.ablations.absence_trial import absence_arm
from training.ablations.arms import Arm, TrialName
from training.ablations.comparison import Row, as_json, as_markdown, compare
from training.ablations.measures import Measure
from training.ablations.plan import Plan, sha256_of
from training.ablations.queries import load_queries
from training.ablations.vision_trial import vision_arm
from training.ablations.words_trial import words_arm
from training.queries import phrases_sha256
from training.recipes import Recipe
from training.run.loop import WEIGHTS_FILE
from training.run.processes import world_size

MEASURED_FILE = "measured.json"
SETTINGS_FILE = "settings.json"
REPORT_FILE = "report.md"

MEASURES_VERSION = 2
"""Raised whenever the same weights give other figures, so that older ones are not compared with them."""

_TRIALS: Mapping[TrialName, Callable[[Plan, Arm, int, Path], tuple[Measure, ...]]] = {
    "vision": vision_arm,
    "words": words_arm,
    "absence": absence_arm,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What an ablation found."""

    rows: tuple[Row, ...]
    markdown: str
    path: Path
    """The Markdown file; the same name with `.json` holds the figures."""


def run_ablation(plan: Plan, *, seeds: int = 2, out: Path | None = None) -> Report:
    """Train and measure every arm with every seed, and compare them.

    Runs that have finished are not repeated; more seeds than before add only what lacks.

    Args:
        plan: what is compared, and how.
        seeds: how often each arm is trained.
        out: Markdown file to write; `report.md` in the ablation's folder if not given.

    Raises:
        InvalidInputError: several processes run, or the folder holds arms that began otherwise.
        NotFoundError: a first stage has not finished, or queries are not there.
        CorruptDataError: what an earlier call measured cannot be read.
    """
    if seeds < 1:
        raise InvalidInputError(f"seeds is {seeds}; give at least 1")
    if world_size() > 1:
        raise InvalidInputError("ablations run in one process; start several of them on several machines")
    path = out or plan.folder / REPORT_FILE
    if path.suffix == ".json":
        raise InvalidInputError(f"{path} would be overwritten by the figures; name a Markdown file")
    starts = {name: sha256_of(file) for name, file in plan.start_files().items()}
    _keep_settings(plan, starts)
    asked = _measured_on(plan)
    results = {
        arm.name: {seed: _measures(plan, arm, seed, asked) for seed in range(seeds)}
        for arm in plan.ablation.arms
    }
    rows = tuple(compare(results))
    equal = _equal(plan, starts, asked, seeds)
    markdown = as_markdown(plan.ablation, rows, equal)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown, encoding="utf-8")
    write_json(path.with_suffix(".json"), as_json(plan.ablation, rows, equal))
    return Report(rows=rows, markdown=markdown, path=path)


def _measures(plan: Plan, arm: Arm, seed: int, asked: Mapping[str, Any]) -> tuple[Measure, ...]:
    """Of one run: as it was measured before, or after training it to its end."""
    folder = plan.run_folder(arm, seed)
    path = folder / MEASURED_FILE
    if path.exists():
        content = _read(path)
        if content.get("on") == asked and content.get("version") == MEASURES_VERSION:
            plan.workshop.say(f"{plan.ablation.name}: {arm.name}, seed {seed} is measured already")
            return tuple(Measure.from_json(value, str(path)) for value in content["measures"])
    plan.workshop.say(f"{plan.ablation.name}: {arm.name}, seed {seed}")
    _take_over(plan, arm, seed)
    measures = _TRIALS[plan.ablation.trial](plan, arm, seed, folder)
    content = {"on": asked, "version": MEASURES_VERSION, "measures": [m.as_json() for m in measures]}
    write_json(path, content)
    return measures


def _take_over(plan: Plan, arm: Arm, seed: int) -> None:
    """What another ablation has trained alike to its end is not trained again."""
    weights = plan.run_folder(arm, seed) / WEIGHTS_FILE
    if weights.exists():
        return
    for other, twin in plan.alike(arm):
        trained = other.run_folder(twin, seed) / WEIGHTS_FILE
        if trained.exists() and _settings_of(other) == _settings_of(plan):
            plan.workshop.say(f"trained already as {twin.name} of {other.ablation.name}")
            weights.parent.mkdir(parents=True, exist_ok=True)
            part = weights.with_suffix(".part")
            shutil.copyfile(trained, part)
            part.replace(weights)
            return


def _read(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(path.read_bytes())
    except ValueError as error:
        raise CorruptDataError(f"{path} is no JSON ({error}); delete it to measure again") from error
    if not isinstance(content.get("measures"), list):
        raise CorruptDataError(f"{path} holds no measures; delete it to measure again")
    return content


def _keep_settings(plan: Plan, starts: Mapping[str, str]) -> None:
    """Arms of one folder must have begun alike; the first call writes down how."""
    settings = {"recipe": to_dict(plan.recipe), "steps": plan.steps, "starts": dict(starts)}
    if plan.ablation.trial != "vision":
        settings["phrases"] = phrases_sha256()
    kept = _settings_of(plan)
    if kept is None:
        plan.folder.mkdir(parents=True, exist_ok=True)
        write_json(plan.folder / SETTINGS_FILE, settings)
    elif kept != settings:
        raise InvalidInputError(
            f"arms in {plan.folder} began with another recipe, other weights or other phrases; move that "
            "folder away"
        )


def _settings_of(plan: Plan) -> dict[str, Any] | None:
    """How the arms in a plan's folder began; None where there are none yet.

    Those that an earlier version wrote get the fields that recipes have got since.
    """
    path = plan.folder / SETTINGS_FILE
    if not path.exists():
        return None
    kept = read_json(path)
    recipe = from_dict(Recipe, kept.get("recipe", {}), where=f"{path}: recipe")
    return {**kept, "recipe": to_dict(recipe)}


def _measured_on(plan: Plan) -> dict[str, Any]:
    """What figures were measured on, so that others are measured again."""
    if plan.ablation.trial == "words":
        load_queries(plan.queries)
        return {"queries": plan.queries.name, "sha256": sha256_of(plan.queries)}
    return {listed.kind: {"pairs": plan.pairs, "sha256": listed.sha256} for listed in plan.measured_pairs()}


def _equal(plan: Plan, starts: Mapping[str, str], asked: Mapping[str, Any], seeds: int) -> list[str]:
    """What was the same, one sentence each."""
    numbers = ", ".join(map(str, range(seeds)))
    lines = [
        f"recipe {plan.recipe.name}, {plan.steps} steps a run, seeds {numbers}",
        "start: " + ", ".join(f"{name} (SHA-256 {digest[:12]})" for name, digest in starts.items()),
    ]
    if plan.ablation.trial == "words":
        mode = "explained" if plan.ablation.explained else "short"
        lines.append(
            f"measured on {asked['queries']} (SHA-256 {asked['sha256'][:12]}), {mode} answers, free-running"
        )
    else:
        lists = [f"{on['pairs']} {kind}s (SHA-256 {on['sha256'][:12]})" for kind, on in asked.items()]
        lines.append(f"measured on validation pairs: {', '.join(lists)}")
    return [*lines, *plan.ablation.equal]
