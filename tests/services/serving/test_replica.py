"""How a replica starts, without Ray."""

import threading
from typing import Any

import pytest

from reasoncd.checkpoint import Checkpoint
from reasoncd.v1 import describe_pb2
from services.serving.launch import default_threads
from services.serving.replica import Replica
from services.serving.settings import ServingSettings

pytestmark = pytest.mark.unit


class Noting:
    """A servicer that notes which thread works."""

    def __init__(self) -> None:
        self.workers = [threading.current_thread()]

    def probe(self) -> None:
        self.workers.append(threading.current_thread())

    async def check_health(self) -> None: ...

    async def Describe(  # noqa: N802
        self, request: describe_pb2.DescribeRequest, context: Any, /
    ) -> describe_pb2.DescribeResponse:
        return describe_pb2.DescribeResponse()

    def close(self) -> None: ...


class NotingReplica(Replica[Noting]):
    service = "noting"

    def load(self, checkpoint: Checkpoint, settings: ServingSettings) -> Noting:
        return Noting()


class BrokenReplica(NotingReplica):
    def load(self, checkpoint: Checkpoint, settings: ServingSettings) -> Noting:
        raise MemoryError("no room")


@pytest.fixture
def settled(tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REASONCD_CHECKPOINT", str(tiny_checkpoint.path))


@pytest.mark.usefixtures("settled")
def test_what_loaded_and_probed_was_one_thread_that_is_gone() -> None:
    workers = NotingReplica().servicer.workers
    assert len(workers) == 2
    assert len(set(workers)) == 1
    assert workers[0] is not threading.current_thread()
    assert not workers[0].is_alive()


@pytest.mark.usefixtures("settled")
def test_what_fails_while_loading_fails_the_constructor() -> None:
    with pytest.raises(MemoryError, match="no room"):
        BrokenReplica()


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (8, 4), (None, 1)])
def test_replicas_share_the_cores(cores: int | None, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert default_threads() == threads
