"""The prefilled prompt prefix of a pair, and the bounded store of such prefixes.

Images stand before query and mode, so one prefix serves every question about a pair. A prefix is never
changed: each answer decodes on a clone. Losing one costs a prefill, never an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from reasoncd.byte_cache import ByteCache
from services.reasoner.model import ReasonerModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefix:
    """Keys and values of one pair's prefix."""

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """Keys and values of each block, (1, heads, L, head width)."""

    @property
    def length(self) -> int:
        """Positions L."""
        return self.layers[0][0].shape[-2]

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return sum(k.nbytes + v.nbytes for k, v in self.layers)

    def clone(self) -> DynamicCache:
        """A cache of its own memory that may grow."""
        return stack_prefixes([self])


@torch.inference_mode()
def prefill(model: ReasonerModel, clip_tokens: torch.Tensor, prefix_ids: Sequence[int]) -> Prefix:
    """Compute one pair's prefix: (T, N, C) patch tokens, any float dtype.

    Always one pair at a time: that is the canonical computation, which cached and cold answers share.
    """
    cache = model.prefill_prefix(clip_tokens.unsqueeze(0), prefix_ids)
    return Prefix(layers=tuple((keys, values) for keys, values, _ in cache))


@torch.inference_mode()
def stack_prefixes(prefixes: Sequence[Prefix]) -> DynamicCache:
    """One cache with a row for each prefix, in memory of its own; all have one length."""
    layers = zip(*(p.layers for p in prefixes), strict=True)
    # `DynamicCache` itself concatenates what it is given to an empty tensor: nothing is shared.
    return DynamicCache(
        [(torch.cat([k for k, _ in rows]), torch.cat([v for _, v in rows])) for rows in layers]
    )


class PrefixCache(ByteCache[tuple[str, ...], Prefix]):
    """Prefixes by what they were computed from. Safe to share between threads.

    Args:
        limit: bytes; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit, lambda prefix: prefix.nbytes)
