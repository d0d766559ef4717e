"""The mask decoder as the pipeline sees it: a fused map and prompts in, logits at the input's size out.

All of it computes in float32, so that an answer does not hang on how it was batched. A pure function of
its arguments and weights; it does not know protobuf, queries' words or thresholds' use. Q queries
of one call, P clicks, D prompt width, h and w the fused grid, S the input's side.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from reasoncd import __version__
from reasoncd.checkpoint import Checkpoint
from reasoncd.config import from_dict
from reasoncd.ports import Clicks, DecodedMasks, Description, TensorShape
from reasoncd.tensors import Tensor
from services.mask_decoder.config import MaskDecoderConfig
from services.mask_decoder.model import ChangeMaskDecoder, Prompts
from services.mask_decoder.requests import DecodeRequest, check_answer, check_request
from services.mask_decoder.weights import MASK_DECODER, PROMPT_TABLE, load_mask_decoder, load_opposites
from services.wire import to_torch

MAX_BATCH = 16
"""Queries that are computed at once; more only takes memory."""


class _Row(NamedTuple):
    """One query of one request, ready to be stacked with others of its kind."""

    fused: torch.Tensor
    seg: torch.Tensor
    points: torch.Tensor | None
    point_labels: torch.Tensor | None
    box: torch.Tensor | None
    previous_logits: torch.Tensor | None

    @property
    def kind(self) -> tuple[int, bool, bool]:
        """Rows of one kind make one batch: padding a prompt would change its attention."""
        clicks = 0 if self.points is None else len(self.points)
        return clicks, self.box is not None, self.previous_logits is not None


class MaskDecoderEngine:
    """Implements `reasoncd.ports.MaskDecoder`.

    Args:
        model: float32; taken over.
        description: who the service is.
        device: where it computes.
    """

    def __init__(
        self, model: ChangeMaskDecoder, description: Description, *, device: torch.device | str = "cpu"
    ) -> None:
        self._device = torch.device(device)
        self._model = model.to(self._device).eval().requires_grad_(False)
        self._description = description

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, *, device: torch.device | str = "cpu"
    ) -> "MaskDecoderEngine":
        """Load the decoder of a checkpoint.

        Raises:
            CheckpointError: configuration or weights do not fit.
        """
        section = checkpoint.config("mask_decoder")
        config = from_dict(MaskDecoderConfig, section, where="config.json: mask_decoder")
        description = Description(
            component="mask_decoder",
            version=__version__,
            preset=checkpoint.preset,
            fingerprint=checkpoint.fingerprint("mask_decoder"),
            seg_space=checkpoint.seg_space_of("mask_decoder"),
            image_size=config.image_size,
            presence_threshold=checkpoint.presence_threshold,
            probability_threshold=checkpoint.probability_threshold,
            tensors=(
                TensorShape(
                    name="fused_map",
                    dtype="bfloat16",
                    shape=config.fused_shape,
                ),
                TensorShape(name="seg_embeddings", dtype="float32", shape=(0, config.embed_dim)),
            ),
        )
        model = load_mask_decoder(checkpoint.safetensors("mask_decoder", MASK_DECODER), config)
        if config.both_orders:
            model.opposites = load_opposites(checkpoint.safetensors("mask_decoder", PROMPT_TABLE), config)
        return cls(model, description, device=device)

    def describe(self) -> Description:
        """Who this service is."""
        return self._description

    def decode(
        self,
        fused: Tensor,
        seg_embeddings: Tensor,
        *,
        clicks: Clicks | None = None,
        boxes: NDArray[np.float32] | None = None,
        previous_logits: NDArray[np.float32] | None = None,
    ) -> DecodedMasks:
        """One mask for each query on one fused map.

        Args:
            fused: bfloat16 (D, h, w), or (2, D, h, w) where the configuration has both orders.
            seg_embeddings: float32 (Q, D).
            clicks: corrections of every query.
            boxes: float32 (Q, 4), x1, y1, x2, y2 in input pixels.
            previous_logits: float32 (Q, S, S), an earlier answer to correct.

        Raises:
            InvalidInputError: an argument has the wrong dtype, shape or values, or values so large that the
                answer is not finite.
        """
        request = DecodeRequest(
            fused=fused,
            seg_embeddings=seg_embeddings,
            clicks=clicks,
            boxes=boxes,
            previous_logits=previous_logits,
        )
        return self.decode_many([request])[0]

    def check(self, request: DecodeRequest) -> None:
        """Check one request alone, before it shares a batch with others.

        Raises:
            InvalidInputError: as `decode`; features that are not finite are found later, when they are read,
                and values that are too large when they are computed with.
        """
        check_request(request, self._model.config)

    @torch.inference_mode()
    def decode_many(self, requests: Sequence[DecodeRequest]) -> list[DecodedMasks]:
        """Answer calls about any pairs together, in batches of queries with prompts of one kind.

        Args:
            requests: any number of calls.

        Returns:
            One answer a call, in order.

        Raises:
            InvalidInputError: a call is one that `decode` refuses.
        """
        for request in requests:
            self.check(request)
        rows = [row for request in requests for row in self._rows(request)]
        side = self._model.config.image_size
        logits = torch.empty(len(rows), side, side)
        presence, quality = torch.empty(len(rows)), torch.empty(len(rows))
        for places in _batches([row.kind for row in rows]):
            # One fused map a row: looking for equal ones would cost more than it saves.
            batch = [rows[i] for i in places]
            fused = torch.stack([row.fused for row in batch])
            index = torch.arange(len(batch), device=self._device)
            out = self._model.answer(fused, _prompts(batch), index)
            logits[places] = self._model.to_input_size(out.mask_logits).cpu()
            presence[places] = out.presence_logits.sigmoid().cpu()
            quality[places] = out.quality.clamp(0, 1).cpu()
        answers = []
        start = 0
        for request in requests:
            part = slice(start, start + request.query_count)
            start = part.stop
            answer = DecodedMasks(
                logits=logits[part].numpy(), presence=presence[part].numpy(), quality=quality[part].numpy()
            )
            check_answer(answer)
            answers.append(answer)
        return answers

    def _rows(self, request: DecodeRequest) -> Iterator[_Row]:
        fused = to_torch(request.fused, device=self._device, name="fused map").float()
        segs = to_torch(request.seg_embeddings, device=self._device, name="seg_embeddings")
        points = labels = boxes = previous = None
        if request.clicks is not None and request.click_count:
            points, labels = self._tensor(request.clicks.points), self._tensor(request.clicks.labels)
        if request.boxes is not None:
            boxes = self._tensor(request.boxes)
        if request.previous_logits is not None:
            previous = self._at_mask_size(self._tensor(request.previous_logits))
        for i, seg in enumerate(segs):
            yield _Row(
                fused=fused,
                seg=seg,
                points=points,
                point_labels=labels,
                box=None if boxes is None else boxes[i],
                previous_logits=None if previous is None else previous[i],
            )

    def _tensor(self, array: NDArray[np.float32] | NDArray[np.int64]) -> torch.Tensor:
        # A copy: torch can neither wrap what is read-only nor what is stored backwards.
        return torch.from_numpy(np.array(array, order="C")).to(self._device)

    def _at_mask_size(self, logits: torch.Tensor) -> torch.Tensor:
        """(Q, S, S) -> (Q, 4h, 4w): what SAM's prompt encoder takes."""
        size = (self._model.config.mask_size, self._model.config.mask_size)
        if logits.shape[-2:] == size:
            return logits
        # Not antialiased: the logits were brought up to S bilinearly, and this takes them back.
        return F.interpolate(logits[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def _batches(kinds: Sequence[tuple[int, bool, bool]]) -> Iterator[list[int]]:
    """Places of rows of one kind, at most `MAX_BATCH` at a time, in order."""
    by_kind: dict[tuple[int, bool, bool], list[int]] = {}
    for place, kind in enumerate(kinds):
        by_kind.setdefault(kind, []).append(place)
    for places in by_kind.values():
        for start in range(0, len(places), MAX_BATCH):
            yield places[start : start + MAX_BATCH]


def _prompts(rows: Sequence[_Row]) -> Prompts:
    """Rows of one kind as one batch of prompts."""
    return Prompts(
        seg=torch.stack([row.seg for row in rows]),
        points=_stacked([row.points for row in rows]),
        point_labels=_stacked([row.point_labels for row in rows]),
        boxes=_stacked([row.box for row in rows]),
        previous_logits=_stacked([row.previous_logits for row in rows]),
    )


def _stacked(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """All or none: rows of one kind have the same fields."""
    present = [part for part in parts if part is not None]
    return torch.stack(present) if present else None
