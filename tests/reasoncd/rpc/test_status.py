"""Errors become statuses and errors again."""

import grpc
import pytest

from reasoncd import errors
from reasoncd.errors import Code, JobStateError, OverloadedError, ReasonCDError, error_of
from reasoncd.rpc.status import error_from_status, is_ours, status_of, trailers_of

pytestmark = pytest.mark.unit

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, ReasonCDError)
    and kind not in (OverloadedError, JobStateError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_comes_back(kind: type[ReasonCDError]) -> None:
    error = kind("image_t1 is empty; give another")
    assert status_of(error).name == error.code.value
    trailers = trailers_of(error)
    assert is_ours(trailers)
    back = error_from_status(status_of(error), error.message, trailers)
    assert (type(back), back.message, back.code) == (kind, error.message, error.code)


def test_an_overload_says_when_to_come_again() -> None:
    error = OverloadedError("8 requests are in work", retry_after_s=1.25)
    back = error_from_status(status_of(error), error.message, trailers_of(error))
    assert isinstance(back, OverloadedError)
    assert back.retry_after_s == 1.25


def test_a_job_in_the_wrong_state_keeps_its_code_and_words() -> None:
    # Its kind is that of the code's own error: the calls of jobs are the only ones that give it.
    error = JobStateError("the job is cancelled")
    back = error_from_status(status_of(error), error.message, trailers_of(error))
    assert (back.code, back.message) == (Code.FAILED_PRECONDITION, error.message)


@pytest.mark.parametrize("code", Code)
def test_each_code_is_a_status_and_an_error(code: Code) -> None:
    error = error_of(code, "words")
    assert error.code is code
    assert status_of(error) is grpc.StatusCode[code.name]


@pytest.mark.parametrize("trailers", [None, (), (("other", "x"),), (("reasoncd", "x"), ("error", "x"))])
def test_what_is_not_ours(trailers: tuple[tuple[str, str], ...] | None) -> None:
    assert not is_ours(trailers)
    back = error_from_status(grpc.StatusCode.UNKNOWN, None, trailers)
    assert back.code is Code.INTERNAL
    assert back.message == "the call failed with UNKNOWN"


@pytest.mark.parametrize("value", ["", "soon", "-5", "²", "9" * 5000, b"1"])
def test_a_retry_time_that_is_none_is_left_out(value: str | bytes) -> None:
    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    back = error_from_status(status, "full", [("retry-after-ms", value)])
    assert isinstance(back, OverloadedError)
    assert back.retry_after_s == 0
