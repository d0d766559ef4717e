"""How the client for programs without asyncio makes a call: with retries, and so that it can be given up."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from reasoncd.client.attempts import Attempts
from reasoncd.client.connection import Connection
from reasoncd.errors import CancelledError
from reasoncd.rpc.scope import CallScope

Result = TypeVar("Result")


class BlockingCalls:
    """The channel to one gateway. Threads may share it; it opens with the first call.

    Args:
        connection: where and how.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        target, tls, options = connection.target, connection.tls, connection.options
        self.channel = (
            grpc.secure_channel(target, tls.credentials(), options)
            if tls
            else grpc.insecure_channel(target, options)
        )
        self._life = CallScope()

    def close(self) -> None:
        """Close the channel; calls in work end with `CancelledError`."""
        self._life.cancel()
        self.channel.close()

    def ask(self, method: Any, request: Any, attempts: Attempts) -> Any:
        """The one response of a call, after as many tries as it takes.

        Args:
            method: of a stub, or what has its `future`.
            request: its message.
            attempts: of the call.

        Raises:
            ReasonCDError: the call has failed for good.
        """
        while True:
            call = self.start(method.future, request, attempts)
            try:
                with attempts.outer.when_cancelled(call.cancel):
                    return call.result()
            except grpc.FutureCancelledError as failure:
                attempts.fail(CancelledError("the call was cancelled before its answer was there"), failure)
            except grpc.RpcError as failure:
                self.pause(attempts.after(failure), attempts)
            finally:
                # Interrupted (Ctrl-C), the gateway is to stop too.
                call.cancel()

    def start(self, begin: Callable[..., Result], request: Any, attempts: Attempts) -> Result:
        """Begin one try.

        Raises:
            CancelledError: the client was closed.
        """
        self._check_open(attempts)
        return begin(request, timeout=attempts.remaining_s(), metadata=attempts.metadata)

    def pause(self, seconds: float, attempts: Attempts) -> None:
        """Wait before the next try; no longer than somebody wants it.

        Raises:
            CancelledError, DeadlineError: nobody does any more.
        """
        woken = threading.Event()
        with attempts.outer.when_cancelled(woken.set), self._life.when_cancelled(woken.set):
            woken.wait(seconds)
        attempts.outer.check()

    def _check_open(self, attempts: Attempts) -> None:
        if self._life.cancelled:
            attempts.fail(CancelledError("the client was closed; open another"))
