"""Several processes behind one port show one page, whichever of them is asked, and whoever dies or hangs."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reasoncd.errors import InvalidInputError
from reasoncd.observability.node import NodePage, parse_address
from tests.reasoncd.observability.tried_out import wait_for

pytestmark = pytest.mark.unit

REPLICA = """
import sys
from pathlib import Path
from reasoncd.observability import metrics
from reasoncd.observability.node import NodePage
metrics.reruns.inc(int(sys.argv[3]))
page = NodePage("127.0.0.1", int(sys.argv[1]), folder=Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.read()
page.close()
"""

Samples = dict[tuple[str, str | None], float]


def ask(port: int, path: str = "/metrics") -> Samples:
    """Samples by name and replica."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as response:
        text = response.read().decode()
    return {
        (sample.name, sample.labels.get("replica")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counted(samples: Samples) -> dict[int, float]:
    return {int(replica or 0): v for (name, replica), v in samples.items() if name == "reasoncd_reruns_total"}


class Replicas:
    """Processes that share a page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, count: int) -> int:
        command = [sys.executable, "-c", REPLICA, str(self.port), str(self.folder), str(count)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout and process.stdout.readline() == "ready\n"
        return process.pid


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Replicas]:
    made = Replicas(tmp_path / "run")
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def test_one_page_shows_every_replica_until_it_is_gone(replicas: Replicas) -> None:
    first, second = replicas.start(3), replicas.start(5)
    # Whoever is asked: the kernel chooses.
    for _ in range(8):
        samples = ask(replicas.port)
        assert counted(samples) == {first: 3, second: 5}
        assert samples["reasoncd_replicas_answering", None] == 2
        assert samples["reasoncd_replicas_silent", None] == 0
        assert samples["process_resident_memory_bytes", str(first)] > 0
    os.kill(first, signal.SIGKILL)
    replicas.processes[0].wait()
    assert counted(ask(replicas.port)) == {second: 5}
    assert [path.stem for path in replicas.folder.iterdir()] == [str(second)]
    third = replicas.start(7)
    assert counted(ask(replicas.port)) == {second: 5, third: 7}
    # Leaving in good order leaves nothing.
    replicas.processes[1].communicate("")
    assert [path.stem for path in replicas.folder.iterdir()] == [str(third)]


def test_a_replica_that_hangs_is_counted_and_the_others_are_shown(replicas: Replicas) -> None:
    first, second = replicas.start(3), replicas.start(5)
    os.kill(first, signal.SIGSTOP)
    answers: list[Samples] = []

    def answered() -> bool:
        # A hung replica keeps the connections that it is given; once its queue is full none are made.
        try:
            answers.append(ask(replicas.port))
        except TimeoutError:
            return False
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                return False
            raise
        return True

    try:
        wait_for(answered)
    finally:
        os.kill(first, signal.SIGCONT)
    assert counted(answers[0]) == {second: 5}
    assert answers[0]["reasoncd_replicas_silent", None] == 1
    # It has a queue to answer before us.
    wait_for(lambda: answered() and counted(answers[-1]) == {first: 3, second: 5})


def test_other_paths_are_not_there(replicas: Replicas) -> None:
    replicas.start(1)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(replicas.port, "/")


def test_a_port_that_somebody_else_has_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            InvalidInputError, match=f"REASONCD_METRICS: 127.0.0.1:{port} cannot be listened on"
        ):
            NodePage("127.0.0.1", port, folder=tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:1", ("::1", 1)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_addresses_are_read(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "9464", ":9464", "localhost", "localhost:", "h:0", "h:65536", "h:1e3"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="give HOST:PORT"):
        parse_address(text)
