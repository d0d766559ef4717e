"""Every metric of ReasonCD, in one place; docs/observability.md is compared with it by a test.

Labels have few values: `service` is one of the applications or `gateway`, `method` an rpc or a route, `code`
a status by its gRPC name. Nothing that a caller writes becomes a label.
"""

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from reasoncd.ports import Description

REGISTRY = CollectorRegistry(auto_describe=True)
"""An own one: what libraries (Ray) register in the global one is not ours to show."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""From a cache hit to a large mosaic with reasons on a CPU."""
BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

# One more series for each counter and histogram, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)

requests = Counter(
    "reasoncd_requests_total",
    "Calls that ended, by gRPC status.",
    ("service", "method", "code"),
    registry=REGISTRY,
)
request_seconds = Histogram(
    "reasoncd_request_seconds",
    "From a call's arrival to its last byte.",
    ("service", "method"),
    buckets=SECONDS,
    registry=REGISTRY,
)
requests_in_flight = Gauge(
    "reasoncd_requests_in_flight",
    "Calls that are being answered.",
    ("service", "method"),
    registry=REGISTRY,
)
stage_seconds = Histogram(
    "reasoncd_stage_seconds",
    "One stage of an answer as the gateway sees it, the wire included.",
    ("stage",),
    buckets=SECONDS,
    registry=REGISTRY,
)
stage_errors = Counter(
    "reasoncd_stage_errors_total",
    "Stages that failed, by gRPC status.",
    ("stage", "code"),
    registry=REGISTRY,
)
queue_requests = Gauge(
    "reasoncd_queue_requests",
    "Requests that wait to be computed.",
    ("service",),
    registry=REGISTRY,
)
queue_seconds = Histogram(
    "reasoncd_queue_seconds",
    "How long a request or batch waited for the computing thread.",
    ("service",),
    buckets=SECONDS,
    registry=REGISTRY,
)
compute_seconds = Histogram(
    "reasoncd_compute_seconds",
    "One piece of work in the computing thread.",
    ("service",),
    buckets=SECONDS,
    registry=REGISTRY,
)
batch_requests = Histogram(
    "reasoncd_batch_requests",
    "Requests that were computed together.",
    ("service",),
    buckets=BATCHES,
    registry=REGISTRY,
)
generated_tokens = Counter(
    "reasoncd_generated_tokens_total",
    "Tokens that the reasoner wrote.",
    ("service", "mode"),
    registry=REGISTRY,
)
feature_transfers = Counter(
    "reasoncd_feature_transfers_total",
    "How features went to a service: `digest` alone was enough, `missing` there, or `sent` in full.",
    ("application", "outcome"),
    registry=REGISTRY,
)
retries = Counter(
    "reasoncd_retries_total",
    "Calls to a service that were made a second time.",
    ("application",),
    registry=REGISTRY,
)
retries_withheld = Counter(
    "reasoncd_retries_withheld_total",
    "Calls that could have been made again but for the retry budget.",
    ("application",),
    registry=REGISTRY,
)
reruns = Counter(
    "reasoncd_reruns_total",
    "Requests that were run again because a service was replaced while they ran.",
    registry=REGISTRY,
)
refused = Counter(
    "reasoncd_refused_total",
    "Requests that were not admitted, by what was full.",
    ("reason",),
    registry=REGISTRY,
)
admitted_bytes = Gauge(
    "reasoncd_admitted_bytes",
    "Bytes of the requests that are being answered.",
    registry=REGISTRY,
)
answers = Counter(
    "reasoncd_answers_total",
    "Questions answered: `changed`, `unchanged` or `off_topic`.",
    ("outcome",),
    registry=REGISTRY,
)
jobs = Gauge(
    "reasoncd_jobs",
    "Scene jobs that wait or are in work.",
    ("state",),
    registry=REGISTRY,
)
jobs_ended = Counter(
    "reasoncd_jobs_ended_total",
    "Scene jobs that ended: `done`, `failed` or `cancelled`.",
    ("state",),
    registry=REGISTRY,
)
job_tiles = Counter(
    "reasoncd_job_tiles_total",
    "Tiles of scene jobs: `done`, or `failed` and tried again.",
    ("outcome",),
    registry=REGISTRY,
)
Outcome = Literal["changed", "unchanged", "off_topic"]
Refusal = Literal["requests", "bytes", "token", "draining"]
"""What was used up: places, memory, or the places of the caller's token; or the gateway is going down."""
# Shown as 0 from the start: a rate needs a value before the first event.
for _outcome in get_args(Outcome):
    answers.labels(_outcome)
for _refusal in get_args(Refusal):
    refused.labels(_refusal)
for _state in ("queued", "running"):
    jobs.labels(_state)
for _ended in ("done", "failed", "cancelled"):
    jobs_ended.labels(_ended)
for _tile in ("done", "failed"):
    job_tiles.labels(_tile)
model_info = Gauge(
    "reasoncd_model_info",
    "1 for each component that a process holds or, on the gateway, asks.",
    ("service", "component", "version", "fingerprint", "preset", "seg_space"),
    registry=REGISTRY,
)


def show_models(service: str, descriptions: Iterable[Description]) -> None:
    """Set `reasoncd_model_info` of a service; what it said before is forgotten.

    Args:
        service: which process tells.
        descriptions: of the components that it holds, or asks.
    """
    model_info.remove_by_labels({"service": service})
    for told in descriptions:
        model_info.labels(
            service, told.component, told.version, told.fingerprint, told.preset, told.seg_space or ""
        ).set(1)
