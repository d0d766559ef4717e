"""What jobs are refused with, where the general errors do not say it."""

import errno

from reasoncd.errors import InvalidInputError, OverloadedError

FULL = (errno.ENOSPC, errno.EDQUOT)
_WORDS = (
    "no space left on device",
    "disk quota exceeded",
    "database or disk is full",
    "free some space and run it again",
)
RETRY_AFTER_S = 60.0


class KeyReusedError(InvalidInputError):
    """An idempotency key that belongs to another submission."""


class UploadTooLargeError(InvalidInputError):
    """An upload beyond the bound."""


class DiskFullError(OverloadedError):
    """The jobs folder's disk has no room left."""

    def __init__(self) -> None:
        super().__init__(
            "the disk of the jobs folder is full; free some space on it, and it goes on",
            retry_after_s=RETRY_AFTER_S,
        )


def is_disk_full(error: BaseException | None) -> bool:
    """Whether that is what lies behind an error: libraries that write files tell it in words only."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(words in str(error).lower() for words in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
