"""What each ablation compares. It does not know how arms are trained or measured.

The first arm is what the others are held against.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from services.reasoner.config import ALL_LINEAR, ATTENTION_QV, LoraDims
from training.ablations.names import AblationName
from training.recipes import Recipe

TrialName = Literal["vision", "words", "absence"]

VISION_STEPS = 420
REASONER_STEPS = 300
"""Steps of one arm with one seed: about 20 minutes of `mini` on two idle cores."""


def _as_it_is(recipe: Recipe) -> Recipe:
    return recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One choice."""

    name: str
    """In tables, and of the folder: letters, digits and hyphens."""
    recipe: Callable[[Recipe], Recipe] = _as_it_is
    """The recipe of this arm, from that of all."""
    scenes_only: bool = False
    """Learn from drawn scenes alone, as many pairs as the other arms."""
    seg_first: bool = False
    """Explained answers give the reason after `<SEG>`."""
    absence_in_words: bool = False
    """The answer says that an absent change is absent, without `<SEG>`; no presence head judges."""

    def trains_like(self, other: "Arm", recipe: Recipe) -> bool:
        """Whether two arms are one and the same training, given the recipe of all."""
        own = replace(self, name=other.name, recipe=other.recipe)
        return own == other and self.recipe(recipe) == other.recipe(recipe)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """Arms that differ in one choice."""

    name: AblationName
    question: str
    """What the table answers, in one sentence."""
    trial: TrialName
    """How arms are trained and measured."""
    arms: tuple[Arm, ...]
    equal: tuple[str, ...]
    """What is the same in all arms, beside the start weights, seeds and steps; one sentence each."""
    same_pairs: bool = False
    """All arms have only as many training pairs as the steps draw."""
    explained: bool = False
    """Asked for explained answers, instead of short ones."""

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or len({arm.name for arm in self.arms}) < len(self.arms):
            raise ValueError(f"ablation {self.name} needs at least two arms of different names")

    def trains_like(self, other: "Ablation") -> bool:
        """Whether an arm of the other would train the same here, whatever both are asked then."""
        return (self.trial, self.same_pairs) == (other.trial, other.same_pairs)

    @property
    def steps(self) -> int:
        """How long an arm is trained unless it is said otherwise."""
        return VISION_STEPS if self.trial == "vision" else REASONER_STEPS

    @property
    def needs_real_data(self) -> bool:
        """Whether an arm would be no other than the next without real imagery."""
        return any(arm.scenes_only for arm in self.arms)


def _fusion(multi_scale: bool) -> Callable[[Recipe], Recipe]:
    def changed(recipe: Recipe) -> Recipe:
        fusion = replace(recipe.vision.fusion, multi_scale=multi_scale)
        return replace(recipe, vision=replace(recipe.vision, fusion=fusion))

    return changed


def _lora(change: Callable[[LoraDims], LoraDims]) -> Callable[[Recipe], Recipe]:
    def changed(recipe: Recipe) -> Recipe:
        return replace(recipe, reasoner=replace(recipe.reasoner, lora=change(recipe.reasoner.lora)))

    return changed


def _rank(rank: int) -> Callable[[Recipe], Recipe]:
    # The scale is alpha / rank: alpha moves along, so that the rank alone differs.
    return _lora(lambda lora: replace(lora, rank=rank, alpha=lora.alpha / lora.rank * rank))


def _targets(targets: tuple[str, ...]) -> Callable[[Recipe], Recipe]:
    return _lora(lambda lora: replace(lora, targets=targets))


def _decide_first(first: bool) -> Callable[[Recipe], Recipe]:
    # Arms are trained in stages; sample files could not teach two turns.
    return lambda recipe: replace(recipe, samples=None, reasoner=replace(recipe.reasoner, decide_first=first))


def _missing_seg(weight: float) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, losses=replace(recipe.losses, missing_seg=weight))


_ALL: tuple[Ablation, ...] = (
    Ablation(
        name=AblationName.FUSION,
        question="What does multi-scale feature fusion (pyramid, channel attention) add to SAM's maps alone?",
        trial="vision",
        arms=(Arm(name="on", recipe=_fusion(True)), Arm(name="off", recipe=_fusion(False))),
        equal=("training pairs and their order", "questions", "decoder size", "losses"),
    ),
    Ablation(
        name=AblationName.REAL_COMPOSITES,
        question="What does real imagery in the training pairs add to drawn scenes alone?",
        trial="vision",
        arms=(Arm(name="real"), Arm(name="scenes", scenes_only=True)),
        equal=(
            "number of training pairs, not the pairs",
            "model sizes",
            "losses",
            "SAM encoder and prompt table, which may have seen real imagery: then a lower bound is measured",
        ),
        same_pairs=True,
    ),
    Ablation(
        name=AblationName.LORA_RANK,
        question="Which rank does the reasoner's adapter need?",
        trial="words",
        arms=tuple(Arm(name=f"r{rank}", recipe=_rank(rank)) for rank in (4, 8, 12, 16)),
        equal=("adapted layers", "scale alpha / rank", "questions and their order", "losses"),
    ),
    Ablation(
        name=AblationName.LORA_TARGETS,
        question="Is it enough to adapt the queries and values of attention?",
        trial="words",
        arms=(
            Arm(name="qv", recipe=_targets(ATTENTION_QV)),
            Arm(name="all-linear", recipe=_targets(ALL_LINEAR)),
        ),
        equal=("rank and alpha, so all-linear has more weights", "questions and their order", "losses"),
    ),
    Ablation(
        name=AblationName.REASON_ORDER,
        question="Does an explained answer that gives its reason first find the right change more often?",
        trial="words",
        arms=(
            Arm(name="reason-first", recipe=_decide_first(False)),
            Arm(name="seg-first", recipe=_decide_first(False), seg_first=True),
            Arm(name="decide-first", recipe=_decide_first(True)),
        ),
        equal=("questions, reasons and their order", "share of explained answers", "losses"),
        explained=True,
    ),
    Ablation(
        name=AblationName.MISSING_SEG,
        question="What does the tenfold weight of a missing `<SEG>` do?",
        trial="words",
        arms=(Arm(name="on", recipe=_missing_seg(10.0)), Arm(name="off", recipe=_missing_seg(1.0))),
        equal=("questions and their order", "all other losses"),
    ),
    Ablation(
        name=AblationName.ABSENCE,
        question="Who tells better that a change is absent: the presence head, or the language model alone?",
        trial="absence",
        # A due `<SEG>` that counts tenfold would make the language model say "none" only where it is nine
        # tenths sure of it.
        arms=(
            Arm(name="presence-head", recipe=_missing_seg(1.0)),
            Arm(name="language-model", recipe=_missing_seg(1.0), absence_in_words=True),
        ),
        equal=(
            "images, questions and their order: both arms are asked about absent changes as often",
            "vision encoder and mask decoder",
            "losses; a missing `<SEG>` counts like any other token",
        ),
    ),
)

ABLATIONS: dict[AblationName, Ablation] = {ablation.name: ablation for ablation in _ALL}
"""Every ablation by its name."""
