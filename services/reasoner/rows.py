"""Sequences that are decoded together: one key-value cache with a row for each, of lengths of their own.

The positions of a row stand in order in the cache's slots. A slot that is none of its positions (padding
before a shorter row, a guess that was wrong) is masked. As long as no row has such gaps there is no mask, so
one row by itself is computed as if there were no batch.

Letters: B rows, S slots, L positions fed, D width of the language model. It does not know answers or tokens'
meanings.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F
from transformers import DynamicCache

from services.reasoner.model import ReasonerModel, pad, positions_of
from services.reasoner.prefix_cache import Prefix, stack_prefixes


class Rows:
    """Rows that grow, join and leave. Belongs to one thread.

    Args:
        model: in evaluation mode.
        prefixes: what each row begins with; copied, all of one length.
    """

    def __init__(self, model: ReasonerModel, prefixes: Sequence[Prefix]) -> None:
        self.model = model
        self.cache = stack_prefixes(prefixes)
        self._count = len(prefixes)
        self._mask: torch.Tensor | None = None

    def __len__(self) -> int:
        """Rows B."""
        return self._count

    @property
    def slots(self) -> int:
        """Positions S that the cache has room for, gaps included."""
        return self.cache.get_seq_length()

    @torch.inference_mode()
    def feed(self, ids: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Run some ids of every row in one pass.

        Args:
            ids: at least one for each row, as many as it likes.

        Returns:
            States (L, D) of each row's ids.
        """
        fed = [self.model.splice(row).embeddings for row in ids]
        if self._mask is None and len({len(row) for row in fed}) == 1:
            return list(self.model.run(torch.stack(fed), cache=self.cache))
        past = self.slots
        # Left padding brings the last position of every row to the same place, where the next ones follow.
        batch, fresh, starts = pad(fed, "left")
        mask = torch.cat([self.whole_mask(), fresh], dim=1)
        states = self.model.run(batch, mask=mask, positions=positions_of(mask)[:, past:], cache=self.cache)
        self._mask = mask
        return [row[start:] for row, start in zip(states, starts, strict=True)]

    @torch.inference_mode()
    def drop(self, counts: Sequence[int]) -> None:
        """Forget the last positions of each row, at most as many as it was fed last."""
        shared = min(counts)
        if shared:
            self.cache.crop(-shared)
            self._mask = None if self._mask is None else self._mask[:, :-shared]
        if max(counts) > shared:
            mask = self.whole_mask()
            for row, count in enumerate(counts):
                mask[row, mask.shape[1] - (count - shared) :] = 0
            self._mask = mask

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Let go of all other rows, and of the slots that none of these uses."""
        index = torch.tensor(rows, device=self.model.device)
        self.cache.batch_select_indices(index)
        self._count = len(rows)
        if self._mask is None:
            return
        mask = self._mask[index]
        used = mask.any(dim=0)
        if not used.all():
            for layer in _layers(self.cache):
                layer.keys, layer.values = layer.keys[:, :, used], layer.values[:, :, used]
            mask = mask[:, used]
        self._mask = None if mask.all() else mask

    @torch.inference_mode()
    def join(self, other: "Rows") -> None:
        """Take over the rows of `other`, which must not be used any more."""
        slots = max(self.slots, other.slots)
        mask = torch.cat([F.pad(m, (slots - m.shape[1], 0)) for m in (self.whole_mask(), other.whole_mask())])
        for mine, theirs in zip(_layers(self.cache), _layers(other.cache), strict=True):
            mine.keys = torch.cat([_widened(mine.keys, slots), _widened(theirs.keys, slots)])
            mine.values = torch.cat([_widened(mine.values, slots), _widened(theirs.values, slots)])
        self._count += len(other)
        self._mask = None if mask.all() else mask

    def whole_mask(self) -> torch.Tensor:
        """(B, S) of its own memory, 1 where a slot is a position of the row."""
        if self._mask is not None:
            return self._mask.clone()
        return torch.ones(self._count, self.slots, dtype=torch.long, device=self.model.device)


def _layers(cache: DynamicCache) -> list[Any]:
    """Its layers, of which transformers' types allow kinds without keys; a LLaMA has none of these."""
    return cache.layers


def _widened(states: torch.Tensor, slots: int) -> torch.Tensor:
    """Keys or values (B, heads, S, head width) with empty slots before them."""
    return F.pad(states, (0, 0, slots - states.shape[-2], 0))
