"""Errors as gRPC statuses, and statuses as errors again.

Every error that our code raises on purpose carries the trailer `reasoncd-error`. A failure without it came
from what lies between (a proxy, a network, a replica that died) and may be tried again.
"""

from collections.abc import Sequence

import grpc

from reasoncd.errors import Code, OverloadedError, ReasonCDError, error_of
from reasoncd.rpc.durations import from_milliseconds, to_milliseconds

ERROR_TRAILER = "reasoncd-error"
"""Trailer whose value is the error's code."""
RETRY_TRAILER = "retry-after-ms"
"""Trailer of an overload: when to come again, in milliseconds."""

Trailers = tuple[tuple[str, str], ...]


def status_of(error: ReasonCDError) -> grpc.StatusCode:
    """The gRPC status of an error: the one of its code's name."""
    status: grpc.StatusCode = grpc.StatusCode[error.code.name]
    return status


def trailers_of(error: ReasonCDError) -> Trailers:
    """What marks a status as ours."""
    trailers: Trailers = ((ERROR_TRAILER, error.code.value),)
    if isinstance(error, OverloadedError):
        trailers += ((RETRY_TRAILER, to_milliseconds(error.retry_after_s)),)
    return trailers


def is_ours(trailers: Sequence[tuple[str, str | bytes]] | None) -> bool:
    """Whether a status was set by our code on purpose."""
    return any(key == ERROR_TRAILER for key, _ in trailers or ())


def error_from_status(
    status: grpc.StatusCode, details: str | None, trailers: Sequence[tuple[str, str | bytes]] | None
) -> ReasonCDError:
    """The error that a status stands for.

    Args:
        status: of a failed call; one that has no code here becomes INTERNAL.
        details: the sentence, kept as it is where the error is ours.
        trailers: of the call.
    """
    code = Code[status.name] if status.name in Code.__members__ else Code.INTERNAL
    found = dict(trailers or ())
    seconds = from_milliseconds(found.get(RETRY_TRAILER))
    return error_of(code, details or f"the call failed with {status.name}", retry_after_s=seconds or 0.0)
