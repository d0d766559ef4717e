"""What a cache counts of itself, for whoever wants to know whether it is worth its memory."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class CacheCounts:
    """Since the start; changed under the cache's own lock."""

    hits: int = 0
    """Look-ups that found what they looked for."""
    misses: int = 0
    """Look-ups that did not."""
    evictions: int = 0
    """Entries that were dropped to make room."""
