"""Figures of the sample stage on samples that it does not learn from.

While training, answers are given and one pass tells what is needed: a map counts only where the model would
itself have put `<SEG>` in its place, else it is empty. At the end the model answers freely, as users meet it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from reasoncd.manifest import Thresholds
from services.reasoner.generation import Generation, generate_batch
from services.reasoner.prompt import build_prompt
from training.calibration import CUTS, emptied, presence_threshold
from training.data.sample_batches import SampleBatch, stack_samples
from training.data.samples import MaskedPair, Sample, SampleDataset
from training.metrics import Confusion
from training.run.devices import moved
from training.run.processes import gathered, rank, sums_of, world_size
from training.samples.frozen_features import FrozenFeatures
from training.stages.samples import SampleStage, presence_of

Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """One sample as the model answered it."""

    pair: MaskedPair
    logits: NDArray[np.float32]
    """(H, W) of "changed", at the mask's own size."""
    presence: float
    """The decoder's "it is there at all", in [0, 1]."""
    there: int
    """0 no, 1 yes, 255 unknown."""
    emitted: bool
    """Whether the model gives `<SEG>`, and so a map."""

    def confusion(self, *, cut: float = 0.5) -> Confusion:
        """Pixels against the truth; without `<SEG>` the map is empty."""
        marked = self.logits >= np.log(cut / (1.0 - cut))
        return Confusion.of(marked & self.emitted, self.pair.mask)


def validate_samples(stage: SampleStage, samples: Sequence[Sample], features: FrozenFeatures) -> Figures:
    """The paper's six metrics, the losses, and how often `<SEG>` comes where it is due; answers are given.

    Every process looks at a share of the samples, and all get the figures of the whole.

    Returns:
        `f1` of "changed" over all pixels, `iou`, `precision`, `recall`, `accuracy`, `kappa`, `seg_emitted`
        (share), and the mean `loss`, `text`, `bce` and `dice`.
    """
    confusion = Confusion()
    emitted = due = 0
    losses: dict[str, float] = {}
    for answered, found in given_answers(stage, samples, features):
        confusion += answered.confusion()
        owes = "<SEG>" in answered.pair.answer
        due += owes
        emitted += owes and answered.emitted
        for name, value in found.items():
            losses[name] = losses.get(name, 0.0) + value
    # A process without a sample adds nothing, under the same names.
    names = ("bce", "dice", "loss", "text")
    sums = sums_of([*astuple(confusion), emitted, due, *(losses.get(n, 0.0) for n in names)])
    tp, fp, tn, fn, emitted_all, due_all = (int(value) for value in sums[:6])
    means = {n: total / max(len(samples), 1) for n, total in zip(names, sums[6:], strict=True)}
    return {
        **six_metrics(Confusion(tp=tp, fp=fp, tn=tn, fn=fn)),
        "seg_emitted": emitted_all / max(due_all, 1),
        **means,
    }


def answer_freely(
    stage: SampleStage, samples: Sequence[Sample], features: FrozenFeatures, thresholds: Thresholds
) -> Figures:
    """The six metrics of a model that decodes its own answers, with both thresholds in force.

    Returns:
        As `validate_samples` less the losses, and `answer_equal`: the share of answers that are as given.
    """
    stage.eval()
    confusion = Confusion()
    counts = {"emitted": 0, "due": 0, "equal": 0}
    for pair, batch in _one_by_one(stage, samples, features):
        generation = _generate(stage, batch)
        seg = generation.seg_embedding
        marked = np.zeros(pair.mask.shape, dtype=np.bool_)
        if seg is not None:
            logits, presence = _mask(stage, batch, seg, pair.mask.shape)
            if presence >= thresholds.presence:
                marked = logits >= np.log(thresholds.probability / (1.0 - thresholds.probability))
        confusion += Confusion.of(marked, pair.mask)
        owes = "<SEG>" in pair.answer
        counts["due"] += owes
        counts["emitted"] += owes and seg is not None
        wanted = stage.reasoner.tokenizer.encode_answer(pair.answer)
        counts["equal"] += generation.token_ids == wanted
    sums = sums_of([*astuple(confusion), *counts.values()])
    tp, fp, tn, fn = (int(value) for value in sums[:4])
    return {
        **six_metrics(Confusion(tp=tp, fp=fp, tn=tn, fn=fn)),
        "seg_emitted": sums[4] / max(sums[5], 1.0),
        "answer_equal": sums[6] / max(len(samples), 1),
    }


def choose_thresholds(
    stage: SampleStage, samples: Sequence[Sample], features: FrozenFeatures, *, judge_presence: bool
) -> tuple[Thresholds, float]:
    """The presence threshold, the probability threshold with the best F1 beside it, and that F1.

    Args:
        stage: the trained models.
        samples: of the validation part.
        features: the frozen encoders.
        judge_presence: whether the presence head was trained; without it no map is emptied.
    """
    answers: list[tuple[float, tuple[Confusion, ...]]] = []
    scores: list[float] = []
    there: list[bool] = []
    for answered, _ in given_answers(stage, samples, features):
        answers.append((answered.presence, tuple(answered.confusion(cut=cut) for cut in CUTS)))
        if answered.there in (0, 1):
            scores.append(answered.presence)
            there.append(answered.there == 1)
    presence = 0.0
    scores, there = gathered(scores), gathered(there)
    if judge_presence and scores:
        presence = presence_threshold(np.array(scores), np.array(there, dtype=bool))
    counts = [Confusion() for _ in CUTS]
    for score, by_cut in answers:
        shown = by_cut if score >= presence else map(emptied, by_cut)
        counts = [c + one for c, one in zip(counts, shown, strict=True)]
    sums = sums_of([float(value) for c in counts for value in astuple(c)])
    pooled = [
        Confusion(tp=int(tp), fp=int(fp), tn=int(tn), fn=int(fn))
        for tp, fp, tn, fn in np.array(sums).reshape(-1, 4).tolist()
    ]
    best = max(range(len(CUTS)), key=lambda i: pooled[i].f1)
    chosen = Thresholds(presence=presence, probability=round(CUTS[best], 2))
    return chosen, pooled[best].f1


def given_answers(
    stage: SampleStage, samples: Sequence[Sample], features: FrozenFeatures
) -> Iterator[tuple[Answered, Mapping[str, float]]]:
    """This process's share of the samples, each with its losses; the stage is in evaluation mode then."""
    stage.eval()
    for pair, batch in _one_by_one(stage, samples, features):
        with torch.no_grad():
            out = stage.read(batch)
            losses = {name: float(value) for name, value in stage.losses_of(out, batch).items()}
        labels = out.reasoner.answer_labels[0]
        chosen = out.reasoner.answer_logits[0].argmax(dim=-1)
        seg_id = stage.reasoner.tokenizer.seg_id
        places = labels == seg_id
        # A refusal has no place for it: there, anywhere in the answer is wrong.
        would = chosen[places] if bool(places.any()) else chosen
        yield (
            Answered(
                pair=pair,
                logits=_at_size(out.decoder.mask_logits, pair.mask.shape),
                presence=float(torch.sigmoid(out.decoder.presence_logits[0].float())),
                there=int(presence_of(batch.truth, out.asked)[0]),
                emitted=bool((would == seg_id).any()),
            ),
            losses,
        )


def six_metrics(confusion: Confusion) -> Figures:
    """The paper's metrics by name."""
    return {
        "f1": confusion.f1,
        "iou": confusion.iou,
        "precision": confusion.precision,
        "recall": confusion.recall,
        "accuracy": confusion.accuracy,
        "kappa": confusion.kappa,
    }


def _one_by_one(
    stage: SampleStage, samples: Sequence[Sample], features: FrozenFeatures
) -> Iterator[tuple[MaskedPair, SampleBatch]]:
    data = SampleDataset(samples)
    device = stage.reasoner.device
    for index in range(rank(), len(data), world_size()):
        pair = data[index]
        batch = stack_samples([pair], features, side=stage.encoder.config.image_size)
        yield pair, moved(batch, device)


@torch.inference_mode()
def _generate(stage: SampleStage, batch: SampleBatch) -> Generation:
    prompt = build_prompt(stage.reasoner.tokenizer, batch.questions[0], batch.modes[0])
    with stage.autocast(batch.images):
        return generate_batch(stage.reasoner, batch.clip_tokens, [prompt])[0]


@torch.inference_mode()
def _mask(
    stage: SampleStage, batch: SampleBatch, seg: Tensor, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], float]:
    with stage.autocast(batch.images):
        out = stage.decode(stage.fuse(batch.images, batch.sam_maps), seg[None])
    return _at_size(out.mask_logits, shape), float(torch.sigmoid(out.presence_logits[0].float()))


def _at_size(logits: Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Logits (1, h, w) -> (H, W) of a mask, bilinear."""
    if tuple(logits.shape[1:]) != shape:
        logits = F.interpolate(logits[:, None].float(), shape, mode="bilinear", align_corners=False)[:, 0]
    out: NDArray[np.float32] = logits[0].float().cpu().numpy()
    return out
