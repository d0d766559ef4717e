"""Contrastive pretraining of the small CLIP on captions made from labels.

One image is matched with a caption of its land cover ("many buildings, some roads, left water"), a pair of
images with a caption of what changed ("new buildings, lost trees"). Captions are words of a small
closed vocabulary, so the text tower is small and is thrown away afterwards.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.model import CLIPTextCfg, _build_text_tower
from torch import Tensor, nn
from torch.nn import functional as F

from reasoncd.ontology import CLASSES, PLURAL, TARGETS, ClassName, Target
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.config import ClipConfig
from training.data.batches import PairBatch, presence_of_targets
from training.data.labels import MEMBERSHIP, LabelledPair, LandCover
from training.stages.stage import Stage

CONTEXT = 32
"""Words of a caption, begin and end included."""

_AMOUNTS = ((0.4, "mostly"), (0.15, "much"), (0.02, "some"))
_PLACES = ("top left", "top right", "bottom left", "bottom right")
_NAMED: tuple[ClassName, ...] = tuple(c for c in CLASSES if c != "vegetation")


def _vocabulary() -> dict[str, int]:
    words = {"<begin>", "<end>", "unchanged", "unknown", *(w for _, w in _AMOUNTS)}
    for phrase in (*_PLACES, *PLURAL.values(), *(t.words.lower() for t in TARGETS)):
        words.update(phrase.split())
    # The end has the highest id: CLIP's text tower reads its summary at the largest token.
    ordered = ["<pad>", *sorted(words - {"<end>"}), "<end>"]
    return {w: i for i, w in enumerate(ordered)}


VOCABULARY = _vocabulary()


def tokenize(captions: Sequence[str]) -> Tensor:
    """Captions -> int64 (B, CONTEXT); words beyond the context are cut off."""
    rows = torch.zeros(len(captions), CONTEXT, dtype=torch.long)
    for row, caption in zip(rows, captions, strict=True):
        words = ["<begin>", *caption.split()[: CONTEXT - 2], "<end>"]
        row[: len(words)] = torch.tensor([VOCABULARY[w] for w in words])
    return rows


def land_caption(codes: NDArray[np.uint8], rng: np.random.Generator) -> str:
    """Land cover of one image (S, S) in words: how much of what, and where each lies thickest."""
    every: tuple[ClassName, ...] = (*_NAMED, "vegetation")
    names = [c for c in every if c in _NAMED or (codes == LandCover.VEGETATION).any()]
    half = codes.shape[0] // 2
    quarters = (codes[:half, :half], codes[:half, half:], codes[half:, :half], codes[half:, half:])
    parts = []
    for name in names:
        member = np.array([m == 1 for m in MEMBERSHIP[name]])
        share = float(member[codes].mean())
        amount = next((word for least, word in _AMOUNTS if share >= least), None)
        if amount is None:
            continue
        thickest = int(np.argmax([member[q].mean() for q in quarters]))
        parts.append(f"{amount} {PLURAL[name]} {_PLACES[thickest]}")
    rng.shuffle(parts)
    return " ".join(parts[:5]) or "unknown"


def change_caption(present: Sequence[Target], rng: np.random.Generator) -> str:
    """What changed between two dates in words."""
    words = [t.words.lower() for t in present if t.direction in ("gain", "loss")]
    rng.shuffle(words)
    return " ".join(words[:6]) or "unchanged"


def captions_of(batch: PairBatch, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Captions of each image (B * T, date by date within a pair) and of each pair (B)."""
    images: list[str] = []
    changes: list[str] = []
    for lands in batch.lands.numpy():
        images += [land_caption(codes, rng) for codes in lands]
        blank = np.zeros((*lands.shape[1:], 3), dtype=np.uint8)
        pair = LabelledPair(image_t1=blank, image_t2=blank, land_t1=lands[0], land_t2=lands[1], origin="")
        there = presence_of_targets(pair)
        present = [t for t, p in zip(TARGETS, there, strict=True) if p == 1]
        changes.append(change_caption(present, rng) if (lands != LandCover.UNKNOWN).any() else "unknown")
    return images, changes


class ClipPretraining(Stage):
    """Contrastive losses of one batch of captioned pairs."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.encoder = ClipPatchEncoder(config)
        text = CLIPTextCfg(context_length=CONTEXT, vocab_size=len(VOCABULARY), width=128, heads=4, layers=2)
        self.text = cast(nn.Module, _build_text_tower(config.embed_dim, text))
        self.pair_head = nn.Linear(2 * config.embed_dim, config.embed_dim)
        self.log_scale = nn.Parameter(torch.tensor([2.66]))

    def forward(self, batch: tuple[PairBatch, Tensor, Tensor]) -> dict[str, Tensor]:
        """(batch, image captions (B * T, CONTEXT), change captions (B, CONTEXT)) -> losses by name."""
        pairs, image_text, change_text = batch
        with self.autocast(pairs.images):
            images = self.encoder.visual(self.encoder.preprocess(pairs.images.flatten(0, 1)))
            both = self.pair_head(images.unflatten(0, (-1, 2)).flatten(1))
            text = self.text(torch.cat([image_text, change_text]))
        scale = self.log_scale.exp().clamp(max=100.0)
        losses = {
            "image": contrastive(images, text[: len(images)], image_text, scale),
            "change": contrastive(both, text[len(images) :], change_text, scale),
        }
        losses["loss"] = losses["image"] + losses["change"]
        return losses


def contrastive(images: Tensor, texts: Tensor, tokens: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE; equal captions in a batch are all right answers of each other."""
    a, b = F.normalize(images.float(), dim=-1), F.normalize(texts.float(), dim=-1)
    logits = scale * a @ b.T
    same = (tokens[:, None] == tokens[None]).all(dim=-1).float()
    wanted = same / same.sum(dim=1, keepdim=True)
    by_image = -(wanted * logits.log_softmax(dim=1)).sum(dim=1).mean()
    by_text = -(wanted * logits.T.log_softmax(dim=1)).sum(dim=1).mean()
    return 0.5 * (by_image + by_text)
