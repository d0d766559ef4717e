"""What was sent is kept by its own digest, and never more bytes than allowed."""

import threading

import numpy as np
import pytest

from reasoncd.errors import InvalidInputError
from reasoncd.tensors import Tensor
from services.serving.feature_store import FeatureStore

pytestmark = pytest.mark.unit


def _tensor(value: int, size: int = 100) -> Tensor:
    return Tensor.from_numpy(np.full(size, value, np.uint8))


def test_the_key_is_the_digest_of_the_bytes() -> None:
    store = FeatureStore(1000)
    tensor = _tensor(1)
    assert store.keep(tensor) == tensor.digest
    assert store.get(tensor.digest) is tensor
    assert store.get(_tensor(2).digest) is None


def test_what_was_used_longest_ago_goes_first() -> None:
    store = FeatureStore(250)
    first, second = store.keep(_tensor(1)), store.keep(_tensor(2))
    assert store.get(first) is not None
    third = store.keep(_tensor(3))
    assert [store.get(digest) is not None for digest in (first, second, third)] == [True, False, True]


def test_putting_again_counts_as_use_and_adds_no_bytes() -> None:
    store = FeatureStore(250)
    first, second = store.keep(_tensor(1)), store.keep(_tensor(2))
    store.keep(_tensor(1))
    assert store.held_bytes == 200
    store.keep(_tensor(3))
    assert store.get(first) is not None
    assert store.get(second) is None


def test_what_is_larger_than_the_bound_drops_nothing() -> None:
    store = FeatureStore(250)
    kept = store.keep(_tensor(1))
    large = store.keep(_tensor(2, size=251))
    assert store.get(large) is None
    assert store.get(kept) is not None
    assert store.held_bytes == 100


@pytest.mark.parametrize("bound", [0, 99])
def test_a_bound_below_one_tensor_keeps_nothing(bound: int) -> None:
    store = FeatureStore(bound)
    assert store.get(store.keep(_tensor(1))) is None
    assert len(store) == 0


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="give 0 or more"):
        FeatureStore(-1)


def test_the_bound_holds_while_threads_share_it() -> None:
    store = FeatureStore(1000)
    tensors = [_tensor(value) for value in range(40)]
    seen: list[int] = []

    def work(offset: int) -> None:
        for number in range(400):
            tensor = tensors[(number * 7 + offset) % len(tensors)]
            found = store.get(store.keep(tensor))
            assert found is None or found == tensor
            seen.append(store.held_bytes)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1600
    # A reader may look between a new tensor and the drop of an old one only under the lock.
    assert store.held_bytes == 100 * len(store) <= 1000
