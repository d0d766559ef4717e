"""The one place that calls a service: metadata, deadline, cancellation, and one retry.

A call is made again once where it failed with UNAVAILABLE or without our trailer, if the deadline allows it
and the service's retry budget too; a stream only while nothing of it was given on.
"""

import time
from collections.abc import Generator
from contextlib import closing
from typing import Any, TypeVar

import grpc

from gateway.remote.budget import RetryBudget
from gateway.remote.config import Application
from gateway.remote.failures import Failure, failure_of
from reasoncd.observability import metrics
from reasoncd.observability.tracing import Metadata, inject
from reasoncd.rpc.guard import TIMEOUT_KEY
from reasoncd.rpc.scope import REQUEST_ID_KEY, CallScope, current_scope

APPLICATION_KEY = "application"
"""Metadata key by which Serve's proxy chooses among its applications."""

RETRY_PAUSE_S = 0.05
"""Before the second try: a proxy needs a moment to notice that a replica is gone."""

Request = TypeVar("Request")
Response = TypeVar("Response")


class Service:
    """One application at one address. Threads may share it.

    Args:
        name: of the application.
        target: its address, for sentences.
        channel: to the target.
        budget: of its retries.
        call_timeout_s: of a call whose scope has no nearer deadline.
    """

    def __init__(
        self,
        name: Application,
        target: str,
        channel: grpc.Channel,
        *,
        budget: RetryBudget,
        call_timeout_s: float,
    ) -> None:
        self.name = name
        self.channel = channel
        self._target = target
        self._budget = budget
        self._call_timeout_s = call_timeout_s
        # Shown as 0 from the start: a rate needs a value before the first event.
        self._retries = metrics.retries.labels(name)
        self._retries_withheld = metrics.retries_withheld.labels(name)

    def unary(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        retry: bool = True,
        timeout_s: float | None = None,
    ) -> Response:
        """Make a call with one response.

        Args:
            method: of a stub on this service's channel.
            request: its message.
            retry: False for calls that their caller repeats anyway.
            timeout_s: of each try, in place of the usual one.

        Raises:
            ReasonCDError: the service's own error, or what its silence means.
        """
        scope = current_scope()
        self._budget.earn()
        limit_s = self._call_timeout_s if timeout_s is None else timeout_s
        try:
            return self._unary_once(method, request, scope, limit_s)
        except _FailedError as failed:
            self._allow_retry(failed.failure, scope, wanted=retry)
        try:
            return self._unary_once(method, request, scope, limit_s)
        except _FailedError as failed:
            raise failed.failure.error from None

    def stream(
        self,
        method: "grpc.UnaryStreamMultiCallable[Request, Response]",
        request: Request,
        *,
        whole: bool = False,
    ) -> Generator[Response, None, None]:
        """Make a call with a stream of responses; closing the generator cancels the call.

        Args:
            method: as for `unary`.
            request: its message.
            whole: give nothing on before all is there, so that a stream that breaks off can be tried again.

        Raises:
            ReasonCDError: as `unary`.
        """
        scope = current_scope()
        self._budget.earn()
        begun = False
        try:
            with closing(self._stream_once(method, request, scope)) as responses:
                for response in list(responses) if whole else responses:
                    begun = True
                    yield response
            return
        except _FailedError as failed:
            self._allow_retry(failed.failure, scope, wanted=not begun)
        try:
            with closing(self._stream_once(method, request, scope)) as responses:
                yield from responses
        except _FailedError as failed:
            raise failed.failure.error from None

    def _allow_retry(self, failure: Failure, scope: CallScope, *, wanted: bool) -> None:
        """Return where the call may be made again, after a pause.

        Raises:
            ReasonCDError: it may not; what the failure means.
        """
        remaining = scope.remaining_s()
        in_time = remaining is None or remaining > RETRY_PAUSE_S
        if not (wanted and failure.retriable and in_time):
            raise failure.error from None
        if not self._budget.spend():
            self._retries_withheld.inc()
            raise failure.error from None
        self._retries.inc()
        time.sleep(RETRY_PAUSE_S)

    def _unary_once(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        scope: CallScope,
        limit_s: float,
    ) -> Response:
        scope.check()
        timeout, metadata = self._terms(scope, limit_s)
        call: Any = method.future(request, timeout=timeout, metadata=metadata)
        with scope.when_cancelled(call.cancel):
            try:
                response: Response = call.result()
            except (grpc.RpcError, grpc.FutureCancelledError):
                raise _FailedError(self._failure(call, scope)) from None
        return response

    def _stream_once(
        self, method: "grpc.UnaryStreamMultiCallable[Request, Response]", request: Request, scope: CallScope
    ) -> Generator[Response, None, None]:
        scope.check()
        timeout, metadata = self._terms(scope, self._call_timeout_s)
        call: Any = method(request, timeout=timeout, metadata=metadata)
        try:
            with scope.when_cancelled(call.cancel):
                yield from call
        except grpc.RpcError:
            raise _FailedError(self._failure(call, scope)) from None
        finally:
            # No effect on a call that has ended; one that nobody reads on is stopped.
            call.cancel()

    def _failure(self, call: Any, scope: CallScope) -> Failure:
        return failure_of(call, service=self.name, target=self._target, scope=scope)

    def _terms(self, scope: CallScope, limit_s: float) -> tuple[float, Metadata]:
        """Timeout in seconds and metadata of a call that begins now."""
        remaining = scope.remaining_s()
        timeout = limit_s if remaining is None else min(remaining, limit_s)
        return timeout, inject(
            (
                (APPLICATION_KEY, self.name),
                (REQUEST_ID_KEY, scope.request_id),
                (TIMEOUT_KEY, str(max(round(timeout * 1000), 1))),
            )
        )


class _FailedError(Exception):
    """A try that failed; never leaves this module."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error.message)
        self.failure = failure
