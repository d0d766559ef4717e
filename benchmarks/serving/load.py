"""Many callers at once: what sharing passes is worth, and what becomes of more load than can be borne.

What is compared takes turns in slices of some seconds, so that a busy spell falls on both sides.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.progress import Progress
from benchmarks.serving.clients import Call, Clients, offer
from benchmarks.serving.system import Gateway, logged_calls
from reasoncd.errors import ReasonCDError
from reasoncd.v1 import gateway_pb2 as pb

EXCESS = 10
"""Times the answers that the same gateway gives without excess."""
REFUSED = "RESOURCE_EXHAUSTED"


@dataclass(kw_only=True, slots=True)
class Throughput:
    """Answers of one gateway, one entry a slice."""

    per_second: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Of every single answer."""

    @property
    def median(self) -> float:
        """Answers a second."""
        return float(np.median(self.per_second))


@dataclass(kw_only=True, slots=True)
class Overload:
    """One gateway without and with more load than it can bear."""

    offered: list[float] = field(default_factory=list)
    """Calls a second, of each slice with excess."""
    good: Throughput = field(default_factory=Throughput)
    """Without excess."""
    loaded: Throughput = field(default_factory=Throughput)
    """With it."""
    refused: int = 0
    failed: int = 0
    """Neither answered nor refused."""
    refusal_s: list[float] = field(default_factory=list)
    """Of every refusal, by the gateway's own clock."""
    refusal_client_s: list[float] = field(default_factory=list)
    """The same as the client saw it."""

    @property
    def kept(self) -> float:
        """Answers with excess to those without, the median over slices."""
        return float(np.median(np.divide(self.loaded.per_second, self.good.per_second)))


def measure_throughput(
    gateways: Mapping[str, Gateway],
    requests: Sequence[pb.DetectRequest],
    *,
    clients: int,
    seconds: float,
    slices: int,
) -> dict[str, Throughput]:
    """The answers a second that clients get who ask anew as soon as they have one.

    Args:
        gateways: what is compared, by name.
        requests: what is asked in turn.
        clients: of one gateway at a time.
        seconds: for each gateway in all.
        slices: turns of each gateway.

    Raises:
        ReasonCDError: a call failed.
    """
    found = {name: Throughput() for name in gateways}
    for gateway in gateways.values():
        _slice(gateway, requests, clients, seconds=0)
    progress = Progress("slices of load", slices * len(gateways))
    for _ in range(slices):
        for name, gateway in gateways.items():
            _note(found[name], *_slice(gateway, requests, clients, seconds=seconds / slices))
            progress.advance()
    return found


def measure_overload(
    gateway: Gateway, requests: Sequence[pb.DetectRequest], *, clients: int, seconds: float, slices: int
) -> Overload:
    """Alternate between clients that fill the gateway and a crowd that asks ten times as much.

    Args:
        gateway: has room for so many clients.
        requests: what is asked in turn.
        clients: that fill it.
        seconds: with and without excess, each in all.
        slices: turns of each.

    Raises:
        ReasonCDError: a call failed without excess, or too few were answered with it.
    """
    found = Overload()
    _slice(gateway, requests, clients, seconds=0)
    progress = Progress("slices of overload", slices)
    length = seconds / slices
    for _ in range(slices):
        calls, window = _slice(gateway, requests, clients, seconds=length)
        _note(found.good, calls, window)
        rate = EXCESS * found.good.per_second[-1]
        before = len(_refusals(gateway))
        began = time.monotonic()
        calls = offer(gateway.grpc, requests, per_second=rate, seconds=length)
        good = [call for call in calls if call.ok]
        if len(good) <= clients:
            raise ReasonCDError(f"{len(good)} of {len(calls)} calls were answered; allow more --seconds")
        # As without excess: while the house fills, and when nobody comes any more, nothing counts.
        filled = sorted(call.ended for call in good)[clients - 1]
        _note(found.loaded, good, (filled, began + length))
        found.offered.append(rate)
        refused = [call for call in calls if call.code == REFUSED]
        found.refused += len(refused)
        found.failed += len(calls) - len(good) - len(refused)
        found.refusal_client_s += [call.seconds for call in refused]
        found.refusal_s += _refusals(gateway)[before:]
        progress.advance()
    return found


Window = tuple[float, float]


def _slice(
    gateway: Gateway, requests: Sequence[pb.DetectRequest], clients: int, *, seconds: float
) -> tuple[list[Call], Window]:
    """Calls, and the time from the first answer of all clients on: before it the house fills."""
    with Clients(gateway.grpc, requests, count=clients) as load:
        while len(load.calls) < max(clients, len(requests) if not seconds else 0):
            time.sleep(0.01)
        began = time.monotonic()
        time.sleep(seconds)
        ended = time.monotonic()
    for call in load.calls:
        if not call.ok:
            raise ReasonCDError(f"a call failed with {call.code}: {call.details}")
    return load.calls, (began, ended)


def _note(found: Throughput, calls: Sequence[Call], window: Window) -> None:
    began, ended = window
    inside = [call for call in calls if began <= call.ended < ended]
    found.per_second.append(len(inside) / (ended - began))
    found.seconds += [call.seconds for call in inside]


def _refusals(gateway: Gateway) -> list[float]:
    """Seconds of every refusal that the gateway has logged."""
    calls = logged_calls(gateway)
    return [float(str(call["seconds"])) for call in calls if call["code"] == REFUSED]
