"""Jobs at both doors, and by the client library: the same jobs, the same refusals."""

import asyncio
import errno
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from gateway.jobs import folders
from gateway.jobs.settings import JobSettings
from gateway.server.http_job_models import JobModel, JobsModel, ScenesModel
from reasoncd.client import AsyncReasonCDClient, ReasonCDClient, SceneName
from reasoncd.errors import InvalidInputError, JobStateError, NotFoundError, UnavailableError
from reasoncd.v1 import jobs_pb2 as pb
from reasoncd.v1.jobs_pb2_grpc import SceneJobsStub
from tests.gateway.jobs.conftest import QUESTION, TileModel
from tests.gateway.jobs.scene_files import write_scene
from tests.gateway.server.bad_requests import GOOD
from tests.gateway.server.conftest import Served, channel_to, form, served, until
from tests.gateway.server.error_table import assert_grpc, assert_http

pytestmark = pytest.mark.unit

TOKENS = {"a": "token-of-the-first", "b": "token-of-the-second"}
UPLOAD_BYTES = 300_000


@dataclass(frozen=True, kw_only=True)
class Office:
    """A gateway that takes jobs on, and what it works on."""

    server: Served
    model: TileModel
    scenes: Path

    def web(self, token: str = "a") -> httpx.Client:
        headers = {"authorization": f"Bearer {TOKENS[token]}"}
        return httpx.Client(base_url=self.server.addresses.http, headers=headers, timeout=30)

    def client(self, token: str = "a") -> ReasonCDClient:
        return ReasonCDClient(self.server.addresses.grpc, token=TOKENS[token])

    @property
    def files(self) -> dict[str, Any]:
        return {which: (which, (self.scenes / f"{which}.tif").read_bytes()) for which in ("t1", "t2")}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    tokens = folder / "tokens.toml"
    tokens.write_text("".join(f'[[token]]\nname = "{name}"\ntoken = "{TOKENS[name]}"\n' for name in TOKENS))
    scenes = folder / "scenes"
    write_scene(scenes / "t1.tif", 400, 600)
    write_scene(scenes / "t2.tif", 400, 600, (40, 60, 40, 50))
    write_scene(scenes / "town" / "later.tiff", 400, 600)
    write_scene(folder / "outside.tif", 64, 64)
    (scenes / "leaving.tif").symlink_to(folder / "outside.tif")
    (scenes / "staying.tif").symlink_to(scenes / "t1.tif")
    (scenes / "dangling.tif").symlink_to(folder / "nowhere.tif")
    (scenes / "away").symlink_to(folder)
    (scenes / "notes.txt").write_text("no scene")
    (scenes / ".hidden.tif").write_bytes((scenes / "t1.tif").read_bytes())
    vrt = f'<VRTDataset rasterXSize="64" rasterYSize="64"><x>{folder}/outside.tif</x></VRTDataset>'
    (scenes / "virtual.tif").write_text(vrt)
    model = TileModel()
    jobs = JobSettings(
        folder=folder / "jobs", scenes_root=scenes, upload_bytes=UPLOAD_BYTES, uploads=1, queued=6
    )
    with served(model, tokens=tokens, jobs=jobs) as server:
        yield Office(server=server, model=model, scenes=scenes)


@pytest.fixture
def web(office: Office) -> Iterator[httpx.Client]:
    with office.web() as client:
        yield client
        for job in client.get("/v1/jobs").json()["jobs"]:
            client.delete(f"/v1/jobs/{job['id']}")


NAMED = {"t1_name": (None, "t1.tif"), "t2_name": (None, "t2.tif"), "query": (None, QUESTION)}


def submit(web: httpx.Client, **fields: Any) -> dict[str, Any]:
    response = web.post("/v1/jobs", files={**NAMED, **fields})
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    JobModel.model_validate_json(response.text)
    return job


def finished(web: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    until(lambda: web.get(f"/v1/jobs/{job['id']}").json()["state"] not in ("queued", "running"))
    response = web.get(f"/v1/jobs/{job['id']}")
    JobModel.model_validate_json(response.text)
    found: dict[str, Any] = response.json()
    return found


def test_a_job_over_http(office: Office, web: httpx.Client) -> None:
    job = web.post("/v1/jobs", files=office.files, data={"query": QUESTION, "views": "true"}).json()
    with web.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        blocks = "".join(stream.iter_text()).strip().split("\n\n")
    events = [json.loads(block.split("data: ")[1]) for block in blocks if block.startswith("event: job")]
    for event in events:
        JobModel.model_validate(event)
    assert events[-1]["state"] == "done"
    assert events[-1] == web.get(f"/v1/jobs/{job['id']}").json()
    assert events[-1]["answer"].startswith("New buildings: 1 place")
    files = {file["name"]: file for file in events[-1]["files"]}
    assert files.keys() >= {"change.tif", "changes.geojson", "t1_view.tif", "t2_view.tif", "report.html"}
    for file in files.values():
        assert len(web.get(file["href"]).content) == file["size"]
    whole = web.get(files["change.tif"]["href"]).content
    part = web.get(files["change.tif"]["href"], headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert web.head(files["change.tif"]["href"]).headers["content-length"] == str(len(whole))
    report = web.get(files["report.html"]["href"])
    assert "sandbox" in report.headers["content-security-policy"]
    listed = web.get("/v1/jobs")
    JobsModel.model_validate_json(listed.text)
    assert [each["id"] for each in listed.json()["jobs"]] == [job["id"]]
    assert web.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert web.get("/v1/jobs").json() == {"jobs": []}


def test_a_job_by_the_client(office: Office, web: httpx.Client, tmp_path: Path) -> None:
    t1, t2 = office.scenes / "t1.tif", office.scenes / "t2.tif"
    with office.client() as client:
        job = client.jobs.submit(t1, t2, QUESTION, idempotency_key="one")
        assert client.jobs.submit(t1, t2, QUESTION, idempotency_key="one").id == job.id
        states = [told.state for told in client.jobs.watch(job.id)]
        assert states[-1] == "done"
        (found,) = client.jobs.list()
        assert found == client.jobs.wait(job.id)
        for file in found.files:
            path = client.jobs.fetch(job.id, file.name, tmp_path)
            assert path.read_bytes() == web.get(f"/v1/jobs/{job.id}/files/{file.name}").content
        with pytest.raises(NotFoundError, match="has no file"):
            client.jobs.fetch(job.id, "other.tif", tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {file.name for file in found.files}
        assert client.jobs.cancel(job.id).state == "done"
        named = client.jobs.submit(SceneName(name="t1.tif"), SceneName(name="t2.tif"), QUESTION)
        assert client.jobs.wait(named.id).answer == found.answer
        assert "town/later.tiff" in client.jobs.scenes()
        client.jobs.delete(job.id)
        with pytest.raises(NotFoundError):
            client.jobs.cancel(job.id)
        with pytest.raises(NotFoundError, match=r"t1: .*nowhere.tif does not exist"):
            client.jobs.submit(tmp_path / "nowhere.tif", t2, QUESTION)
        with pytest.raises(InvalidInputError, match="mode 'long' is unknown"):
            client.jobs.submit(t1, t2, QUESTION, mode="long")


def test_a_job_by_the_client_for_asyncio(office: Office, web: httpx.Client, tmp_path: Path) -> None:
    async def ask() -> None:
        target = office.server.addresses.grpc
        async with AsyncReasonCDClient(target, token=TOKENS["a"]) as client:
            job = await client.jobs.submit(office.scenes / "t1.tif", SceneName(name="t2.tif"), QUESTION)
            states = [told.state async for told in client.jobs.watch(job.id)]
            assert states[-1] == "done"
            path = await client.jobs.fetch(job.id, "change.tif", tmp_path / "map.tif")
            assert path.read_bytes() == web.get(f"/v1/jobs/{job.id}/files/change.tif").content
            assert [each.id for each in await client.jobs.list()] == [job.id]
            assert (await client.jobs.cancel(job.id)).state == "done"
            assert await client.jobs.wait(job.id) == (await client.jobs.list())[0]
            assert "t1.tif" in await client.jobs.scenes()
            await client.jobs.delete(job.id)
            with pytest.raises(NotFoundError):
                await client.jobs.wait(job.id)

    asyncio.run(ask())


def test_scenes_that_may_be_named(web: httpx.Client) -> None:
    response = web.get("/v1/scenes")
    ScenesModel.model_validate_json(response.text)
    names = [scene["name"] for scene in response.json()["scenes"]]
    assert {"t1.tif", "t2.tif", "town/later.tiff", "staying.tif"} <= set(names)
    assert {name for name in names if name.startswith("sample/")}
    for absent in ("leaving.tif", "dangling.tif", "away/outside.tif", "notes.txt", ".hidden.tif"):
        assert absent not in names


def test_the_sample_can_be_asked_about(web: httpx.Client) -> None:
    names = [scene["name"] for scene in web.get("/v1/scenes").json()["scenes"]]
    t1, t2 = [name for name in names if name.startswith("sample/")][:2]
    job = submit(web, t1_name=(None, t1), t2_name=(None, t2))
    assert finished(web, job)["state"] == "done"


NO_NAME = "a scene's name leads out of the scenes root"
NO_SCENE = "there is no scene of that name"
NAMES = [
    (NO_NAME, "../outside.tif"),
    (NO_NAME, "town/../../outside.tif"),
    (NO_NAME, "/etc/passwd.tif"),
    (NO_NAME, "https://example.org/t1.tif"),
    (NO_NAME, "file:t1.tif"),
    (NO_NAME, "/vsicurl/http://127.0.0.1/t1.tif"),
    (NO_NAME, "~/t1.tif"),
    (NO_NAME, "..\\outside.tif"),
    (NO_NAME, ".hidden.tif"),
    (NO_NAME, "t1.tif\0.tif"),
    (NO_NAME, "a" * 600 + ".tif"),
    (NO_NAME, "leaving.tif"),
    (NO_NAME, "away/outside.tif"),
    (NO_SCENE, "nowhere.tif"),
    (NO_SCENE, "dangling.tif"),
    (NO_SCENE, "notes.txt"),
    (NO_SCENE, "town"),
    (NO_SCENE, "sample/nowhere.tif"),
    (NO_SCENE, "a" * 300 + ".tif"),
]


@pytest.mark.parametrize(("condition", "name"), NAMES, ids=lambda text: text[:20].replace("\0", "0"))
def test_names_that_are_refused(office: Office, web: httpx.Client, condition: str, name: str) -> None:
    assert_http(condition, web.post("/v1/jobs", files={**NAMED, "t1_name": (None, name)}))
    order = pb.SceneJobOrder(query=QUESTION, t1_name=name, t2_name="t2.tif")
    with pytest.raises(grpc.RpcError) as caught:
        call(office, "Submit", iter([pb.SceneJobsSubmitRequest(order=order)]))
    assert_grpc(condition, caught.value)
    assert web.get("/v1/jobs").json() == {"jobs": []}


def call(office: Office, name: str, request: Any, token: str = "a") -> Any:
    with channel_to(office.server.addresses.grpc) as channel:
        stub: Any = SceneJobsStub(channel)
        metadata = (("authorization", f"Bearer {TOKENS[token]}"),)
        answer = getattr(stub, name)(request, metadata=metadata, timeout=30)
        return list(answer) if name in ("Watch", "Fetch") else answer


def refused(office: Office, condition: str, name: str, request: Any, token: str = "a") -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(office, name, request, token)
    assert_grpc(condition, caught.value)


def test_jobs_of_others_and_unknown_ones(office: Office, web: httpx.Client) -> None:
    job = finished(web, submit(web))
    own, unknown = f"/v1/jobs/{job['id']}", "/v1/jobs/" + "0" * 32
    with office.web("b") as other:
        for client, path, condition in (
            (other, own, "a job is another caller's"),
            (web, unknown, "there is no job of that id"),
        ):
            assert_http(condition, client.get(path))
            assert_http(condition, client.get(path + "/events"))
            assert_http(condition, client.post(path + "/cancel"))
            assert_http(condition, client.delete(path))
            assert_http(condition, client.get(path + "/files/change.tif"))
        assert other.get("/v1/jobs").json() == {"jobs": []}
    for name in ("Watch", "Cancel", "Delete", "Fetch"):
        kind = getattr(pb, f"SceneJobs{name}Request")
        refused(office, "a job is another caller's", name, kind(id=job["id"]), "b")
        refused(office, "there is no job of that id", name, kind(id="../x"))
    assert_http("a job has no file of that name", web.get(own + "/files/other.tif"))
    refused(office, "a job has no file of that name", "Fetch", pb.SceneJobsFetchRequest(id=job["id"]))
    beyond = pb.SceneJobsFetchRequest(id=job["id"], name="change.tif", offset=10**9)
    refused(office, "a part of a file is asked for that lies beyond its end", "Fetch", beyond)
    assert_http(
        "a part of a file is asked for that lies beyond its end",
        web.get(own + "/files/change.tif", headers={"range": "bytes=999999999-"}),
    )
    with httpx.Client(base_url=office.server.addresses.http) as anybody:
        for path in (own, "/v1/jobs", "/v1/scenes", own + "/files/change.tif"):
            assert_http("no token was sent", anybody.get(path))
        assert_http("no token was sent", anybody.post("/v1/jobs", files=NAMED))


def test_a_job_that_has_no_results(office: Office, web: httpx.Client) -> None:
    reached, go = threading.Event(), threading.Event()

    def hold(tile: int) -> None:
        reached.set()
        assert go.wait(30)

    office.model.before = hold
    condition = "a job's result is not there: it is not done, was cancelled, or has failed"
    try:
        job = submit(web)
        assert reached.wait(30)
        path = f"/v1/jobs/{job['id']}"
        assert_http(condition, web.get(path + "/files/change.tif"))
        cancelled = web.post(path + "/cancel").json()
        assert cancelled["state"] == "cancelled"
        assert_http(condition, web.get(path + "/files/change.tif"))
        request = pb.SceneJobsFetchRequest(id=job["id"], name="change.tif")
        refused(office, condition, "Fetch", request)
        with office.client() as client, pytest.raises(JobStateError, match="was cancelled"):
            client.jobs.fetch(job["id"], "change.tif", office.scenes.parent)
    finally:
        office.model.before = lambda tile: None
        go.set()


def test_a_key_that_was_used(office: Office, web: httpx.Client) -> None:
    condition = "an idempotency key belongs to another input"
    headers = {"Idempotency-Key": "k"}
    job = web.post("/v1/jobs", files=NAMED, headers=headers).json()
    assert web.post("/v1/jobs", files=NAMED, headers=headers).json()["id"] == job["id"]
    other = {**NAMED, "query": (None, "lost buildings")}
    assert_http(condition, web.post("/v1/jobs", files=other, headers=headers))
    order = pb.SceneJobOrder(query="lost", t1_name="t1.tif", t2_name="t2.tif", idempotency_key="k")
    refused(office, condition, "Submit", iter([pb.SceneJobsSubmitRequest(order=order)]))
    # It is the caller's own.
    with office.web("b") as client:
        theirs = client.post("/v1/jobs", files=other, headers=headers).json()
        assert theirs["id"] != job["id"]
        client.delete(f"/v1/jobs/{theirs['id']}")
    bad = web.post("/v1/jobs", files=NAMED, headers={"Idempotency-Key": "two words"})
    assert_http("an idempotency key cannot be used", bad)


def test_scenes_that_cannot_be_used(office: Office, web: httpx.Client) -> None:
    condition = "a scene cannot be used"
    for t1 in (b"no picture", b"", office.files["t1"][1][:500]):
        files = {**office.files, "t1": ("t1.tif", t1)}
        response = web.post("/v1/jobs", files=files, data={"query": QUESTION})
        assert_http(condition, response)
        assert str(office.scenes.parent) not in response.text
    assert_http(condition, web.post("/v1/jobs", files={**NAMED, "t1_name": (None, "virtual.tif")}))
    assert_http(condition, web.post("/v1/jobs", files={"query": (None, QUESTION)}))
    both = {**office.files, "t1_name": (None, "t1.tif"), "query": (None, QUESTION)}
    assert_http(condition, web.post("/v1/jobs", files=both))


def test_what_is_wrong_with_a_form(web: httpx.Client) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("a question is empty, too long, or holds control characters", {"query": (None, " ")}),
        ("the mode is unknown", {"mode": (None, "long")}),
        ("the threshold is out of range or no number", {"threshold": (None, "7")}),
        ("the threshold is out of range or no number", {"threshold": (None, "half")}),
        (
            "a field of the form is unknown, sent twice, or a file where text belongs",
            {"queries": (None, "new")},
        ),
        ("a field of the form is unknown, sent twice, or a file where text belongs", {"query": ("q", b"a")}),
        ("a field of the form is unknown, sent twice, or a file where text belongs", {"t1": (None, "a")}),
        ("the form is broken or has too many parts", {"query": (None, "a" * 70_000)}),
    ]
    for condition, fields in cases:
        assert_http(condition, web.post("/v1/jobs", files={**NAMED, **fields}))
    assert_http("the body is no form", web.post("/v1/jobs", json={}))
    kind = {"content-type": "multipart/form-data; boundary=cut"}
    broken = "the form is broken or has too many parts"
    for content in (b"--other\r\nnothing", b"--cut\r\nContent-Disposition: form-data\r\n\r\na", b""):
        assert_http(broken, web.post("/v1/jobs", content=content, headers=kind))
    bare = {"content-type": "multipart/form-data"}
    assert_http(broken, web.post("/v1/jobs", content=b"--cut\r\n", headers=bare))
    many = [("query", (None, "a"))] * 300
    assert_http(broken, web.post("/v1/jobs", files=many))


def address_of(office: Office) -> tuple[str, int]:
    host, _, port = office.server.addresses.http.removeprefix("http://").rpartition(":")
    return host, int(port)


def test_uploads_that_are_too_large(office: Office, web: httpx.Client) -> None:
    condition = "an upload is too large"
    kind = {"content-type": "multipart/form-data; boundary=cut"}
    # By what its header says: not a byte of it is read.
    lines = [f"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: {5 * 2**30}\r\nconnection: close"]
    lines += [f"content-type: {kind['content-type']}", f"authorization: Bearer {TOKENS['a']}"]
    with socket.create_connection(address_of(office), timeout=30) as wire:
        wire.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b"".join(iter(lambda: wire.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"the upload is larger than the 300000 bytes" in answer

    def endless() -> Iterator[bytes]:
        yield b'--cut\r\nContent-Disposition: form-data; name="t1"; filename="a"\r\n\r\n'
        for _ in range(200):
            yield bytes(2**14)

    assert_http(condition, web.post("/v1/jobs", content=endless(), headers=kind))
    order = pb.SceneJobsSubmitRequest(order=pb.SceneJobOrder(query=QUESTION))
    parts = [order] + [pb.SceneJobsSubmitRequest(t1_data=bytes(10**5))] * 4
    refused(office, condition, "Submit", iter(parts))
    until(lambda: not list((office.scenes.parent / "jobs" / "incoming").iterdir()))


def test_what_is_wrong_with_messages(office: Office) -> None:
    part = pb.SceneJobsSubmitRequest
    order = part(order=pb.SceneJobOrder(query=QUESTION, t1_name="t1.tif", t2_name="t2.tif"))
    condition = "a submission's messages are out of order"
    for parts in ([], [part()], [part(t1_data=b"a")], [order, order], [order, part()]):
        refused(office, condition, "Submit", iter(parts))
    with channel_to(office.server.addresses.grpc) as channel:
        watch: Any = channel.unary_stream("/reasoncd.v1.SceneJobs/Watch")
        metadata = (("authorization", f"Bearer {TOKENS['a']}"),)
        with pytest.raises(grpc.RpcError) as caught:
            list(watch(b"\xff" * 9, metadata=metadata, timeout=30))
        assert_grpc("the message is not the contract's", caught.value)


def test_there_is_room_for_some_jobs_only(office: Office, web: httpx.Client) -> None:
    go = threading.Event()
    office.model.before = lambda tile: None if go.wait(30) else pytest.fail("never let go")
    try:
        for _ in range(6):
            submit(web)
        assert_http("a caller has as many jobs as it may", web.post("/v1/jobs", files=NAMED))
    finally:
        office.model.before = lambda tile: None
        go.set()


def test_one_upload_at_a_time(office: Office, web: httpx.Client) -> None:
    go = threading.Event()

    def slow() -> Iterator[bytes]:
        yield b'--cut\r\nContent-Disposition: form-data; name="t1"; filename="a"\r\n\r\nabc'
        go.wait(30)

    kind = {"content-type": "multipart/form-data; boundary=cut"}
    condition = "as many submissions are received as are at once"

    def upload() -> None:
        with office.web() as client:
            client.post("/v1/jobs", content=slow(), headers=kind)

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        until(lambda: office.server.server._jobs._receiving == 1)
        assert_http(condition, web.post("/v1/jobs", files=NAMED))
    finally:
        go.set()
        thread.join(30)


def test_a_full_disk_refuses_uploads(
    office: Office, web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders.Incoming, "path", lambda self, which: _Full())
    response = web.post("/v1/jobs", files=office.files, data={"query": QUESTION})
    assert_http("the disk of the jobs folder is full", response)
    assert response.headers["retry-after"] == "60"


class _Full:
    def open(self, mode: str) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_without_a_folder_no_jobs_are_taken(office: Office) -> None:
    condition = "the gateway takes no scenes on"
    with served(TileModel()) as running, httpx.Client(base_url=running.addresses.http) as web:
        for path in ("/v1/jobs", "/v1/scenes", "/v1/jobs/x/events"):
            assert_http(condition, web.get(path))
        assert_http(condition, web.post("/v1/jobs", files=NAMED))


def test_requests_are_answered_between_two_tiles(tmp_path: Path, office: Office) -> None:
    """With one place to work, a request does not wait for a whole job."""
    model, order = TileModel(), []
    asked, go = threading.Event(), threading.Event()

    def before(tile: int) -> None:
        order.append(tile)
        if tile == 2:
            asked.set()
            assert go.wait(30)

    model.before = before
    detect = model.detect

    def noted(*asked: Any, **told: Any) -> Any:
        # Requests come without a meaning, as does a job's reading of its question, which is the first call.
        if told.get("meanings") is None and order:
            order.append(0)
        return detect(*asked, **told)

    model.detect = noted  # type: ignore[method-assign]
    jobs = JobSettings(folder=tmp_path / "jobs", scenes_root=office.scenes)
    with (
        served(model, jobs=jobs, running=1) as running,
        httpx.Client(base_url=running.addresses.http, timeout=60) as web,
    ):
        job = submit(web)
        assert asked.wait(30)
        answers: list[int] = []

        def ask() -> None:
            answers.append(httpx.post(running.addresses.http + "/v1/detect", **form(GOOD)).status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: len(running.server._front._admission._turns._waiters or ()) == 1)
        # It is in line now; the tile in work goes on.
        go.set()
        thread.join(30)
        assert answers == [200]
        assert finished(web, job)["state"] == "done"
    # 0 is the request: it came before the tile that the job asked for next.
    assert order == [1, 2, 0, 3, 4, 5, 6]


def test_a_gateway_that_goes_down_leaves_its_jobs_for_the_next(tmp_path: Path, office: Office) -> None:
    model, reached, go = TileModel(), threading.Event(), threading.Event()

    def before(tile: int) -> None:
        if tile == 3:
            reached.set()
            assert go.wait(30)

    model.before = before
    jobs = JobSettings(folder=tmp_path / "jobs", scenes_root=office.scenes)
    with served(model, jobs=jobs) as running, httpx.Client(base_url=running.addresses.http) as web:
        job = submit(web)
        assert reached.wait(30)
        draining = asyncio.run_coroutine_threadsafe(running.server.drain(), running.loop)
        until(lambda: running.server._front.draining)
        assert_http("the gateway is going down", web.post("/v1/jobs", files=NAMED))
        draining.result(30)
        go.set()
    model.before = lambda tile: None
    with served(model, jobs=jobs) as running, httpx.Client(base_url=running.addresses.http) as web:
        assert finished(web, job)["state"] == "done"
    assert model.tiles == 6


def test_two_gateways_on_one_folder(tmp_path: Path, office: Office) -> None:
    jobs = JobSettings(folder=tmp_path / "jobs")
    with (
        served(TileModel(), jobs=jobs),
        pytest.raises(UnavailableError, match="is in use by another gateway"),
        served(TileModel(), jobs=jobs),
    ):
        pass
    with served(TileModel(), jobs=jobs):
        pass
