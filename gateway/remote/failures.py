"""What a failed call means: the error for the caller, and whether to try again.

An error that a service raised on purpose is passed on as it is. A failure without our trailer came from
what lies between; its details may hold another program's traceback, so they go to the log alone.
"""

import logging
from dataclasses import dataclass
from typing import Protocol

import grpc

from reasoncd.errors import CancelledError, DeadlineError, OverloadedError, ReasonCDError, UnavailableError
from reasoncd.rpc.scope import CallScope
from reasoncd.rpc.status import Trailers, error_from_status, is_ours

_LOG = logging.getLogger(__name__)

_FINAL = {
    # No time is left for another try.
    grpc.StatusCode.DEADLINE_EXCEEDED,
    # Its queue is full: another try is more of the same.
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class EndedCall(Protocol):
    """What is read of a gRPC call that failed."""

    def code(self) -> grpc.StatusCode:
        """Its status."""

    def details(self) -> str | None:
        """Its sentence."""

    def trailing_metadata(self) -> Trailers | None:
        """What came after it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One call that failed."""

    error: ReasonCDError
    retriable: bool
    """Whether the same call may succeed if it is made again now."""


def failure_of(call: EndedCall, *, service: str, target: str, scope: CallScope) -> Failure:
    """What a failed call means.

    Args:
        call: it has ended.
        service: the application's name, for the sentence.
        target: its address.
        scope: under which the call was made.
    """
    status, details, trailers = call.code(), call.details(), call.trailing_metadata()
    if scope.cancelled:
        return Failure(error=CancelledError("the caller cancelled the request"), retriable=False)
    if is_ours(trailers):
        error = error_from_status(status, details, trailers)
        retriable = status is grpc.StatusCode.UNAVAILABLE
    else:
        _LOG.warning(
            "%s at %s failed with %s: %s",
            service,
            target,
            status.name,
            details,
            extra={"request_id": scope.request_id},
        )
        error = _foreign(status, service, target, scope)
        retriable = status not in _FINAL
    error.request_id = scope.request_id
    return Failure(error=error, retriable=retriable)


def _foreign(status: grpc.StatusCode, service: str, target: str, scope: CallScope) -> ReasonCDError:
    code = grpc.StatusCode
    if status is code.UNAVAILABLE:
        return UnavailableError(f"{service} cannot be reached at {target}; see whether it runs")
    if status is code.DEADLINE_EXCEEDED:
        return DeadlineError(f"{service} did not answer before the deadline; allow more time")
    if status is code.RESOURCE_EXHAUSTED:
        return OverloadedError(f"{service} has as many requests as it takes; ask again later")
    # What Serve's proxy says of an application that is not deployed (yet).
    if status in (code.NOT_FOUND, code.UNIMPLEMENTED):
        return UnavailableError(f"{target} serves no {service}; deploy it or check the address")
    if status is code.CANCELLED:
        return UnavailableError(f"{service} at {target} broke the call off; ask again")
    return ReasonCDError(
        f"{service} failed with {status.name}; the logs have it under request id {scope.request_id}"
    )
