"""Channels to the services, one for each address: several applications of one target share it."""

import grpc

from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.rpc.tls import Tls

OPTIONS: tuple[tuple[str, int | str], ...] = (
    *MESSAGE_OPTIONS,
    # A name with several addresses: its calls go round.
    ("grpc.lb_policy_name", "round_robin"),
    # A service that comes back is noticed soon; the default waits up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


class Channels:
    """Opens channels when they are first asked for, and closes all together.

    Args:
        tls: None for plain channels.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        self._credentials = tls.credentials() if tls else None
        self._options = (*OPTIONS, *(tls.options if tls else ()))
        self._channels: dict[str, grpc.Channel] = {}

    def to(self, target: str) -> grpc.Channel:
        """The channel to `HOST:PORT`."""
        channel = self._channels.get(target)
        if channel is None:
            if self._credentials is None:
                channel = grpc.insecure_channel(target, options=self._options)
            else:
                channel = grpc.secure_channel(target, self._credentials, options=self._options)
            self._channels[target] = channel
        return channel

    def close(self) -> None:
        """Close all; calls under way end with CANCELLED."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
