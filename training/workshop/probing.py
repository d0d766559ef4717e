"""Linear probes of the pretrained small encoders against random weights, on pairs never seen."""

from collections.abc import Iterator

import numpy as np
import torch

from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.sam import SamImageEncoder
from training.data.batches import BatchSource, make_batch
from training.workshop.pretraining import load_clip, load_sam, probe_clip, probe_sam
from training.workshop.workshop import Workshop


def probes(workshop: Workshop) -> Iterator[str]:
    """One line for each encoder: balanced accuracy of land cover, random and pretrained.

    Raises:
        NotFoundError: an encoder's pretraining has not finished in the working folder.
    """
    vision = workshop.recipe.vision
    bank = workshop.bank()
    known = [BatchSource(bank, batch_size=8, queries_per_pair=1, seed=77).batch(i) for i in range(24)]
    fixed = workshop.unseen_pairs(96)
    rng = np.random.default_rng(0)
    unseen = [make_batch(list(fixed[i : i + 8]), rng, queries_per_pair=1) for i in range(0, len(fixed), 8)]
    torch.manual_seed(5)
    sam, clip = SamImageEncoder(vision.sam, vision.image_size), ClipPatchEncoder(vision.clip)
    before = probe_sam(sam, known, unseen), probe_clip(clip, known, unseen)
    load_sam(sam, workshop.weights_of("sam"))
    load_clip(clip, workshop.weights_of("clip"))
    after = probe_sam(sam, known, unseen), probe_clip(clip, known, unseen)
    for name, random, trained in zip(("sam", "clip"), before, after, strict=True):
        yield f"{name}: balanced accuracy of land cover {random:.3f} random, {trained:.3f} pretrained"
