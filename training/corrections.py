"""Simulated corrections: what a user who sees a map would click, or the box they would draw.

Training shows the decoder its own map with clicks on its errors, and boxes around true changes, so that
correcting works; the accuracy protocol clicks as well, always in the middle of an error. Q queries, S the
input's side, P points.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_INNER = 9
"""Side in pixels of the window over which errors are averaged: clicks go inside an error, not on its rim."""
_WIDER = (33, 97)
"""Sides of further windows: by them, clicks go to the middle of what is inside."""
_REACH = 12
"""Pixels around a click in which no further one is set."""


def click_errors(
    logits: Tensor, truth: Tensor, count: int, *, anywhere: bool = False
) -> tuple[Tensor, Tensor]:
    """Click where a map is wrong: in the middle of the largest errors first, one place after the other.

    Args:
        logits: (Q, S, S) of the map that is corrected.
        truth: uint8 (Q, S, S): 0 no, 1 yes, 255 unknown.
        count: clicks P for each query.
        anywhere: somewhere inside an error by chance, larger ones more often: people click as they like.

    Returns:
        Points (Q, P, 2), x and y in pixels, float32, and labels (Q, P), int64: 1 "this changed", 0 "this did
        not", -1 where nothing is wrong any more.
    """
    shown = logits > 0
    missed, false = (truth == 1) & ~shown, (truth == 0) & shown
    wrong = (missed | false).float()
    # Large errors draw more clicks than thin rims: each kind is averaged over a window first.
    depth = torch.maximum(*(_depth(kind.float(), wider=not anywhere) for kind in (missed, false))) * wrong
    if anywhere:
        depth = depth * torch.rand_like(depth)
    side = logits.shape[-1]
    rows = torch.arange(side, device=logits.device)
    points, labels = [], []
    for _ in range(count):
        value, place = depth.flatten(1).max(dim=1)
        y, x = place // side, place % side
        kind = torch.where(missed.flatten(1).gather(1, place[:, None])[:, 0], 1, 0)
        points.append(torch.stack([x, y], dim=1).float())
        labels.append(torch.where(value > 0, kind, -1))
        near_y = (rows[None] - y[:, None]).abs() <= _REACH
        near_x = (rows[None] - x[:, None]).abs() <= _REACH
        depth = depth.masked_fill(near_y[:, :, None] & near_x[:, None, :], 0.0)
    return torch.stack(points, dim=1), torch.stack(labels, dim=1)


def boxes_around(truth: Tensor, *, jitter: float = 0.1) -> Tensor:
    """A hand-drawn box around all that truly changed; around everything where nothing did.

    Args:
        truth: uint8 (Q, S, S).
        jitter: largest error of a side, as a share of the box's.

    Returns:
        (Q, 4) float32, x1, y1, x2, y2 in pixels.
    """
    side = truth.shape[-1]
    yes = truth == 1
    boxes = []
    for along in (yes.any(dim=1), yes.any(dim=2)):
        first = along.float().argmax(dim=1)
        last = side - 1 - along.flip(1).float().argmax(dim=1)
        boxes.append(torch.stack([first, last], dim=1).float())
    (x1, x2), (y1, y2) = (b.unbind(1) for b in boxes)
    drawn = torch.stack([x1, y1, x2, y2], dim=1)
    size = torch.stack([x2 - x1, y2 - y1], dim=1).repeat(1, 2)
    drawn = drawn + size * jitter * (2 * torch.rand_like(drawn) - 1)
    everything = torch.tensor([0.0, 0.0, side - 1.0, side - 1.0], device=truth.device)
    return torch.where(yes.flatten(1).any(dim=1)[:, None], drawn.clamp(0, side - 1), everything)


def _depth(errors: Tensor, *, wider: bool) -> Tensor:
    """How far inside the errors of one kind each pixel lies: (Q, S, S)."""
    depth = _averaged(errors, _INNER)
    if not wider:
        return depth
    # Twice, which weighs the near more: one window alone is full in many places.
    return depth * (1 + sum(_averaged(_averaged(errors, window), window) for window in _WIDER))


def _averaged(errors: Tensor, window: int) -> Tensor:
    # Along rows, then along columns: a whole window at once costs its area.
    along = F.avg_pool2d(errors[:, None], (1, window), stride=1, padding=(0, window // 2))
    return F.avg_pool2d(along, (window, 1), stride=1, padding=(window // 2, 0))[:, 0]
