"""What is done about a call that failed: wait and try again, or give up with an error.

Asking is free of side effects, so a call may always be tried again; it is where a second try is likely to
end better: the gateway is going away or was not reached, or something between cut the connection. An error
that the gateway raised on purpose carries its trailer and is final, but for UNAVAILABLE and, where asked
for, RESOURCE_EXHAUSTED.
"""

import random
from typing import NoReturn, cast

import grpc

from reasoncd.client.connection import Connection, check_timeout
from reasoncd.errors import (
    Code,
    DeadlineError,
    InvalidInputError,
    OverloadedError,
    ReasonCDError,
    UnavailableError,
    UnimplementedError,
)
from reasoncd.rpc.channel import MESSAGE_BYTES
from reasoncd.rpc.scope import REQUEST_ID_KEY, CallScope, current_scope, is_request_id
from reasoncd.rpc.status import error_from_status, is_ours

TRIES = 3
"""Of one call, those after a refusal for want of room not counted."""
FIRST_PAUSE_S = 0.2
"""Before the second try; three times as long before each further one, give or take a half."""
MOST_PAUSE_S = 10.0
PATIENT_TRIES = 12
"""Of what is to outlast a gateway's restart: some minute and a half."""

_LOST = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,  # not by this side: that never gets here
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
)
"""Without the trailer of our own errors: what a broken connection or a proxy makes of a call."""


class Attempts:
    """The tries of one call, under one deadline and one request id.

    Args:
        connection: to the gateway.
        timeout_s: until the call is given up; the connection's if not given.
        request_id: see `docs/contract.md`; a new one if not given.
        tries: in a row, those after a refusal for want of room not counted.

    Raises:
        InvalidInputError: the timeout or the id cannot be used.
        CancelledError, DeadlineError: the scope under which this runs is over.
    """

    def __init__(
        self,
        connection: Connection,
        timeout_s: float | None,
        request_id: str | None,
        *,
        tries: int = TRIES,
    ) -> None:
        check_timeout(timeout_s)
        if request_id is not None and not is_request_id(request_id):
            raise InvalidInputError(
                f"request_id {request_id!r} cannot be used; give 1 to 64 letters, digits, '-', '_' or '.'"
            )
        self.outer = current_scope()
        """The scope of whoever called; when it is cancelled, so is this call."""
        self.outer.check()
        own = connection.timeout_s if timeout_s is None else timeout_s
        limits = [limit for limit in (own, self.outer.remaining_s()) if limit is not None]
        self._connection = connection
        self._timeout_s = min(limits, default=None)
        self._scope = CallScope(request_id=request_id or self.outer.request_id, timeout_s=self._timeout_s)
        self._failures = 0
        self._tries = tries

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every try."""
        return (*self._connection.metadata, (REQUEST_ID_KEY, self._scope.request_id))

    def remaining_s(self) -> float | None:
        """Seconds that the next try has."""
        return self._scope.remaining_s()

    def after(self, failure: grpc.RpcError, *, begun: bool = False) -> float:
        """What to do about a failed try.

        Args:
            failure: as raised by the call.
            begun: whether the caller has seen a part of the answer, so that there is no way back.

        Returns:
            Seconds to wait before the next try.

        Raises:
            ReasonCDError: the call has failed for good.
        """
        self.outer.check()
        # grpc.aio's own metadata is a sequence of pairs too.
        trailers = cast("tuple[tuple[str, str | bytes], ...]", tuple(failure.trailing_metadata() or ()))
        status, details, ours = failure.code(), failure.details() or "", is_ours(trailers)
        error = error_from_status(status, details, trailers) if ours else self._foreign(status, details)
        pause = None if begun else self._pause(error, lost=not ours and status in _LOST)
        remaining = self.remaining_s()
        if pause is None or (remaining is not None and pause >= remaining):
            self.fail(error, failure)
        return pause

    def answered(self) -> None:
        """There was an answer: what fails from now on is counted anew."""
        self._failures = 0

    def fail(self, error: ReasonCDError, cause: BaseException | None = None) -> NoReturn:
        """Raise an error with the request's id."""
        error.request_id = self._scope.request_id
        error.add_note(f"request id {error.request_id}")
        raise error from cause

    def _pause(self, error: ReasonCDError, *, lost: bool) -> float | None:
        if isinstance(error, OverloadedError):
            # Somewhat later than told, and not all at once.
            wait = max(error.retry_after_s, FIRST_PAUSE_S) * random.uniform(1.0, 1.25)
            return wait if self._connection.wait_when_busy else None
        if not lost and error.code is not Code.UNAVAILABLE:
            return None
        self._failures += 1
        if self._failures >= self._tries:
            return None
        pause = FIRST_PAUSE_S * 3.0 ** (self._failures - 1)
        return min(pause, MOST_PAUSE_S) * random.uniform(0.5, 1.5)

    def _foreign(self, status: grpc.StatusCode, details: str) -> ReasonCDError:
        """The error of a status that the gateway's code did not set."""
        where = f"the gateway at {self._connection.target}"
        # gRPC's own words go on for long; what failed at last stands at their end.
        said = " ".join(details.rpartition("last error: ")[2].split())[:200]
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            within = "in time" if self._timeout_s is None else f"within {self._timeout_s:.4g} s"
            return DeadlineError(f"{where} did not answer {within}; allow more time")
        if status is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than" in details:
            return InvalidInputError(
                f"the request or its answer is larger than {MESSAGE_BYTES // 2**20} MiB ({said}); "
                "ask fewer questions at a time, or as a stream, which sends each answer alone"
            )
        if status is grpc.StatusCode.UNIMPLEMENTED:
            return UnimplementedError(f"{where} does not know this call ({said}); check address and version")
        if status is grpc.StatusCode.UNAVAILABLE:
            return UnavailableError(f"{where} cannot be reached ({said}); check the address and that it runs")
        if status in _LOST:
            return UnavailableError(f"the connection to {where} broke off ({said or status.name}); ask again")
        return error_from_status(status, said, ())
