"""Arms that train the reasoner's stage alone against the settled table, and what they understand.

No map is made. Every query is read in front of the same two drawn pairs in turn: the right class and
direction do not depend on what they show.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from reasoncd.ontology import TARGETS
from reasoncd.ports import Mode
from services.reasoner.build import merge
from services.reasoner.generation import Generation, generate_batch
from services.reasoner.model import ReasonerModel
from services.reasoner.prompt import build_prompt
from training.ablations.arms import Arm
from training.ablations.measures import Measure
from training.ablations.plan import Plan, device
from training.ablations.queries import load_queries, named_target
from training.data.batches import stack_images
from training.data.fixed_pairs import validation_pairs
from training.data.labels import LabelledPair
from training.queries import QuerySampler, load_phrases
from training.queries.asked import AskedQuery
from training.reasoner_start import DTYPES
from training.run.loop import WEIGHTS_FILE, run_stage
from training.stages.loading import load_trained
from training.stages.reasoner import QueryBatch, QuerySource, ReasonerStage, nearest_row
from training.stages.stage import set_precision

ASKED_AT_ONCE = 20
_PAIRS = 2
_PAIRS_SEED = 0


def words_arm(plan: Plan, arm: Arm, seed: int, folder: Path) -> tuple[Measure, ...]:
    """Train one arm with one seed, if it has not finished, and measure it."""
    queries = load_queries(plan.queries)
    training = plan.recipe.staged.reasoner
    source = QuerySource(
        plan.bank(),
        QuerySampler(load_phrases(), seg_first=arm.seg_first),
        pairs=training.pairs,
        queries_per_pair=training.queries_per_pair,
        seed=plan.run(training.run, seed).seed,
    )
    stage = trained_reasoner(plan, arm, seed, folder, source.batch)
    mode = Mode.EXPLAINED if plan.ablation.explained else Mode.SHORT
    return measure_words(stage, queries, mode, size=plan.recipe.vision.image_size)


def trained_reasoner(
    plan: Plan, arm: Arm, seed: int, folder: Path, batch: Callable[[int], QueryBatch]
) -> ReasonerStage:
    """The reasoner's stage at its end, the adapter merged as it is served.

    Args:
        plan: what arms share.
        arm: whose recipe it is.
        seed: of this run.
        folder: of this run.
        batch: step -> questions.
    """
    workshop = plan.workshop_of(arm, "reasoner", seed)
    run = workshop.training.reasoner.run
    stage = workshop.reasoner_stage()
    trained = {n for n, p in stage.named_parameters() if p.requires_grad}
    set_precision(stage, run.precision)
    finished = folder / WEIGHTS_FILE
    if not finished.exists():
        run_stage(stage, batch, run, folder, keep=trained.__contains__, report=workshop.report)
    load_trained(stage, load_file(finished), where=str(finished))
    merge(stage.model, dtype=DTYPES[workshop.recipe.reasoner.dtype])
    return stage.to(device()).eval()


@torch.inference_mode()
def clip_tokens(stage: ReasonerStage, pairs: Sequence[LabelledPair]) -> torch.Tensor:
    """What the reasoner sees of pairs, rounded as the services hand it over: bfloat16 (P, T, N, C)."""
    images = stack_images(pairs).to(stage.table.device)
    tokens: torch.Tensor = stage.clip(images.flatten(0, 1)).unflatten(0, (-1, 2))
    return tokens.to(torch.bfloat16)


def ask(
    model: ReasonerModel,
    tokens: torch.Tensor,
    queries: Sequence[str],
    mode: Mode,
    pair_index: Sequence[int],
) -> list[Generation]:
    """Free-running answers to queries about pairs (P, T, N, C), a few at once."""
    found: list[Generation] = []
    for start in range(0, len(queries), ASKED_AT_ONCE):
        some = slice(start, start + ASKED_AT_ONCE)
        prompts = [
            build_prompt(model.tokenizer, query, mode, decide_first=model.config.decide_first)
            for query in queries[some]
        ]
        found += generate_batch(model, tokens, prompts, pair_index=pair_index[some])
    return found


def measure_words(
    stage: ReasonerStage, queries: Sequence[AskedQuery], mode: Mode, *, size: int
) -> tuple[Measure, ...]:
    """Ask every query once.

    Args:
        stage: in eval mode.
        queries: what is asked.
        mode: of the answers.
        size: side of the images in pixels.

    Returns:
        Shares of the queries about land cover: class and direction named right (also by level), each alone,
        `<SEG>` written, the right row nearest to the embedding; and of the others: refused.
    """
    pairs = validation_pairs("scene", "validation", _PAIRS, _PAIRS_SEED, size=size).pairs
    turns = [number % _PAIRS for number in range(len(queries))]
    answers = ask(stage.model, clip_tokens(stage, pairs), [q.query for q in queries], mode, turns)
    verdicts = [_judge(stage, q, a) for q, a in zip(queries, answers, strict=True)]
    asked = np.array([bool(q.accept) for q in queries])
    by_level = {
        f"class and direction right, level {level}": asked & np.array([q.level == level for q in queries])
        for level in sorted({q.level for q in queries if q.accept})
    }
    measures = [_share("class and direction right", [v["right"] for v in verdicts], asked)]
    measures += [_share(name, [v["right"] for v in verdicts], of) for name, of in by_level.items()]
    for name, key in (
        ("class right", "class"),
        ("direction right", "direction"),
        ("`<SEG>` written", "seg"),
        ("right row nearest", "row"),
    ):
        measures.append(_share(name, [v[key] for v in verdicts], asked))
    if not asked.all():
        measures.append(_share("off-topic refused", [not v["seg"] for v in verdicts], ~asked))
    return tuple(measures)


def _judge(stage: ReasonerStage, query: AskedQuery, answer: Generation) -> dict[str, bool]:
    decided = stage.model.config.decide_first
    named = named_target(stage.model.tokenizer, answer.token_ids, decided=decided)
    seg = answer.seg_embedding
    row = None if seg is None else TARGETS[int(nearest_row(seg[None], stage.table))]
    return {
        "right": named in query.accept,
        "class": named is not None and named.cls in {t.cls for t in query.accept},
        "direction": named is not None and named.direction in {t.direction for t in query.accept},
        "seg": seg is not None,
        "row": row in query.accept,
    }


def _share(name: str, hits: Sequence[bool], among: NDArray[np.bool_]) -> Measure:
    counts = np.stack([np.array(hits) & among, among], axis=1).astype(np.int64)
    return Measure(name=name, unit="queries", kind="share", counts=counts)
