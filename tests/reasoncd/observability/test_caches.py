"""Metrics of caches and of the models that answer."""

from collections.abc import Callable

import pytest

from reasoncd.cache_counts import CacheCounts
from reasoncd.observability.caches import watch_cache
from reasoncd.observability.metrics import REGISTRY, show_models
from reasoncd.observability.queues import Queued
from reasoncd.ports import Description

pytestmark = pytest.mark.unit

Value = Callable[..., float]


class Held:
    """A cache as the metrics see it."""

    def __init__(self, hits: int) -> None:
        self.counts = CacheCounts(hits=hits, misses=2, evictions=3)
        self.held_bytes, self.max_bytes = 40, 50


def test_a_cache_is_read_when_it_is_asked_for(value: Value) -> None:
    cache = Held(hits=1)
    watch_cache("tried-out", "kept", cache)
    labels = {"service": "tried-out", "cache": "kept"}
    names = ("hits_total", "misses_total", "evictions_total", "bytes", "limit_bytes")
    assert [value(f"reasoncd_cache_{name}", **labels) for name in names] == [1, 2, 3, 40, 50]
    cache.counts.hits += 1
    assert value("reasoncd_cache_hits_total", **labels) == 2


def test_a_cache_that_took_its_place_is_shown_and_one_that_is_gone_is_not() -> None:
    labels = {"service": "tried-out", "cache": "replaced"}
    first, second = Held(hits=1), Held(hits=5)
    watch_cache("tried-out", "replaced", first)
    watch_cache("tried-out", "replaced", second)
    assert REGISTRY.get_sample_value("reasoncd_cache_hits_total", labels) == 5
    del second
    assert REGISTRY.get_sample_value("reasoncd_cache_hits_total", labels) is None


def test_a_model_that_was_replaced_is_not_shown_any_more() -> None:
    def shown() -> set[tuple[str, str]]:
        return {
            (sample.labels["component"], sample.labels["fingerprint"])
            for metric in REGISTRY.collect()
            for sample in metric.samples
            if sample.name == "reasoncd_model_info" and sample.labels["service"] == "tried-out"
        }

    def description(component: str, fingerprint: str) -> Description:
        return Description(
            component=component, version="1", preset="tiny", fingerprint=fingerprint, seg_space=None
        )

    show_models("tried-out", [description("reasoner", "aa"), description("mask_decoder", "bb")])
    show_models("another", [description("reasoner", "zz")])
    assert shown() == {("reasoner", "aa"), ("mask_decoder", "bb")}
    show_models("tried-out", [description("reasoner", "cc")])
    assert shown() == {("reasoner", "cc")}


def test_who_waits_leaves_once(value: Value) -> None:
    labels = {"service": "tried-out"}
    first, second = Queued("tried-out"), Queued("tried-out")
    assert value("reasoncd_queue_requests", **labels) == 2
    first.leave()
    first.leave()
    assert value("reasoncd_queue_requests", **labels) == 1
    second.leave()
    assert value("reasoncd_queue_requests", **labels) == 0
    assert value("reasoncd_queue_seconds_count", **labels) == 2
