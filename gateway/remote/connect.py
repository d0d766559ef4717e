"""From addresses to a model that answers."""

import time
from collections.abc import Callable

from gateway.remote.config import RemoteConfig
from gateway.remote.model import RemoteModel
from reasoncd.errors import CancelledError, CheckpointError, ReasonCDError, UnavailableError
from reasoncd.rpc.scope import CallScope, current_scope, under

LOOK_TIMEOUT_S = 5.0
"""Of one look whether the services answer."""
LOOK_PAUSE_S = 0.25


def connect(config: RemoteConfig, *, progress: Callable[[str], None] | None = None) -> RemoteModel:
    """Wait until every service answers, and see that they fit each other.

    Args:
        config: where they are, and how long to wait.
        progress: told in a few words what is waited for, whenever that changes.

    Raises:
        CheckpointError: they do not fit each other; both sides are named.
        UnavailableError: one does not answer in time.
    """
    tell = progress or (lambda words: None)
    told = ""
    until = time.monotonic() + config.wait_s
    model = RemoteModel(config)
    try:
        while True:
            current_scope().check()
            try:
                with under(CallScope(timeout_s=min(LOOK_TIMEOUT_S, max(until - time.monotonic(), 0.1)))):
                    model.describe(retry=False)
            except (CheckpointError, CancelledError):
                raise
            except ReasonCDError as error:
                if time.monotonic() + LOOK_PAUSE_S > until:
                    waited = f"no answer within {config.wait_s:g} s"
                    raise UnavailableError(f"{waited}: {error.message}") from None
                if error.message != told:
                    tell(f"waiting: {error.message}")
                    told = error.message
                time.sleep(LOOK_PAUSE_S)
            else:
                return model
    except BaseException:
        model.close()
        raise
