"""The prefilled prompt prefix of a pair, and the bounded store of such prefixes.

Images stand before query and mode, so one prefix serves every question about a pair. A prefix is never
changed: each answer decodes on a clone. Losing one costs a prefill, never an answer.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import torch
from transformers import DynamicCache

from reasoncd.cache_counts import CacheCounts
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


class PrefixCache:
    """Least recently used prefixes, bounded in bytes. Safe to share between threads.

    Args:
        limit: bytes; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[tuple[str, ...], Prefix] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        self.counts = CacheCounts()

    @property
    def max_bytes(self) -> int:
        """The limit."""
        return self._limit

    @property
    def held_bytes(self) -> int:
        """Bytes held now; at most the limit."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: tuple[str, ...]) -> bool:
        """Whether a prefix is held; neither counted nor a use of it."""
        return key in self._entries

    def get(self, key: tuple[str, ...]) -> Prefix | None:
        """The prefix under `key`, which becomes the most recently used, or None."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                self.counts.misses += 1
            else:
                self.counts.hits += 1
                self._entries.move_to_end(key)
            return found

    def get_or_compute(self, key: tuple[str, ...], compute: Callable[[], Prefix]) -> Prefix:
        """The prefix under `key`, computed outside the lock and kept where it is missing.

        Two threads may compute the same prefix at once; both results are equal and one is kept.
        """
        found = self.get(key)
        if found is not None:
            return found
        fresh = compute()
        with self._lock:
            if key in self._entries or fresh.nbytes > self._limit:
                return fresh
            self._entries[key] = fresh
            self._bytes += fresh.nbytes
            while self._bytes > self._limit:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.nbytes
                self.counts.evictions += 1
        return fresh
