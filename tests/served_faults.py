"""What goes wrong in a running system, and what its callers may notice of it.

Each function does one kind of harm to a system of real processes while clients ask, and holds the outcome
against what docs/serving.md promises. Clients do not try again, so all mending is the system's own.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.serving.clients import Call, Clients, ask
from gateway.local_services import redeploy
from reasoncd.client.messages import detect_request
from reasoncd.ports import Mode
from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.rpc.guard import TIMEOUT_KEY
from reasoncd.rpc.status import ERROR_TRAILER
from reasoncd.rpc.tensors import tensor_from_proto
from reasoncd.v1 import gateway_pb2 as pb
from reasoncd.v1.gateway_pb2_grpc import ChangeDetectionStub
from services.serving.applications import APPLICATIONS
from tests.served_system import System, counted, replicas_of, wait_until

Images = NDArray[np.uint8]
Leave = Callable[[System, Images], None]
"""Asks, and gives up."""

DEADLINE_S = 2.0
SOON_S = 3.0
"""After the deadline: far more than a gateway needs, and far less than a service that hangs."""
SETTLED_S = 2.0
"""Counters that stand still for so long will stay."""
STILL_BY_S = 15.0
"""Until they must, after a request was cancelled: far less than the rest of it would take."""
WORK = ("reasoncd_compute_seconds_count", "reasoncd_batch_requests_count", "reasoncd_request_seconds_count")
"""Counters of the services that grow with every piece of work."""


class FreshPairs(Sequence[pb.DetectRequest]):
    """Requests about ever new pairs, so that no service is spared by a cache.

    Args:
        images: uint8 (2, H, W, 3); each request has them shifted otherwise.
        queries: asked in turn.
    """

    def __init__(self, images: Images, queries: Sequence[str]) -> None:
        self._images, self._queries = images, queries

    def __len__(self) -> int:
        return self._images.shape[1] * self._images.shape[2]

    @overload
    def __getitem__(self, number: int) -> pb.DetectRequest: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[pb.DetectRequest]: ...
    def __getitem__(self, number: int | slice) -> pb.DetectRequest | Sequence[pb.DetectRequest]:
        if isinstance(number, slice):
            raise TypeError("one at a time")
        down, right = divmod(number, self._images.shape[2])
        t1, t2 = np.roll(self._images, (down, right), axis=(1, 2))
        return detect_request(t1, t2, self._queries[number % len(self._queries)])


@contextmanager
def connected(system: System) -> Iterator[ChangeDetectionStub]:
    """A stub of the gateway."""
    with grpc.insecure_channel(system.gateway.grpc, options=MESSAGE_OPTIONS) as channel:
        yield ChangeDetectionStub(channel)


def kill_replicas(system: System, images: Images, *, clients: int, rounds: int) -> list[Call]:
    """SIGKILL a replica of each application in turn, under load: no call fails.

    Args:
        system: it has two replicas of each.
        images: the pairs that are asked about are made of this one.
        clients: how many ask meanwhile.
        rounds: between two of them the killed replicas have come back.

    Returns:
        The calls.
    """
    requests = FreshPairs(images, ["new buildings", "lost roads", "trees"])
    with Clients(system.gateway.grpc, requests, count=clients) as load:
        for number in range(rounds):
            wait_until(
                lambda: all(len(replicas_of(system.services, name)) >= 2 for name in APPLICATIONS),
                "the killed replicas are replaced",
            )
            for name in APPLICATIONS:
                answered_anew(load, clients)
                there = replicas_of(system.services, name)
                os.kill(there[number % len(there)], signal.SIGKILL)
            answered_anew(load, 2 * clients)
    assert_no_failure(load.calls)
    return load.calls


def replace_reasoner(system: System, other: Path, images: Images, *, clients: int) -> list[Call]:
    """Replace the reasoner under load: no call fails, and each answer is one reasoner's or the other's.

    Args:
        system: it runs another reasoner.
        other: checkpoint with the new one.
        images: the pair that is asked about.
        clients: how many ask meanwhile.

    Returns:
        The calls.
    """
    requests = [
        detect_request(images[0], images[1], [first, second], with_probability=True)
        for first, second in (("new buildings", "lost roads"), ("trees", "new buildings"))
    ]
    with connected(system) as stub:
        before = [ask(stub, requests, number) for number in range(len(requests))]
        with Clients(system.gateway.grpc, requests, count=clients) as load:
            answered_anew(load, clients)
            redeploy("reasoner", checkpoint=other, port=system.services.port)
            replaced = time.monotonic()
            answered_anew(load, 3 * clients)
        after = [ask(stub, requests, number) for number in range(len(requests))]
    calls = [*before, *load.calls, *after]
    assert_no_failure(calls)
    (old,), (new,) = (set(map(fingerprint_of, asked)) for asked in (before, after))
    assert old != new
    expected = {old: before, new: after}
    other_of = {old: after, new: before}
    for call in load.calls:
        found = fingerprint_of(call)
        assert found in expected, "neither the old reasoner nor the new one"
        own, foreign = (apart(call, asked[found][call.request]) for asked in (expected, other_of))
        # Sharing a pass with others moves an answer a little, another reasoner far more.
        assert 5 * own < foreign, "an answer of the other reasoner"
    assert {fingerprint_of(call) for call in load.calls if call.began > replaced} == {new}
    return load.calls


def stop_service(system: System, name: str, images: Images) -> None:
    """SIGSTOP all replicas of an application: callers are told soon after their deadline, over both doors."""
    requests = FreshPairs(images, ["new buildings"])
    # Pairs of its own for each application: the others work on, and what they gave is kept.
    first = 70 + 3 * list(APPLICATIONS).index(name)
    stopped = replicas_of(system.services, name)
    assert stopped
    timeout = str(round(DEADLINE_S * 1000))
    with connected(system) as stub, stopping(stopped):
        # The gateway alone is told of the deadline: this client would wait for longer.
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            stub.Detect(requests[first], metadata=((TIMEOUT_KEY, timeout),), timeout=60)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED, caught.value.details()
        assert ERROR_TRAILER in {trailer.key for trailer in caught.value.trailing_metadata() or ()}
        assert DEADLINE_S - 0.5 < time.monotonic() - began < DEADLINE_S + SOON_S
        began = time.monotonic()
        response = httpx.post(
            f"{system.gateway.http}/v1/detect",
            **form(requests[first + 1]),
            headers={TIMEOUT_KEY: timeout},
            timeout=60,
        )
        assert response.status_code == 504, response.text
        assert response.json()["error"]["code"] == "DEADLINE_EXCEEDED"
        assert DEADLINE_S - 0.5 < time.monotonic() - began < DEADLINE_S + SOON_S
    with connected(system) as stub:
        assert ask(stub, requests, first + 2).ok


def cancel_while_encoding(system: System, images: Images, *, tiles: int) -> None:
    """Give a mosaic up after its first progress: most of its tiles are never encoded, and nothing follows."""
    before = idle_counts(system)
    with connected(system) as stub:
        request = pb.DetectStreamRequest(detect=detect_request(images[0], images[1], ["new buildings"]))
        stream = stub.DetectStream(request)
        next(stream)
        stream.cancel()
    after = settled_counts(system)
    key = "reasoncd_compute_seconds_count/sam-fpn-fusion"
    encoded = after[key] - before[key]
    assert encoded <= tiles / 2, f"{encoded} of {tiles} tiles were encoded"
    key = "reasoncd_compute_seconds_count/mask-decoder"
    assert after[key] == before[key], "decoded for nobody"


def cancel_while_reasoning(system: System, images: Images, *, leave: Leave) -> None:
    """Give up while the first of many answers are written: most are never begun, and nothing is decoded."""
    before = idle_counts(system)
    leave(system, images)
    after = settled_counts(system)
    begun = after[REASONED] - before[REASONED]
    assert begun <= len(MANY) / 2, f"{begun} of {len(MANY)} answers were begun"
    key = "reasoncd_compute_seconds_count/mask-decoder"
    assert after[key] == before[key], "decoded for nobody"


MANY = [f"Where did people get more living space, and why ({number})?" for number in range(32)]
"""As many as a request may ask."""
REASONED = "reasoncd_request_seconds_count/reasoner"
"""Answers that were begun and have ended, one way or the other."""


def leave_grpc(system: System, images: Images) -> None:
    """Cancel a stream at its first text."""
    with connected(system) as stub:
        detect = detect_request(images[0], images[1], MANY, mode=Mode.EXPLAINED)
        stream = stub.DetectStream(pb.DetectStreamRequest(detect=detect))
        for event in stream:
            if event.HasField("text"):
                stream.cancel()
                return


def leave_http(system: System, images: Images) -> None:
    """Hang up at the first text."""
    asked = form(detect_request(images[0], images[1], MANY, mode=Mode.EXPLAINED))
    asked["data"]["mode"] = Mode.EXPLAINED.value
    url = f"{system.gateway.http}/v1/detect/stream"
    with httpx.stream("POST", url, **asked, timeout=60) as response:
        for line in response.iter_lines():
            if line == "event: text":
                return


def leave_http_unary(system: System, images: Images) -> None:
    """Hang up while all answers are waited for."""
    asked = form(detect_request(images[0], images[1], MANY, mode=Mode.EXPLAINED))
    asked["data"]["mode"] = Mode.EXPLAINED.value
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{system.gateway.http}/v1/detect", **asked, timeout=httpx.Timeout(60, read=0.5))


def answered_anew(load: Clients, count: int) -> None:
    """Wait until so many more calls have ended."""
    so_far = len(load.calls)
    wait_until(lambda: len(load.calls) >= so_far + count, f"{count} more answers under load")


def assert_no_failure(calls: Sequence[Call]) -> None:
    """All were answered."""
    failed = Counter(f"{call.code}: {call.details}" for call in calls if not call.ok)
    assert not failed, failed
    assert calls


def fingerprint_of(call: Call) -> str:
    """The one reasoner that all answers of a call came from."""
    (found,) = {detection.fingerprints["reasoner"] for detection in call.detections}
    return found


def apart(one: Call, other: Call) -> float:
    """How far the answers of two calls are apart at the most: probabilities of the change, pixel by pixel."""
    return max(
        float(np.abs(probability(a) - probability(b)).max())
        for a, b in zip(one.detections, other.detections, strict=True)
    )


def probability(detection: pb.Detection) -> NDArray[Any]:
    """float32 (H, W)."""
    return tensor_from_proto(detection.probability, name="probability").numpy()


def form(request: pb.DetectRequest) -> dict[str, Any]:
    """The same over HTTP, as httpx takes it."""
    return {
        "files": {"t1": request.image_t1, "t2": request.image_t2},
        "data": {"query": list(request.queries)},
    }


@contextmanager
def stopping(pids: Sequence[int]) -> Iterator[None]:
    """SIGSTOP while the block runs."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def idle_counts(system: System) -> Counter[str]:
    """The services' counters, when nothing is in work."""
    in_flight = "reasoncd_requests_in_flight"
    wait_until(lambda: not any(counted(system.services, in_flight).values()), "no call is in work")
    return counted(system.services, *WORK)


def settled_counts(system: System) -> Counter[str]:
    """The counters when they have stood still for a while: the piece that was in work may end first."""
    found = idle_counts(system)
    end = time.monotonic() + STILL_BY_S
    while True:
        time.sleep(SETTLED_S)
        now = counted(system.services, *WORK)
        if now == found:
            return found
        assert time.monotonic() < end, f"work goes on although its caller has left: {now - found}"
        found = now
