"""Files that are sent again are not decoded again, and nothing else is taken for them."""

import pytest

from gateway.server.asked import Asked, ImageNames
from gateway.server.decoded_pairs import DecodedPairs
from reasoncd.errors import InvalidInputError
from tests.gateway.server.conftest import scene

pytestmark = pytest.mark.unit

T1, T2 = scene(32, 48)


def _asked(t1: bytes, t2: bytes, *queries: str) -> Asked:
    return Asked(
        image_t1=t1,
        image_t2=t2,
        queries=queries or ("new roads",),
        names=ImageNames(t1="t1", t2="t2"),
        image_bytes=2**20,
    )


def test_files_that_come_again_are_decoded_once() -> None:
    pairs = DecodedPairs(2**20)
    first = pairs.pair(_asked(T1, T2))
    assert pairs.pair(_asked(T1, T2, "lost water")) is first
    assert (first.images == _asked(T1, T2).decode().images).all()


def test_order_and_border_of_the_files_count() -> None:
    pairs = DecodedPairs(2**20)
    first, turned = pairs.pair(_asked(T1, T2)), pairs.pair(_asked(T2, T1))
    assert (first.images[::-1] == turned.images).all()
    assert (first.images != turned.images).any()
    # The same bytes in a row, divided elsewhere, are other files.
    with pytest.raises(InvalidInputError):
        pairs.pair(_asked(T1 + T2[:8], T2[8:]))


def test_nobody_changes_what_others_read() -> None:
    with pytest.raises(ValueError, match="read-only"):
        DecodedPairs(2**20).pair(_asked(T1, T2)).images[0, 0, 0] = 0


def test_what_cannot_be_decoded_is_refused_each_time_and_the_bound_holds() -> None:
    pairs = DecodedPairs(2 * 32 * 48 * 3)
    for _ in range(2):
        with pytest.raises(InvalidInputError, match="t2"):
            pairs.pair(_asked(T1, b"no image"))
    assert len(pairs) == 0
    pairs.pair(_asked(T1, T2))
    pairs.pair(_asked(T2, T1))
    assert pairs.held_bytes == 2 * 32 * 48 * 3
