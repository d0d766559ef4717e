"""Clients that ask one question after the other, and note how each call ended.

They use the contract alone and never try again: what the system does not mend itself shows.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.v1 import gateway_pb2 as pb
from reasoncd.v1.gateway_pb2_grpc import ChangeDetectionStub

CALL_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call that ended."""

    request: int
    """Position of what was asked among the requests."""
    began: float
    """By the monotonic clock."""
    seconds: float
    code: str
    """gRPC status by its name."""
    details: str = ""
    """The sentence of a failure."""
    detections: tuple[pb.Detection, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it was answered."""
        return self.code == "OK"

    @property
    def ended(self) -> float:
        """By the monotonic clock."""
        return self.began + self.seconds


class Clients:
    """So many clients, each asking anew as soon as it has its answer, while the block runs.

    Args:
        target: HOST:PORT of the gateway's gRPC port.
        requests: what is asked in turn, each by one client.
        count: how many clients.
    """

    def __init__(self, target: str, requests: Sequence[pb.DetectRequest], *, count: int) -> None:
        self._target, self._requests, self._count = target, requests, count
        self._stop = threading.Event()
        self._calls: list[Call] = []

    def __enter__(self) -> "Clients":
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(self._count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the last answers."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def calls(self) -> list[Call]:
        """What has ended so far, in order."""
        return list(self._calls)

    def _ask(self, first: int) -> None:
        with grpc.insecure_channel(self._target, options=MESSAGE_OPTIONS) as channel:
            stub = ChangeDetectionStub(channel)
            for number in itertools.count(first, self._count):
                if self._stop.is_set():
                    return
                self._calls.append(ask(stub, self._requests, number % len(self._requests)))


def ask(stub: ChangeDetectionStub, requests: Sequence[pb.DetectRequest], number: int) -> Call:
    """One call, once."""
    began = time.monotonic()
    try:
        response = stub.Detect(requests[number], timeout=CALL_TIMEOUT_S)
    except grpc.RpcError as error:
        return _failed(number, began, error)
    return Call(
        request=number,
        began=began,
        seconds=time.monotonic() - began,
        code="OK",
        detections=tuple(response.detections),
    )


def offer(
    target: str, requests: Sequence[pb.DetectRequest], *, per_second: float, seconds: float
) -> list[Call]:
    """Ask at a steady rate, whether or not answers come: what a crowd does that knows nothing of the load.

    Args:
        target: HOST:PORT of the gateway's gRPC port.
        requests: what is asked in turn.
        per_second: calls that begin.
        seconds: for how long they begin; the last answers are waited for.
    """
    return asyncio.run(_offer(target, requests, per_second, seconds))


async def _offer(
    target: str, requests: Sequence[pb.DetectRequest], per_second: float, seconds: float
) -> list[Call]:
    async with grpc.aio.insecure_channel(target, options=MESSAGE_OPTIONS) as channel:
        stub = ChangeDetectionStub(channel)

        async def one(number: int) -> Call:
            began = time.monotonic()
            try:
                # Maps of a crowd would be held here until the end.
                await stub.Detect(requests[number % len(requests)], timeout=CALL_TIMEOUT_S)
            except grpc.RpcError as error:
                return _failed(number % len(requests), began, error)
            return Call(
                request=number % len(requests), began=began, seconds=time.monotonic() - began, code="OK"
            )

        start, asked = time.monotonic(), []
        for number in range(round(per_second * seconds)):
            await asyncio.sleep(max(start + number / per_second - time.monotonic(), 0))
            asked.append(asyncio.create_task(one(number)))
        return list(await asyncio.gather(*asked))


def _failed(number: int, began: float, error: grpc.RpcError) -> Call:
    return Call(
        request=number,
        began=began,
        seconds=time.monotonic() - began,
        code=error.code().name,
        details=error.details() or "",
    )
