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
    DATA_LOSS = "DATA_LOSS"
    INTERNAL = "INTERNAL"


class ReasonCDError(Exception):
    """Base of every error that ReasonCD raises on purpose.

    Args:
        message: one sentence for a person: the field or file, what is wrong, how to mend it.
    """

    code: Code = Code.INTERNAL

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


class CorruptDataError(ReasonCDError):
    """A file's bytes are not what they claim to be (truncated, altered, not decodable)."""

    code = Code.DATA_LOSS


class OutputError(ReasonCDError):
    """Results cannot be written where they were asked for."""

    code = Code.PERMISSION_DENIED
