"""Building change, by the model and by what was built for nothing else: every method on the same pairs.

The supervised networks are trained on the model's own training pairs; their threshold is chosen on the pairs
that the model's are chosen on. The model is asked for any change of buildings in plain words through the
whole pipeline, with the thresholds of its checkpoint. Pairs of which nobody knows whether a building changed
are left out.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines.change_difference import difference_map
from benchmarks.baselines.nets import BinaryChangeNet
from benchmarks.measuring.accuracy import KINDS
from benchmarks.measuring.outcomes import Failure, ask, stacked
from benchmarks.measuring.score_counts import BINS, ScoreCounts
from benchmarks.progress import Progress
from benchmarks.queries.questions import canonical_query
from gateway.pipeline import Pipeline
from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.fixed_pairs import PairKind, pairs_sha256, validation_pairs
from training.data.labels import UNKNOWN, LabelledPair, target_mask
from training.data.real_tiles import fotbcd_pairs
from training.metrics import Confusion
from training.workshop.workshop import CALIBRATION_SEED

MODEL, DIFFERENCE, ALL_POSITIVE = "model", "difference + Otsu", "all positive"
REAL = "real"
"""The list of whole aerial pairs; the others are named by their kind."""
CALIBRATION_PAIRS = 90
CALIBRATION_SCENES = 0.3
"""Share of drawn scenes among them, as for the model's own thresholds."""
BUILDING_CHANGE = TARGET_BY_KEY["building.change"]
QUERY = canonical_query(BUILDING_CHANGE)

Images = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedNet:
    """A supervised network that is ready to be measured."""

    name: str
    seed: int
    net: BinaryChangeNet
    steps: int
    seconds_per_step: float
    """Of one thread, when its training began."""
    threshold: float
    """A pixel is changed at or above this probability."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodResult:
    """One method on one list."""

    method: str
    seed: int | None
    """Of its training; None for what has none of its own here."""
    scores: tuple[Confusion, ...]
    """One a pair of the list, in order."""
    score_counts: ScoreCounts | None
    """Over all pairs; None for methods without probabilities."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineList:
    """One list of pairs and every method on it."""

    kind: str
    names: tuple[str, ...]
    """Of the pairs."""
    sha256: str
    methods: tuple[MethodResult, ...]


@dataclass(kw_only=True, slots=True)
class BaselinesResult:
    """Everything measured in one run."""

    fingerprints: dict[str, str]
    minutes: float
    """Of one thread, for each network."""
    bank: str
    """Name of the bank of training pairs."""
    nets: tuple[TrainedNet, ...]
    pairs: int
    seed: int
    lists: list[BaselineList] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be measured because its images are not there."""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Numbers and texts only."""
        return {
            "report": "baselines", "fingerprints": self.fingerprints, "minutes": self.minutes,
            "bank": self.bank, "pairs": self.pairs, "seed": self.seed,
            "nets": [
                {
                    "name": n.name, "seed": n.seed, "steps": n.steps, "seconds_per_step": n.seconds_per_step,
                    "parameters": parameter_count(n.net), "threshold": n.threshold,
                }
                for n in self.nets
            ],
            "lists": [
                {
                    "kind": one.kind, "pairs": list(one.names), "sha256": one.sha256,
                    "methods": [
                        {
                            "method": m.method, "seed": m.seed,
                            "scores": [[c.tp, c.fp, c.fn, c.tn] for c in m.scores],
                            "score_counts": m.score_counts.as_json() if m.score_counts else None,
                        }
                        for m in one.methods
                    ],
                }
                for one in self.lists
            ],
            "failures": [{"query": f.query, "reason": f.reason} for f in self.failures],
            "missing": self.missing,
            "seconds": round(self.seconds, 1),
        }  # fmt: skip


def parameter_count(net: BinaryChangeNet) -> int:
    """How many weights a network has."""
    return sum(p.numel() for p in net.parameters())


def calibration_pairs(count: int = CALIBRATION_PAIRS, root: Path | None = None) -> list[LabelledPair]:
    """The pairs that thresholds are chosen on; drawn scenes alone where the tiles are not there."""
    drawn = round(count * CALIBRATION_SCENES)
    parts: tuple[tuple[PairKind, int], ...] = (("composite", count - drawn), ("scene", drawn))
    try:
        lists = [validation_pairs(k, "validation", n, CALIBRATION_SEED, root=root) for k, n in parts if n]
    except NotFoundError:
        lists = [validation_pairs("scene", "validation", count, CALIBRATION_SEED)]
    return [pair for one in lists for pair in one.pairs]


def choose_threshold(net: BinaryChangeNet, pairs: Sequence[LabelledPair]) -> float:
    """The threshold of the best F1 over the pixels of all pairs, in steps of 0.05.

    Raises:
        InvalidInputError: nothing changed in any pair, so that no threshold is better than another.
    """
    counts = ScoreCounts()
    progress = Progress(f"threshold of {net.name}", len(pairs))
    for pair in pairs:
        counts += ScoreCounts.of(net.probability(stacked(pair)), target_mask(pair, BUILDING_CHANGE))
        progress.advance()
    if not sum(counts.changed):
        raise InvalidInputError("no building changes in the pairs to choose a threshold on; give more pairs")
    # Not at 0, which marks everything.
    return (1 + int(np.nan_to_num(counts.f1()[1:]).argmax())) / BINS


def building_lists(
    pairs: int, seed: int, root: Path | None = None
) -> tuple[dict[str, list[tuple[str, LabelledPair]]], list[str]]:
    """The fixed lists and the real pairs by kind, each pair with its name, and what is not there."""
    found: dict[str, list[tuple[str, LabelledPair]]] = {}
    missing: list[str] = []
    for kind in KINDS:
        try:
            fixed = validation_pairs(kind, "validation", pairs, seed, root=root)
        except NotFoundError:
            missing.append(f"{kind} pairs")
            continue
        found[kind] = [(f"{kind} {number}", pair) for number, pair in enumerate(fixed.pairs)]
    try:
        found[REAL] = list(fotbcd_pairs("validation", root))[:pairs]
    except NotFoundError:
        missing.append("real aerial pairs")
    return found, missing


def measure_baselines(
    pipeline: Pipeline, nets: Sequence[TrainedNet], result: BaselinesResult, *, root: Path | None = None
) -> None:
    """Measure every method on every list, into `result`; a question that fails counts as an empty map."""
    started = time.perf_counter()
    lists, missing = building_lists(result.pairs, result.seed, root)
    result.missing += missing
    for kind, named in lists.items():
        result.lists.append(_measured(kind, named, pipeline, nets, result.failures.append))
    result.seconds += time.perf_counter() - started


def _measured(
    kind: str,
    named: Sequence[tuple[str, LabelledPair]],
    pipeline: Pipeline,
    nets: Sequence[TrainedNet],
    on_failure: Callable[[Failure], None],
) -> BaselineList:
    known = [(name, pair) for name, pair in named if (target_mask(pair, BUILDING_CHANGE) != UNKNOWN).any()]
    scores: dict[tuple[str, int | None], list[Confusion]] = {}
    counts: dict[tuple[str, int | None], ScoreCounts] = {}
    progress = Progress(f"{kind} pairs", len(known))
    for _, pair in known:
        truth, images = target_mask(pair, BUILDING_CHANGE), stacked(pair)
        maps, probabilities = _answers(images, pipeline, nets, on_failure)
        for key, change_map in maps.items():
            scores.setdefault(key, []).append(Confusion.of(change_map, truth))
        for key, probability in probabilities.items():
            counts[key] = counts.get(key, ScoreCounts()) + ScoreCounts.of(probability, truth)
        progress.advance()
    return BaselineList(
        kind=kind,
        names=tuple(name for name, _ in known),
        sha256=pairs_sha256([pair for _, pair in known]),
        methods=tuple(
            MethodResult(method=key[0], seed=key[1], scores=tuple(found), score_counts=counts.get(key))
            for key, found in scores.items()
        ),
    )


def _answers(
    images: Images, pipeline: Pipeline, nets: Sequence[TrainedNet], on_failure: Callable[[Failure], None]
) -> tuple[
    Mapping[tuple[str, int | None], NDArray[np.bool_]], Mapping[tuple[str, int | None], NDArray[np.float32]]
]:
    """What each method marks on one pair, and how sure those are that say so."""
    size = images.shape[1:3]
    answer = ask(pipeline, images, [QUERY])[QUERY]
    if isinstance(answer, Failure):
        on_failure(answer)
        change_map, probability = np.zeros(size, dtype=bool), np.zeros(size, dtype=np.float32)
    else:
        change_map, probability = answer.change_map, answer.probability
    maps: dict[tuple[str, int | None], NDArray[np.bool_]] = {(MODEL, None): change_map}
    probabilities: dict[tuple[str, int | None], NDArray[np.float32]] = {(MODEL, None): probability}
    for trained in nets:
        found = trained.net.probability(images)
        maps[trained.name, trained.seed] = found >= np.float32(trained.threshold)
        probabilities[trained.name, trained.seed] = found
    maps[DIFFERENCE, None] = difference_map(images)
    maps[ALL_POSITIVE, None] = np.ones(size, dtype=bool)
    return maps, probabilities
