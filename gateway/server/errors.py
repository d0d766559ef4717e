"""Errors as HTTP answers, and what gRPC callers get beside the status. The whole table: docs/errors.md."""

import math
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from gateway.jobs.errors import DiskFullError, KeyReusedError, UploadTooLargeError
from reasoncd.errors import (
    Code,
    InvalidInputError,
    JobStateError,
    OverloadedError,
    ReasonCDError,
    UnavailableError,
    UnimplementedError,
)
from reasoncd.rpc.guard import MAX_DETAILS
from reasoncd.rpc.status import status_of

DETAILS_TRAILER = "grpc-status-details-bin"
"""Trailer that gRPC libraries read as a `google.rpc.Status`."""

HTTP_STATUS: dict[Code, int] = {
    Code.INVALID_ARGUMENT: 400,
    Code.NOT_FOUND: 404,
    # Services that do not fit each other: no caller can cause or mend it.
    Code.FAILED_PRECONDITION: 502,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.PERMISSION_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
    # Nobody reads it; proxies log it under this number.
    Code.CANCELLED: 499,
    Code.UNIMPLEMENTED: 501,
    Code.DATA_LOSS: 500,
    Code.INTERNAL: 500,
}
"""Of an error that has no status of its own below."""


class TooLargeError(InvalidInputError):
    """A body that is larger than the limit."""


class MediaTypeError(InvalidInputError):
    """A body of another kind than a form."""


class UnknownRouteError(UnimplementedError):
    """A path that is not served."""


class UnknownMethodError(UnimplementedError):
    """A path that is served, but not with this verb."""


class RangeError(InvalidInputError):
    """A part of a file that lies beyond its end."""


OWN_STATUS: dict[type[ReasonCDError], int] = {
    TooLargeError: 413,
    UploadTooLargeError: 413,
    KeyReusedError: 422,
    JobStateError: 409,
    RangeError: 416,
    DiskFullError: 507,
    MediaTypeError: 415,
    UnknownRouteError: 404,
    UnknownMethodError: 405,
}
"""Of an error for which HTTP has a word of its own."""


def http_status_of(error: ReasonCDError) -> int:
    """The HTTP status of an error."""
    return OWN_STATUS.get(type(error)) or HTTP_STATUS[error.code]


def http_body_of(error: ReasonCDError, request_id: str | None) -> dict[str, Any]:
    """What an HTTP caller reads."""
    return {"error": {"code": error.code.value, "message": error.message, "request_id": request_id}}


def http_headers_of(error: ReasonCDError) -> dict[str, str]:
    """What goes with the body."""
    if isinstance(error, OverloadedError):
        return {"Retry-After": str(max(math.ceil(error.retry_after_s), 1))}
    if isinstance(error, UnavailableError):
        return {"Retry-After": "1"}
    if error.code is Code.UNAUTHENTICATED:
        return {"WWW-Authenticate": "Bearer"}
    return {}


def details_of(error: ReasonCDError) -> bytes | None:
    """The value of `DETAILS_TRAILER`: when to come again, as a `google.rpc.RetryInfo`; else None."""
    if not isinstance(error, OverloadedError):
        return None
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(round(error.retry_after_s * 1000))
    packed = AnyMessage()
    packed.Pack(info)
    status = status_of(error)
    # Libraries compare code and message with those of the status itself.
    message = status_pb2.Status(code=status.value[0], message=error.message[:MAX_DETAILS], details=[packed])
    serialized: bytes = message.SerializeToString()
    return serialized
