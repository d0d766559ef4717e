"""What is taken on, what is refused, and that each place is given back once its work has ended."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from gateway.server.admission import Admission
from gateway.server.auth import Token
from reasoncd.errors import OverloadedError
from reasoncd.observability import metrics
from reasoncd.rpc.scope import CallScope
from tests.gateway.server.bad_requests import GOOD, request
from tests.gateway.server.conftest import Held, channel_to, form, method_of, served, until
from tests.gateway.server.error_table import assert_grpc, assert_http, trailers_of

pytestmark = pytest.mark.unit


def refusals(reason: str) -> float:
    found = metrics.REGISTRY.get_sample_value("reasoncd_refused_total", {"reason": reason})
    assert found is not None
    return found


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_places_bytes_and_turns() -> None:
    async def run() -> None:
        clock = Clock()
        admission = Admission(running=1, waiting=1, held_bytes=100, clock=clock)
        first, second = admission.enter(CallScope(), None), admission.enter(CallScope(), None)
        with pytest.raises(OverloadedError, match=r"^2 requests are in work or waiting"):
            admission.enter(CallScope(), None)
        admission.hold(first, 60)
        with pytest.raises(OverloadedError, match="60 of 100 bytes are taken"):
            admission.hold(second, 41)
        admission.hold(second, 40)
        await admission.turn(first)
        turn = asyncio.ensure_future(admission.turn(second))
        await asyncio.sleep(0)
        assert not turn.done()
        clock.now = 10.0
        admission.leave(first)
        admission.leave(first)
        await turn
        assert (admission.requests, admission.held) == (1, 40)
        admission.leave(second)
        await admission.wait_empty()
        assert (admission.requests, admission.held) == (0, 0)

    asyncio.run(run())


def test_a_place_is_kept_until_its_work_has_ended() -> None:
    async def run() -> None:
        admission = Admission(running=1, waiting=0, held_bytes=100)
        place = admission.enter(CallScope(), None)
        admission.hold(place, 10)
        await admission.turn(place)
        go = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            place.work = pool.submit(go.wait, 30)
            admission.leave(place)
            assert (admission.requests, admission.held) == (1, 10)
            with pytest.raises(OverloadedError):
                admission.enter(CallScope(), None)
            go.set()
            await admission.wait_empty()
        assert admission.held == 0
        await admission.turn(admission.enter(CallScope(), None))

    asyncio.run(run())


def test_a_request_given_up_in_the_queue_lets_the_next_one_pass() -> None:
    async def run() -> None:
        admission = Admission(running=1, waiting=2, held_bytes=100)
        places = [admission.enter(CallScope(), None) for _ in range(3)]
        await admission.turn(places[0])
        waiting = [asyncio.ensure_future(admission.turn(place)) for place in places[1:]]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        admission.leave(places[1])
        admission.leave(places[0])
        await waiting[1]

    asyncio.run(run())


def test_the_estimate_follows_how_long_requests_take() -> None:
    async def run() -> None:
        clock = Clock()
        admission = Admission(running=2, waiting=2, held_bytes=100, clock=clock)
        for _ in range(40):
            place = admission.enter(CallScope(), None)
            await admission.turn(place)
            clock.now += 8.0
            admission.leave(place)
        for _ in range(4):
            admission.enter(CallScope(), None)
        with pytest.raises(OverloadedError) as caught:
            admission.enter(CallScope(), None)
        # Three have to end before whoever comes next begins, two at a time, in 8 s.
        assert caught.value.retry_after_s == pytest.approx(12.0, rel=0.01)

    asyncio.run(run())


def test_a_token_has_places_of_its_own() -> None:
    async def run() -> None:
        admission = Admission(running=4, waiting=0, held_bytes=100)
        mine = Token(name="mine", digest=b"", requests=1)
        place = admission.enter(CallScope(), mine)
        with pytest.raises(OverloadedError, match="the token of mine has 1 requests in work"):
            admission.enter(CallScope(), mine)
        admission.enter(CallScope(), Token(name="other", digest=b"", requests=1))
        admission.enter(CallScope(), Token(name="unlimited", digest=b""))
        admission.leave(place)
        admission.enter(CallScope(), mine)

    asyncio.run(run())


def ask(channel: grpc.Channel, **fields: Any) -> Any:
    metadata = fields.pop("metadata", ())
    asked = request(**fields).SerializeToString()
    return method_of(channel).future(asked, timeout=60, metadata=metadata)


def test_excess_is_refused_at_once_and_the_rest_answered(held: Held) -> None:
    before = refusals("requests")
    with (
        served(held, running=1, waiting=1) as running,
        channel_to(running.addresses.grpc) as channel,
        ThreadPoolExecutor(1) as pool,
    ):
        working = ask(channel)
        assert held.began.acquire(timeout=30)
        url = running.addresses.http + "/v1/detect"
        waiting = pool.submit(httpx.post, url, **form(GOOD), timeout=60)
        until(lambda: running.server.requests == 2)

        with pytest.raises(grpc.RpcError) as caught:
            ask(channel).result()
        assert_grpc("all places are taken", caught.value)
        trailers = trailers_of(caught.value)
        assert int(trailers["retry-after-ms"]) >= 500
        status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
        assert (status.code, status.message) == (code_pb2.RESOURCE_EXHAUSTED, caught.value.details())
        info = error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(info)
        assert info.retry_delay.ToMilliseconds() == int(trailers["retry-after-ms"])

        for path in ("/v1/detect", "/v1/detect/stream"):
            refused = httpx.post(running.addresses.http + path, **form(GOOD))
            assert_http("all places are taken", refused)
            assert int(refused.headers["retry-after"]) >= 1
        assert refusals("requests") == before + 3
        # Only the first is in work, and who is described asks for no place.
        assert len(held.scopes) == 1
        assert httpx.get(running.addresses.http + "/v1/describe").status_code == 200

        held.go.set()
        assert working.result()
        assert waiting.result().status_code == 200
        assert ask(channel).result()


def test_bytes_are_bounded_over_both_doors(held: Held) -> None:
    condition = "the bytes for requests are used up"
    size = len(request().SerializeToString())
    with (
        served(held, held_bytes=size + 1000, running=2) as running,
        channel_to(running.addresses.grpc) as channel,
    ):
        working = ask(channel)
        assert held.began.acquire(timeout=30)
        with pytest.raises(grpc.RpcError) as caught:
            ask(channel).result()
        assert_grpc(condition, caught.value)
        url = running.addresses.http + "/v1/detect"
        assert_http(condition, httpx.post(url, **form(GOOD)))
        # One that does not say how large it is is refused while it is read.
        head = {"content-type": "multipart/form-data; boundary=cut"}
        begin = b'--cut\r\nContent-Disposition: form-data; name="t1"; filename="a"\r\n\r\n'
        chunks = iter([begin, *[b"\0" * 1000] * 1000])
        assert_http(condition, httpx.post(url, content=chunks, headers=head))
        held.go.set()
        assert working.result()
        assert httpx.post(url, **form(GOOD)).status_code == 200


def test_a_token_may_have_so_many_requests(held: Held, tmp_path: Any) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(
        '[[token]]\nname = "one"\ntoken = "one-at-a-time-please"\nrequests = 1\n'
        '[[token]]\nname = "free"\ntoken = "as-many-as-there-is"\n'
    )
    condition = "the token has as many requests in work as it may"
    one = {"authorization": "Bearer one-at-a-time-please"}
    with (
        served(held, tokens=tokens) as running,
        channel_to(running.addresses.grpc) as channel,
        ThreadPoolExecutor(1) as pool,
    ):
        url = running.addresses.http + "/v1/detect"
        working = pool.submit(httpx.post, url, **form(GOOD), headers=one, timeout=60)
        assert held.began.acquire(timeout=30)
        with pytest.raises(grpc.RpcError) as caught:
            ask(channel, metadata=tuple(one.items())).result()
        assert_grpc(condition, caught.value)
        assert_http(condition, httpx.post(url, **form(GOOD), headers=one))
        other = ask(channel, metadata=(("authorization", "Bearer as-many-as-there-is"),))
        assert held.began.acquire(timeout=30)
        held.go.set()
        assert other.result()
        assert working.result().status_code == 200
        assert ask(channel, metadata=tuple(one.items())).result()
