"""One family of errors: a status code and one sentence that says what is wrong and how to mend it.

The gRPC status names are used as codes here so that one interceptor can map an error to a
status and the command line can map it to an exit code. This module knows neither of them.
"""

from enum import StrEnum


class Code(StrEnum):
    """Status of an error, named after the gRPC status of the same meaning."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    DATA_LOSS = "DATA_LOSS"
    INTERNAL = "INTERNAL"


class ReasonCDError(Exception):
    """Base of every error that ReasonCD raises on purpose.

    Args:
        message: one sentence for a person: the field or file, what is wrong, how to mend it.
    """

    code: Code = Code.INTERNAL
    request_id: str | None = None
    """Of the call that failed, where it was one over a wire; the log of the other side has it too."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def exit_code(self) -> int:
        """Exit status of a command that ends with this error: 1 for a fault of ours, else 2."""
        return 1 if self.code is Code.INTERNAL else 2


class InvalidInputError(ReasonCDError):
    """An image, a query, a prompt or an option that cannot be used as given."""

    code = Code.INVALID_ARGUMENT


class NotFoundError(ReasonCDError):
    """A named file or folder is not there."""

    code = Code.NOT_FOUND


class CheckpointError(ReasonCDError):
    """A checkpoint is incomplete, altered, unsafe or does not fit its partners."""

    code = Code.FAILED_PRECONDITION


class JobStateError(ReasonCDError):
    """A job is in a state in which this cannot be done with it."""

    code = Code.FAILED_PRECONDITION


class CorruptDataError(ReasonCDError):
    """A file's bytes are not what they claim to be (truncated, altered, not decodable)."""

    code = Code.DATA_LOSS


class OutputError(ReasonCDError):
    """Results cannot be written where they were asked for."""

    code = Code.PERMISSION_DENIED


class UnauthenticatedError(ReasonCDError):
    """The caller did not say who it is, or its token is not known or no longer valid."""

    code = Code.UNAUTHENTICATED


class OverloadedError(ReasonCDError):
    """More is asked than can be held; ask again later.

    Args:
        message: what is full.
        retry_after_s: when it is worth asking again, in seconds.
    """

    code = Code.RESOURCE_EXHAUSTED

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnavailableError(ReasonCDError):
    """A service cannot be reached now."""

    code = Code.UNAVAILABLE


class DeadlineError(ReasonCDError):
    """The caller's deadline passed before the answer was ready."""

    code = Code.DEADLINE_EXCEEDED


class CancelledError(ReasonCDError):
    """The caller gave up."""

    code = Code.CANCELLED


class UnimplementedError(ReasonCDError):
    """The service does not answer this call."""

    code = Code.UNIMPLEMENTED


_BY_CODE: dict[Code, type[ReasonCDError]] = {
    kind.code: kind
    for kind in (
        InvalidInputError,
        NotFoundError,
        CheckpointError,
        CorruptDataError,
        OutputError,
        UnauthenticatedError,
        UnavailableError,
        DeadlineError,
        CancelledError,
        UnimplementedError,
    )
}


def error_of(code: Code, message: str, *, retry_after_s: float = 0.0) -> ReasonCDError:
    """The error of a code, for what was told over a wire."""
    if code is Code.RESOURCE_EXHAUSTED:
        return OverloadedError(message, retry_after_s=retry_after_s)
    return _BY_CODE.get(code, ReasonCDError)(message)
