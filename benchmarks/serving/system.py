"""The whole served system as a user starts it: services and gateway, processes of their own on loopback.

Started by their own commands and stopped with the block; nothing of them is imported here.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reasoncd.errors import UnavailableError

START_S = 300.0
"""Until it must be up; a busy machine needs long to import torch eight times."""
STOP_S = 60.0

_ADDRESSES = re.compile(r"gRPC at (\S+:\d+), HTTP at (https?://\S+:\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """Four applications behind one gRPC port."""

    pid: int
    """Of the process that owns Ray."""
    port: int
    metrics: str
    """URL of one page with the metrics of all replicas."""

    @property
    def target(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """A gateway in front of services."""

    pid: int
    grpc: str
    """HOST:PORT."""
    http: str
    """URL."""
    log: Path
    """Lines of JSON; gone with the gateway."""


@contextmanager
def running_services(
    checkpoint: Path, *, replicas: int = 1, threads: int = 1, batch_size: int = 8, options: Sequence[str] = ()
) -> Iterator[Services]:
    """Start Ray and the applications, and stop them after the block.

    Args:
        checkpoint: its folder.
        replicas: of each application.
        threads: of torch in each replica.
        batch_size: requests computed together at most; 1 switches batching off.
        options: further ones of `services.serving.launch`.

    Raises:
        UnavailableError: they do not come up; the last lines of their log say why.
    """
    port, page = free_port(), f"127.0.0.1:{free_port()}"
    command = [
        *(sys.executable, "-m", "services.serving.launch", "--checkpoint", str(checkpoint)),
        *("--grpc-port", str(port), "--replicas", str(replicas), "--threads", str(threads)),
        *("--batch-size", str(batch_size), "--metrics", page, "--timeout", str(START_S), *options),
    ]
    with _Process(command) as process:
        process.first_line_with('"ready": true')
        yield Services(pid=process.pid, port=port, metrics=f"http://{page}/metrics")


@contextmanager
def running_gateway(services: Services, *, options: Sequence[str] = ()) -> Iterator[Gateway]:
    """Start a gateway, and stop it after the block.

    Args:
        services: behind it.
        options: further ones of `reasoncd serve`.

    Raises:
        UnavailableError: as `running_services`.
    """
    command = [
        *(str(Path(sys.executable).with_name("reasoncd")), "serve", "--services", services.target),
        *("--grpc-port", "0", "--http-port", "0", *options),
    ]
    with _Process(command) as process:
        found = _ADDRESSES.search(process.first_line_with("gRPC at"))
        assert found is not None
        yield Gateway(pid=process.pid, grpc=found[1], http=found[2], log=process.log)


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def logged_calls(gateway: Gateway) -> list[dict[str, object]]:
    """The calls that a gateway has logged so far: method, code and seconds of each."""
    calls = []
    for line in gateway.log.read_text(encoding="utf-8").splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and told.get("message") == "call ended":
            calls.append(told)
    return calls


class _Process:
    """A command while the block runs, with its log in a file and its output read as it comes."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False

    def __enter__(self) -> "_Process":
        self._folder = tempfile.TemporaryDirectory(prefix="reasoncd-")
        self.log = Path(self._folder.name) / "log"
        with self.log.open("w") as log:
            self._child = subprocess.Popen(
                self._command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C reaches us alone, and we stop it.
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self.pid = self._child.pid
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._child.wait()
        self._folder.cleanup()

    def first_line_with(self, words: str) -> str:
        """Wait for a line of its output."""

        def found() -> list[str]:
            return [line for line in self._lines if words in line]

        with self._news:
            self._news.wait_for(lambda: found() or self._ended, START_S)
            if lines := found():
                return lines[0]
        last = " | ".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])
        raise UnavailableError(f"{' '.join(self._command)} did not start: {last}")

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as output:
            for line in output:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
