"""The launch's command line and its control socket: what can be refused is refused before Ray starts."""

import json
import queue
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reasoncd.checkpoint import Checkpoint
from reasoncd.errors import InvalidInputError, NotFoundError, UnavailableError
from services.serving.cluster import _sentence
from services.serving.control import ControlServer, Order, order
from services.serving.launch import main

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threads", "0"], "REASONCD_THREADS is 0"),
        (["--device", "tpu"], "REASONCD_DEVICE is 'tpu'"),
        (["--dtype", "float16"], "REASONCD_DTYPE is 'float16'"),
        (["--cache-bytes", "lots"], "REASONCD_CACHE_BYTES is 'lots'"),
        (["--batch-size", "none"], "REASONCD_BATCH_SIZE is 'none'"),
        (["--applications", "clip,decoder"], "application 'decoder' is unknown"),
        (["--applications", ","], "name at least one application"),
        (["--replicas", "0"], "--replicas is 0"),
    ],
)
def test_wrong_options_end_with_one_sentence(
    tiny_checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["--checkpoint", str(tiny_checkpoint.path), *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_a_checkpoint_that_is_not_there_ends_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--checkpoint", str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err


def test_a_port_that_is_taken_ends_with_one_sentence(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "services.serving.launch", "--checkpoint", str(tiny_checkpoint.path)]
        command += ["--grpc-port", port, "--control", str(tmp_path / "control")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith(f"launch: port {port} cannot be taken")


def test_a_redeploy_without_a_launch_ends_with_one_sentence(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--redeploy", "reasoner", "--checkpoint", str(tiny_checkpoint.path)]
    assert main([*arguments, "--control", str(tmp_path / "nobody")]) == 2
    assert "no launch listens" in capsys.readouterr().err


def _carry_out(orders: "queue.Queue[Order]", error: UnavailableError | None) -> threading.Thread:
    thread = threading.Thread(target=lambda: orders.get(timeout=20).settle(error))
    thread.start()
    return thread


def test_an_order_waits_until_it_is_carried_out(tmp_path: Path) -> None:
    path = tmp_path / "control"
    orders: queue.Queue[Order] = queue.Queue()
    taken: list[Order] = []

    def take(given: Order) -> None:
        taken.append(given)
        orders.put(given)

    with ControlServer(path, take):
        # Nobody else's business.
        assert path.stat().st_mode & 0o077 == 0
        thread = _carry_out(orders, None)
        order(path, application="reasoner", checkpoint=Path("/models/new"))
        thread.join()
        assert (taken[0].application, taken[0].checkpoint) == ("reasoner", Path("/models/new"))
        thread = _carry_out(orders, UnavailableError("it does not start; see its log"))
        with pytest.raises(UnavailableError, match="it does not start; see its log"):
            order(path, application="reasoner", checkpoint=Path("/models/new"))
        thread.join()
    assert not path.exists()


def test_a_socket_that_is_in_use_is_left_alone_and_a_dead_one_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with ControlServer(path, lambda given: given.settle()):
        with pytest.raises(InvalidInputError, match="give another --control"):
            ControlServer(path, lambda given: None).__enter__()
        order(path, application="clip", checkpoint=Path("/m"))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with ControlServer(path, lambda given: given.settle()):
        order(path, application="clip", checkpoint=Path("/m"))


def test_an_order_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with ControlServer(path, lambda given: given.settle()), socket.socket(socket.AF_UNIX) as sender:
        sender.connect(str(path))
        sender.sendall(b"please\n")
        assert "error" in json.loads(sender.makefile().readline())


def test_nobody_listening_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no launch listens"):
        order(tmp_path / "nobody", application="clip", checkpoint=Path("/m"))


def test_our_sentence_is_found_in_what_serve_reports() -> None:
    report = (
        "The deployment failed to start 3 times in a row.\nray::X.initialize()\n  File x\n"
        "reasoncd.errors.CheckpointError: checkpoint /m is damaged; fetch it again\n"
    )
    assert _sentence(["", report]) == "checkpoint /m is damaged; fetch it again"
    assert _sentence(["no such module\n"]) == "no such module"
    assert "does not say why" in _sentence([""])
