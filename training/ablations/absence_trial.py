"""Arms that learn from questions about what is in the images and what is not, and how they tell absence.

Both arms are asked the same questions about the same pairs. In the one, the answer to an absent change is
that of a present one, and the decoder's presence head judges. In the other it says in words that the
change is not there, without `<SEG>`, and nothing else judges (as the paper has it).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reasoncd.manifest import Thresholds
from reasoncd.ontology import MAIN_TARGETS, TARGETS, Target
from reasoncd.ports import Mode
from services.mask_decoder.model import Prompts
from services.reasoner.generation import Generation
from training.ablations.arms import Arm
from training.ablations.measures import Measure
from training.ablations.plan import Plan, device
from training.ablations.words_trial import ask, clip_tokens, trained_reasoner
from training.calibration import calibrate
from training.data.bank import PairBank
from training.data.batches import choose_targets, presence_of_targets, shown_targets, stack_images
from training.data.labels import NO, YES, LabelledPair
from training.queries import QuerySampler, TrainingQuery, load_phrases
from training.stages.reasoner import QueryBatch, ReasonerStage
from training.stages.vision import VisionStage

OFF_TOPIC = 0.1
"""Share of the questions that are not about land cover; refused in both arms."""

LEVELS = ("N0", "N1", "N2")
"""Absent changes: the class is in neither image, it is there and stays, only the opposite happened."""


def absent_answer(target: Target) -> str:
    """The short answer that says that a change is not there: it holds no `<SEG>`."""
    return f"{target.words}: none."


class PresenceSource:
    """Step number -> questions about present and absent changes of the pairs before them.

    Args:
        bank: where pairs come from.
        pairs: of a batch.
        queries_per_pair: questions about each.
        seed: of everything that is drawn.
        in_words: whether answers say that a change is absent.
    """

    def __init__(
        self, bank: PairBank, *, pairs: int, queries_per_pair: int, seed: int, in_words: bool
    ) -> None:
        self.bank = bank
        self.pairs = pairs
        self.queries_per_pair = queries_per_pair
        self.seed = seed
        self.in_words = in_words
        self._sampler = QuerySampler(load_phrases())
        self._off_topic = QuerySampler(load_phrases(), off_topic=1.0)

    def batch(self, step: int) -> QueryBatch:
        """The batch of one step; questions do not depend on `in_words`."""
        rng = np.random.default_rng((self.seed, step))
        chosen = [self.bank[int(i)] for i in rng.choice(len(self.bank), size=self.pairs, replace=False)]
        queries: list[TrainingQuery] = []
        for pair in chosen:
            there = presence_of_targets(pair)
            rows = choose_targets(there, rng, self.queries_per_pair, shown=shown_targets(pair))
            queries += [self._query(TARGETS[row], there[row] == NO, rng) for row in rows]
        each = self.queries_per_pair
        return QueryBatch(
            images=stack_images(chosen),
            queries=tuple(queries),
            pair_index=tuple(i // each for i in range(len(queries))),
        )

    def _query(self, target: Target, absent: bool, rng: np.random.Generator) -> TrainingQuery:
        if rng.random() < OFF_TOPIC:
            return self._off_topic.draw(rng, Mode.SHORT)
        query = self._sampler.draw_for(target, rng)
        if absent and self.in_words:
            return replace(query, answer=absent_answer(target), target=None)
        return query


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One question about one validation pair."""

    pair: int
    query: str
    level: str | None
    """One of `LEVELS`; None where the change is there."""


def questions_about(pairs: Sequence[LabelledPair]) -> list[Asked]:
    """Every main target that the labels know, worded once, the same for everybody; pair by pair."""
    sampler = QuerySampler(load_phrases())
    found: list[Asked] = []
    for number, pair in enumerate(pairs):
        there, shown = presence_of_targets(pair), shown_targets(pair)
        for target in MAIN_TARGETS:
            row = TARGETS.index(target)
            opposite = TARGETS.index(target.reversed)
            if there[row] == YES:
                level = None
            elif there[row] == NO and there[opposite] in (NO, YES):
                level = "N2" if there[opposite] == YES else "N1" if shown[row] else "N0"
            else:
                continue
            wording = sampler.draw_for(target, np.random.default_rng((number, row)))
            found.append(Asked(pair=number, query=wording.query, level=level))
    return found


def absence_arm(plan: Plan, arm: Arm, seed: int, folder: Path) -> tuple[Measure, ...]:
    """Train one arm with one seed, if it has not finished, and measure it."""
    training = plan.recipe.staged.reasoner
    source = PresenceSource(
        plan.bank(),
        pairs=training.pairs,
        queries_per_pair=training.queries_per_pair,
        seed=plan.run(training.run, seed).seed,
        in_words=arm.absence_in_words,
    )
    reasoner = trained_reasoner(plan, arm, seed, folder, source.batch)
    vision, thresholds = _vision(plan, reasoner.table)
    measures: list[Measure] = []
    for listed in plan.measured_pairs():
        measures += measure_absence(
            reasoner,
            vision,
            listed.pairs,
            thresholds,
            in_words=arm.absence_in_words,
            where=f"{listed.kind}s",
        )
    return tuple(measures)


def _vision(plan: Plan, table: torch.Tensor) -> tuple[VisionStage, Thresholds]:
    """The finished vision stage, its heads and thresholds set as an export would."""
    stage = plan.workshop.vision_stage()
    plan.workshop.load_finished(stage, "vision")
    stage.eval()
    found = calibrate(stage.encoder, stage.decoder, table.cpu(), plan.workshop.calibration_pairs())
    return stage.to(device()), found.thresholds


@torch.inference_mode()
def measure_absence(
    reasoner: ReasonerStage,
    vision: VisionStage,
    pairs: Sequence[LabelledPair],
    thresholds: Thresholds,
    *,
    in_words: bool,
    where: str,
) -> tuple[Measure, ...]:
    """Ask about everything that is there and is not, and see what is called absent and which maps are empty.

    Args:
        reasoner: in eval mode.
        vision: in eval mode.
        pairs: P of them.
        thresholds: of presence, and of a pixel's probability.
        in_words: whether the language model judges alone.
        where: what the pairs are, for the names of the measures.

    Returns:
        Of absent changes by level, and of present ones: the share called absent, and of empty maps. A map is
        empty where the change is called absent or no pixel is marked. Of each the mean of both kinds told
        right, which calling everything absent does not raise.
    """
    asked = questions_about(pairs)
    told = np.zeros(len(asked), dtype=np.bool_)
    empty = np.zeros(len(asked), dtype=np.bool_)
    for number, pair in enumerate(pairs):
        places = [i for i, q in enumerate(asked) if q.pair == number]
        queries = [asked[i].query for i in places]
        tokens = clip_tokens(reasoner, [pair])
        answers = ask(reasoner.model, tokens, queries, Mode.SHORT, [0] * len(queries))
        told[places], empty[places] = _verdicts(vision, pair, answers, thresholds, in_words=in_words)
    measures: list[Measure] = []
    for name, values in (("called absent", told), ("map empty", empty)):
        absent = np.array([q.level is not None for q in asked])
        measures.append(_told_apart(f"told apart by {name}, {where}", asked, values, absent, len(pairs)))
        measures.append(_share(f"absent changes: {name}, {where}", asked, values, absent, len(pairs)))
        for level in LEVELS:
            among = np.array([q.level == level for q in asked])
            measures.append(_share(f"{level}: {name}, {where}", asked, values, among, len(pairs)))
        false = f"present changes: {name}, {where} (less is better)"
        measures.append(_share(false, asked, values, ~absent, len(pairs)))
    return tuple(measures)


def _verdicts(
    vision: VisionStage,
    pair: LabelledPair,
    answers: Sequence[Generation],
    thresholds: Thresholds,
    *,
    in_words: bool,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each answer: is the change called absent, and is the map empty?"""
    told = np.array([a.seg_embedding is None for a in answers])
    empty = told.copy()
    spoken = [(i, a, a.seg_embedding) for i, a in enumerate(answers) if a.seg_embedding is not None]
    if not spoken:
        return told, empty
    images = stack_images([pair]).to(vision.table.rows.device)
    seg = torch.stack([embedding for _, _, embedding in spoken])
    handed = vision.encoder.for_decoder(images.float())
    out = vision.decoder.answer(handed, Prompts(seg=seg), seg.new_zeros(len(seg), dtype=torch.long))
    probability = torch.sigmoid(vision.decoder.to_input_size(out.mask_logits))
    presence = torch.sigmoid(out.presence_logits)
    for place, (i, answer, _) in enumerate(spoken):
        if not in_words:
            told[i] = answer.seg_probability * float(presence[place]) < thresholds.presence
        empty[i] = told[i] or not bool((probability[place] >= thresholds.probability).any())
    return told, empty


def _share(
    name: str, asked: Sequence[Asked], hits: NDArray[np.bool_], among: NDArray[np.bool_], pairs: int
) -> Measure:
    counts = _by_pair(asked, (hits & among, among), pairs)
    return Measure(name=name, unit="pairs", kind="share", counts=counts)


def _told_apart(
    name: str, asked: Sequence[Asked], told: NDArray[np.bool_], absent: NDArray[np.bool_], pairs: int
) -> Measure:
    counts = _by_pair(asked, (told & absent, absent, ~told & ~absent, ~absent), pairs)
    return Measure(name=name, unit="pairs", kind="balanced", counts=counts)


def _by_pair(asked: Sequence[Asked], flags: Sequence[NDArray[np.bool_]], pairs: int) -> NDArray[np.int64]:
    counts = np.zeros((pairs, len(flags)), dtype=np.int64)
    np.add.at(counts, np.array([q.pair for q in asked]), np.stack(flags, axis=1).astype(np.int64))
    return counts
