"""A cache bounded in bytes: what was used least recently leaves first.

Losing an entry costs time or a transfer, never an answer. What an entry is, its owner knows.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from reasoncd.cache_counts import CacheCounts
from reasoncd.errors import InvalidInputError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByteCache(Generic[Key, Value]):
    """The values that were used last, as many as fit. Threads may share it.

    Args:
        max_bytes: bound of what all of them hold; 0 keeps nothing.
        size: bytes of a value.

    Raises:
        InvalidInputError: the bound is negative.
    """

    def __init__(self, max_bytes: int, size: Callable[[Value], int]) -> None:
        if max_bytes < 0:
            raise InvalidInputError(f"a cache's bound is {max_bytes} bytes; give 0 or more")
        self._max_bytes = max_bytes
        self._size = size
        self._entries: OrderedDict[Key, Value] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self.counts = CacheCounts()

    @property
    def max_bytes(self) -> int:
        """The bound."""
        return self._max_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes held now, at most `max_bytes`."""
        return self._bytes

    def __len__(self) -> int:
        """Values held now."""
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        """Whether a value is held; neither counted nor a use of it."""
        return key in self._entries

    def get(self, key: Key) -> Value | None:
        """The value under a key, which becomes the one used last; None where there is none."""
        with self._lock:
            value = self._entries.get(key)
            if value is None:
                self.counts.misses += 1
            else:
                self.counts.hits += 1
                self._entries.move_to_end(key)
            return value

    def put(self, key: Key, value: Value) -> None:
        """Keep a value, and drop those that were not used for longest.

        One that alone is larger than the bound is not kept, and drops nothing. Where the key is held, the
        earlier value stays and becomes the one used last.
        """
        size = self._size(value)
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return
            if size > self._max_bytes:
                return
            while self._bytes + size > self._max_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= self._size(dropped)
                self.counts.evictions += 1
            self._entries[key] = value
            self._bytes += size

    def get_or_make(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value under a key, from the cache or from `make`.

        `make` is called without the lock: two threads may both make what neither finds, and one is kept.
        """
        found = self.get(key)
        if found is not None:
            return found
        made = make()
        self.put(key, made)
        return made
