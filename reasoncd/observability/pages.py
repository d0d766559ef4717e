"""Pages of metrics in Prometheus' text format: of one process, and of several put together."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from reasoncd.observability.metrics import REGISTRY

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def page() -> bytes:
    """This process's metrics."""
    return generate_latest(REGISTRY)


def merged(pages: Mapping[str, str], *, label: str, extra: Iterable[Metric] = ()) -> bytes:
    """Several processes' pages as one.

    Args:
        pages: by the name of the process.
        label: gets the process's name, on every sample.
        extra: further metrics, as they are.
    """
    families: dict[str, Metric] = {metric.name: metric for metric in extra}
    for name, text in pages.items():
        for family in text_string_to_metric_families(text):
            whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                whole.samples.append(sample._replace(labels={**sample.labels, label: name}))
    return generate_latest(_Given(families.values()))


class _Given(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics
