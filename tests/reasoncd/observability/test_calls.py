"""Every call behind the guard is counted, timed and in nobody else's trace."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from reasoncd.errors import InvalidInputError, OverloadedError
from reasoncd.observability.calls import ObservedCall
from reasoncd.v1 import describe_pb2, reasoner_pb2
from tests.reasoncd.observability.tried_out import Guarded, wait_for

pytestmark = pytest.mark.unit

Value = Callable[..., float]


def raises(error: Exception) -> Callable[[], object]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda: None, "OK"),
        (raises(InvalidInputError("query is empty; ask")), "INVALID_ARGUMENT"),
        (raises(OverloadedError("full")), "RESOURCE_EXHAUSTED"),
        (raises(ZeroDivisionError("a fault")), "INTERNAL"),
    ],
)
@pytest.mark.parametrize("method", ["Describe", "Reason"])
def test_a_call_is_counted_by_its_status(
    stub: Any, servicer: Guarded, value: Value, act: Callable[[], object], code: str, method: str
) -> None:
    labels = {"service": "tried-out", "method": method}
    counted = value("reasoncd_requests_total", **labels, code=code)
    timed = value("reasoncd_request_seconds_count", **labels)
    inside = []

    def watched() -> None:
        inside.append(value("reasoncd_requests_in_flight", **labels))
        act()

    servicer.act = watched

    def call() -> object:
        if method == "Describe":
            return stub.Describe(describe_pb2.DescribeRequest())
        return list(stub.Reason(reasoner_pb2.ReasonRequest()))

    if code == "OK":
        call()
    else:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code().name == code
    assert inside == [1]
    # The client has its answer a moment before the server has put its books in order.
    wait_for(lambda: value("reasoncd_requests_in_flight", **labels) == 0)
    assert value("reasoncd_requests_total", **labels, code=code) == counted + 1
    assert value("reasoncd_request_seconds_count", **labels) == timed + 1


def test_a_cancelled_stream_is_counted_so(stub: Any, servicer: Guarded, value: Value) -> None:
    labels = {"service": "tried-out", "method": "Reason"}
    before = value("reasoncd_requests_total", **labels, code="CANCELLED")
    servicer.lingers = True
    call = stub.Reason(reasoner_pb2.ReasonRequest())
    next(call)
    call.cancel()
    wait_for(lambda: value("reasoncd_requests_total", **labels, code="CANCELLED") == before + 1)
    assert value("reasoncd_requests_in_flight", **labels) == 0


def test_a_body_that_raises_past_its_handler_is_a_fault(value: Value) -> None:
    labels = {"service": "tried-out", "method": "POST /v1/x"}
    with pytest.raises(KeyError), ObservedCall("tried-out", "POST /v1/x", {}):
        raise KeyError
    assert value("reasoncd_requests_total", **labels, code="INTERNAL") == 1
    assert value("reasoncd_requests_in_flight", **labels) == 0


def test_a_status_that_was_noted_stays(value: Value) -> None:
    labels = {"service": "tried-out", "method": "POST /v1/y"}
    with ObservedCall("tried-out", "POST /v1/y", {}) as call:
        call.failed("NOT_FOUND")
    assert value("reasoncd_requests_total", **labels, code="NOT_FOUND") == 1
