"""Metrics of caches, read from the caches when a page is asked for: they count, and know no Prometheus."""

import threading
import weakref
from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reasoncd.cache_counts import CacheCounts
from reasoncd.observability.metrics import REGISTRY

LABELS = ("service", "cache")


class Cache(Protocol):
    """What is read of a cache."""

    counts: CacheCounts

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        ...

    @property
    def max_bytes(self) -> int:
        """Their bound."""
        ...


class CacheMetrics(Collector):
    """The metrics of every cache that `watch` was told of and that is still in use."""

    def __init__(self) -> None:
        self._caches: dict[tuple[str, str], weakref.ref[Cache]] = {}
        self._lock = threading.Lock()

    def watch(self, service: str, name: str, cache: Cache) -> None:
        """Show a cache from now on, in place of an earlier one of the same service and name."""
        with self._lock:
            self._caches[service, name] = weakref.ref(cache)

    def describe(self) -> Iterator[Metric]:
        """The families without samples."""
        yield from _families()

    def collect(self) -> Iterator[Metric]:
        """The families with one sample for each cache."""
        hits, misses, evictions, held, limit = families = _families()
        with self._lock:
            caches = list(self._caches.items())
        for labels, reference in caches:
            cache = reference()
            if cache is None:
                continue
            hits.add_metric(labels, cache.counts.hits)
            misses.add_metric(labels, cache.counts.misses)
            evictions.add_metric(labels, cache.counts.evictions)
            held.add_metric(labels, cache.held_bytes)
            limit.add_metric(labels, cache.max_bytes)
        yield from families


def _families() -> tuple[
    CounterMetricFamily, CounterMetricFamily, CounterMetricFamily, GaugeMetricFamily, GaugeMetricFamily
]:
    return (
        CounterMetricFamily("reasoncd_cache_hits_total", "Look-ups that a cache answered.", labels=LABELS),
        CounterMetricFamily("reasoncd_cache_misses_total", "Look-ups that it did not answer.", labels=LABELS),
        CounterMetricFamily(
            "reasoncd_cache_evictions_total", "Entries that were dropped to make room.", labels=LABELS
        ),
        GaugeMetricFamily("reasoncd_cache_bytes", "Bytes that a cache holds.", labels=LABELS),
        GaugeMetricFamily("reasoncd_cache_limit_bytes", "Bytes that a cache may hold.", labels=LABELS),
    )


_CACHES = CacheMetrics()
REGISTRY.register(_CACHES)

watch_cache = _CACHES.watch
