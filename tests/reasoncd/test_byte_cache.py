"""What was used last stays, as much as fits."""

import threading

import pytest

from reasoncd.byte_cache import ByteCache
from reasoncd.errors import InvalidInputError

pytestmark = pytest.mark.unit


def _cache(bound: int = 10) -> ByteCache[str, bytes]:
    return ByteCache(bound, len)


def test_the_least_recently_used_leaves_first() -> None:
    cache = _cache()
    cache.put("a", bytes(4))
    cache.put("b", bytes(4))
    assert cache.get("a") is not None
    cache.put("c", bytes(4))
    assert [key in cache for key in "abc"] == [True, False, True]
    assert (cache.held_bytes, len(cache), cache.counts.evictions) == (8, 2, 1)


def test_a_look_is_neither_counted_nor_a_use() -> None:
    cache = _cache()
    cache.put("a", bytes(4))
    cache.put("b", bytes(4))
    assert "a" in cache
    cache.put("c", bytes(4))
    assert "a" not in cache
    assert (cache.counts.hits, cache.counts.misses) == (0, 0)


def test_what_is_larger_than_the_bound_drops_nothing_and_the_first_value_stays() -> None:
    cache = _cache()
    first = bytes(4)
    cache.put("a", first)
    cache.put("large", bytes(11))
    cache.put("a", bytes(3))
    assert cache.get("a") is first
    assert "large" not in cache
    assert cache.held_bytes == 4


def test_what_was_made_is_given_again_and_counted() -> None:
    cache = _cache()
    made = cache.get_or_make("a", lambda: bytes(3))
    assert cache.get_or_make("a", lambda: pytest.fail("made again")) is made
    assert (cache.counts.hits, cache.counts.misses) == (1, 1)


def test_a_bound_below_zero_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="-1 bytes"):
        _cache(-1)


def test_threads_never_hold_more_than_the_bound() -> None:
    cache = _cache(100)

    def fill(first: int) -> None:
        for number in range(first, first + 500):
            cache.get_or_make(str(number % 70), lambda: bytes(7))
            assert cache.held_bytes <= 100

    threads = [threading.Thread(target=fill, args=(17 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.held_bytes == 7 * len(cache)
