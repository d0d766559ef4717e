"""A small running system shows every metric that dashboard and alerts ask for, and tells no query."""

import io
import json
import socket
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from gateway.remote import RemoteConfig, connect
from reasoncd.errors import InvalidInputError
from reasoncd.observability import logs
from reasoncd.observability.calls import ObservedCall
from reasoncd.observability.node import NodePage
from reasoncd.ports import Mode
from reasoncd.rpc.scope import CallScope, under
from tests.observability.monitoring import names_asked_for, names_in
from tests.real_services import served

pytestmark = pytest.mark.contract

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
QUERY = "Which barns were built beside the old mill?"
Samples = dict[str, list[tuple[dict[str, str], float]]]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What is left of a system that ran."""

    log: str
    """At INFO."""
    samples: Samples
    """Labels and values by name, from a scrape over HTTP while it ran."""


@pytest.fixture(scope="module")
def ran(marking_checkpoint: Path, place: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """It answered two queries twice, one time with reasons, and refused one."""
    log = io.StringIO()
    undo = logs.configure("all-in-one", level="INFO", stream=log)
    with served(marking_checkpoint) as targets, connect(RemoteConfig(targets=targets)) as model:
        for mode in (Mode.SHORT, Mode.EXPLAINED):
            # As a front door does it for a caller who sends a trace context.
            scope, call = (
                CallScope(request_id=f"request-{mode.value}"),
                ObservedCall("gateway", "Try", CALLER),
            )
            with under(scope), call:
                model.detect(place, [QUERY, "lost roads"], mode=mode)
        with pytest.raises(InvalidInputError, match="query takes"):
            model.detect(place, ["\u8702" * 2000])
        samples = scrape(tmp_path_factory.mktemp("page"))
    undo()
    return Ran(log=log.getvalue(), samples=samples)


@pytest.fixture(scope="module")
def samples(ran: Ran) -> Samples:
    return ran.samples


def scrape(folder: Path) -> Samples:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = NodePage("127.0.0.1", port, folder=folder)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
            text = response.read().decode()
    finally:
        page.close()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(value for told, value in samples[name] if labels.items() <= told.items())


def test_everything_that_is_asked_for_is_there(samples: Samples) -> None:
    asked = names_asked_for()
    assert len(asked) > 25
    assert asked - set(samples) == set()


def test_a_name_that_nobody_shows_would_be_noticed(samples: Samples) -> None:
    assert names_in('sum(rate(reasoncd_request_total{x="reasoncd_y"}[5m]))') - set(samples) == {
        "reasoncd_request_total"
    }


def test_the_numbers_tell_what_happened(samples: Samples) -> None:
    # Other tests of this process may have counted too.
    for stage, times in [
        ("encode-for-reasoning", 1),
        ("encode-for-decoding", 1),
        ("reason", 4),
        ("decode", 2),
    ]:
        assert total(samples, "reasoncd_stage_seconds_count", stage=stage) >= times
    assert total(samples, "reasoncd_stage_errors_total", stage="reason", code="INVALID_ARGUMENT") >= 1
    for service in ("clip", "sam-fpn-fusion", "reasoner", "mask-decoder"):
        assert total(samples, "reasoncd_requests_total", service=service, code="OK") >= 1
        assert total(samples, "reasoncd_requests_in_flight", service=service) == 0
        assert total(samples, "reasoncd_queue_requests", service=service) == 0
        assert total(samples, "reasoncd_compute_seconds_count", service=service) >= 1
        assert total(samples, "reasoncd_model_info", service=service) == 1
    assert total(samples, "reasoncd_model_info", service="gateway") == 3
    assert total(samples, "reasoncd_answers_total") >= 4
    assert total(samples, "reasoncd_generated_tokens_total", mode="short") >= 2
    assert total(samples, "reasoncd_generated_tokens_total", mode="explained") >= 2
    assert total(samples, "reasoncd_batch_requests_count", service="mask-decoder") >= 2
    # Sent once, then named by digest.
    assert total(samples, "reasoncd_feature_transfers_total", application="reasoner", outcome="sent") >= 1
    assert total(samples, "reasoncd_feature_transfers_total", application="reasoner", outcome="digest") >= 3
    assert (
        total(samples, "reasoncd_feature_transfers_total", application="mask-decoder", outcome="digest") >= 1
    )


def test_request_id_and_trace_lead_through_all_services(ran: Ran) -> None:
    lines = [json.loads(line) for line in ran.log.splitlines()]
    found = [line for line in lines if line.get("request_id") == "request-short"]
    methods = sorted(line["method"] for line in found)
    assert methods == ["Decode", "EncodeForDecoding", "EncodeForReasoning", "Reason", "Reason", "Try"]
    assert {line.get("trace_id") for line in found} == {TRACE}


def test_no_query_is_told(ran: Ran) -> None:
    assert ran.log
    for word in ("barn", "mill", "roads"):
        assert word not in ran.log
