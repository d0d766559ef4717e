"""What all arms of an ablation share: the working folder, how long they learn, what they are measured on."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from reasoncd.errors import InvalidInputError
from training.ablations.arms import ABLATIONS, Ablation, Arm
from training.data.bank import PairBank, build_bank
from training.data.fixed_pairs import FixedPairs, PairKind, validation_pairs
from training.prompt_table import TABLE_FILE, kept_table
from training.recipes import Recipe
from training.run.config import RunConfig
from training.run.preflight import check_disk
from training.workshop.workshop import Workshop

MEASURED_SEED = 5003
"""Of the validation pairs that arms are measured on; thresholds and reports have other seeds."""

QUERIES = Path(__file__).parents[2] / "benchmarks" / "queries" / "development.yaml"
"""The project's development queries, where the sources lie side by side."""

_START: Mapping[str, tuple[str, ...]] = {
    "vision": ("sam",),
    "words": ("clip",),
    "absence": ("clip", "vision"),
}
"""The stages whose finished weights each kind of arm begins with, beside the settled table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How the arms of one ablation are run."""

    ablation: Ablation
    workshop: Workshop
    """Of the working folder with the finished first stages."""
    steps: int
    pairs: int = 60
    """Of each validation list."""
    queries: Path = QUERIES
    """What text arms are asked."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.pairs < 1:
            raise InvalidInputError(f"steps is {self.steps} and pairs {self.pairs}; give at least 1 of each")
        if self.ablation.needs_real_data and not self.workshop.training.bank.real_data:
            raise InvalidInputError(
                f"{self.ablation.name} compares real imagery with drawn scenes; run it with --real-data and "
                "a recipe that has real data"
            )

    @property
    def recipe(self) -> Recipe:
        """That of the working folder; arms change one thing in it."""
        return self.workshop.recipe

    @property
    def folder(self) -> Path:
        """Of this ablation's arms; those of other lengths have their own."""
        return self.workshop.folder / "ablations" / f"{self.ablation.name}-{self.steps}"

    def run_folder(self, arm: Arm, seed: int) -> Path:
        """Of one arm with one seed."""
        return self.folder / arm.name / f"seed{seed}"

    def alike(self, arm: Arm) -> Iterator[tuple["Plan", Arm]]:
        """The arms of other ablations that train what this arm trains, in their plans."""
        for other in ABLATIONS.values():
            if other is self.ablation or not other.trains_like(self.ablation):
                continue
            plan = replace(self, ablation=other)
            yield from ((plan, one) for one in other.arms if one.trains_like(arm, self.recipe))

    def start_files(self) -> dict[str, Path]:
        """The shared weights by what they are.

        Raises:
            NotFoundError: a first stage has not finished in the working folder.
        """
        # The table is read first: its absence has the plainer sentence.
        kept_table(self.workshop.folder)
        files = {name: self.workshop.weights_of(name) for name in _START[self.ablation.trial]}
        return {"prompt table": self.workshop.folder / TABLE_FILE, **files}

    def run(self, config: RunConfig, seed: int) -> RunConfig:
        """A stage's run, as short as the arms are and with another seed.

        Raises:
            InvalidInputError: the stage cannot run so.
        """
        try:
            return replace(
                config,
                steps=self.steps,
                warmup_steps=min(config.warmup_steps, self.steps // 10),
                seed=config.seed + seed,
                best_by=None,
                patience=None,
            )
        except ValueError as error:
            raise InvalidInputError(f"steps is {self.steps}: {error}") from error

    def workshop_of(self, arm: Arm, stage: str, seed: int) -> Workshop:
        """The working folder with an arm's recipe, one stage of which runs as short as arms do.

        Args:
            arm: whose recipe it is.
            stage: the stage that the arm trains, `vision` or `reasoner`.
            seed: of this run.

        Raises:
            InvalidInputError: the stage cannot run so.
        """
        recipe = arm.recipe(self.recipe)
        run = self.run(getattr(recipe.staged, stage).run, seed)
        recipe = replace(recipe, stages=recipe.staged.with_run(stage, run))
        return Workshop(recipe, self.workshop.folder, self.workshop.say, report=self.workshop.report)

    def bank(self, *, scenes_only: bool = False) -> PairBank:
        """The training pairs of an arm."""
        if not self.ablation.same_pairs:
            return self.workshop.bank()
        staged = self.workshop.training
        count = min(staged.bank.count, self.steps * staged.vision.run.micro_batch)
        if not scenes_only:
            self.workshop.bank()
            return PairBank(self.workshop.folder / staged.bank.name, first=count)
        config = replace(staged.bank, real_data=False, count=count)
        if not (self.workshop.folder / config.name).exists():
            self.workshop.say(f"rendering {count} drawn scenes")
            size = count * 2 * config.size**2 * 4
            check_disk(size, self.workshop.folder, "the bank of drawn scenes")
        workers = torch.get_num_threads()
        return PairBank(build_bank(self.workshop.folder, config, workers=workers))

    def measured_pairs(self) -> tuple[FixedPairs, ...]:
        """The validation lists: scenes, and composites of unseen tiles where there is real data."""
        real = self.workshop.training.bank.real_data
        return _validation_lists(real, self.pairs, self.recipe.vision.image_size)


@cache
def _validation_lists(real: bool, count: int, size: int) -> tuple[FixedPairs, ...]:
    kinds: tuple[PairKind, ...] = ("composite", "scene") if real else ("scene",)
    return tuple(validation_pairs(k, "validation", count, MEASURED_SEED, size=size) for k in kinds)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def device() -> torch.device:
    """Where arms are trained and measured."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
