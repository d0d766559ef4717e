"""The services of this machine as a child process: started, watched, and stopped with the block.

The gateway imports no service: it runs `services.serving.launch`, which prints a line of JSON when all
applications answer.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from reasoncd.errors import InvalidInputError, NotFoundError, UnavailableError

LAUNCH = "services.serving.launch"
STOP_S = 40.0
"""Ray takes some seconds to stop; then it is killed with all its processes."""


class LocalServices:
    """The applications behind one gRPC port of loopback.

    Args:
        checkpoint: its folder.
        port: of Serve's proxy.
        replicas: of each application.
        threads: of torch in each replica; half of the cores if not given.
        ended: called, in another thread, where the services end by themselves.

    Raises:
        UnavailableError: they do not come up; what went wrong is on stderr before.
    """

    def __init__(
        self,
        *,
        checkpoint: Path,
        port: int,
        replicas: int = 1,
        threads: int | None = None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        if replicas < 1 or (threads is not None and threads < 1):
            raise InvalidInputError(f"replicas is {replicas} and threads {threads}; give at least 1")
        self._command = _launch(
            "--checkpoint", str(checkpoint), "--grpc-port", str(port), "--replicas", str(replicas)
        )
        if threads is not None:
            self._command += ["--threads", str(threads)]
        self._ended = ended
        self._stops = False
        self.target = ""
        """HOST:PORT of the applications."""

    def __enter__(self) -> "LocalServices":
        # A session of its own: Ctrl-C reaches the gateway, which stops the services after its last request.
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            self.target = self._ready()
        except BaseException:
            self._stop()
            raise
        threading.Thread(target=self._watch, name="services", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def _ready(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict) and told.get("ready"):
                return str(told["target"])
        raise UnavailableError("the services did not start; what is wrong stands above")

    def _watch(self) -> None:
        self._process.wait()
        if not self._stops:
            self._ended()

    def _stop(self) -> None:
        self._stops = True
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def redeploy(application: str, *, checkpoint: Path, port: int) -> None:
    """Give one running application another checkpoint, without a gap.

    Args:
        application: its name.
        checkpoint: its folder.
        port: of the services' gRPC port.

    Raises:
        NotFoundError, UnavailableError: as the launch says.
    """
    command = _launch("--redeploy", application, "--checkpoint", str(checkpoint), "--grpc-port", str(port))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it does not say why"]
        raise UnavailableError(lines[-1].removeprefix("launch: "))


def _launch(*arguments: str) -> list[str]:
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise NotFoundError("Ray is not installed here; install the extras of every service and `serve`")
    return [sys.executable, "-m", LAUNCH, *arguments]
