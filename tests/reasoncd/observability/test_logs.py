"""Logs are lines of JSON that name their request, and hold no query."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from reasoncd.observability import logs
from reasoncd.rpc.scope import CallScope, under
from reasoncd.v1 import describe_pb2, reasoner_pb2
from tests.reasoncd.observability.tried_out import Guarded

pytestmark = pytest.mark.unit

Lines = Callable[[], list[dict[str, Any]]]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
METADATA = (("x-request-id", "the-request"), ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"))


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What was written since the last look."""
    stream = io.StringIO()
    undo = logs.configure("tried-out", level="INFO", stream=stream)

    def read() -> list[dict[str, Any]]:
        text = stream.getvalue()
        stream.truncate(0)
        stream.seek(0)
        return [json.loads(line) for line in text.splitlines()]

    yield read
    undo()


def logger(name: str) -> logging.Logger:
    return logging.getLogger(name)


def test_a_line_says_when_who_and_what(lines: Lines) -> None:
    logger("services.somewhere").warning("it is %s", "so\nbad", extra={"place": 7})
    (line,) = lines()
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "service": "tried-out",
        "logger": "services.somewhere",
        "message": "it is so\nbad",
        "place": 7,
    }


def test_a_traceback_stays_on_its_line(lines: Lines) -> None:
    try:
        raise ZeroDivisionError("a fault")
    except ZeroDivisionError:
        logger("gateway").exception("failed")
    (line,) = lines()
    assert "ZeroDivisionError: a fault" in line["traceback"]


def test_what_json_does_not_know_is_written_as_text(lines: Lines) -> None:
    logger("gateway").info("x", extra={"where": {1, 2}})
    assert lines()[0]["where"] == "{1, 2}"


def test_the_scope_is_named(lines: Lines) -> None:
    with under(CallScope(request_id="abc")):
        logger("gateway").info("x")
    logger("gateway").info("y")
    first, second = lines()
    assert first["request_id"] == "abc"
    assert "request_id" not in second


def test_what_was_done_is_undone() -> None:
    log = logger("gateway")
    before = log.handlers, log.level, log.propagate
    undo = logs.configure("tried-out", level="DEBUG", also=["uvicorn"])
    assert logger("uvicorn").handlers == log.handlers != before[0]
    undo()
    assert (log.handlers, log.level, log.propagate) == before


def test_calls_name_their_request_and_the_callers_trace(stub: Any, servicer: Guarded, lines: Lines) -> None:
    servicer.act = lambda: logger("services.inside").info("at work")
    list(stub.Reason(reasoner_pb2.ReasonRequest(), metadata=METADATA))
    inside, ended = lines()
    for line in (inside, ended):
        assert (line["request_id"], line["trace_id"]) == ("the-request", TRACE)
    assert (ended["message"], ended["method"], ended["code"]) == ("call ended", "Reason", "OK")
    assert ended["seconds"] >= 0


def test_a_fault_is_written_with_its_request(stub: Any, servicer: Guarded, lines: Lines) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a fault")

    servicer.act = fail
    with pytest.raises(grpc.RpcError):
        list(stub.Reason(reasoner_pb2.ReasonRequest(), metadata=METADATA))
    failed, ended = lines()
    assert (failed["level"], failed["request_id"]) == ("ERROR", "the-request")
    assert "a fault" in failed["traceback"]
    assert (ended["level"], ended["code"]) == ("WARNING", "INTERNAL")


def test_polls_that_succeed_are_no_news(stub: Any, lines: Lines) -> None:
    stub.Describe(describe_pb2.DescribeRequest(), metadata=METADATA)
    assert lines() == []
