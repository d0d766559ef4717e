"""How a second command reaches the process that owns the local cluster: a socket file of this user.

One connection is one order: a line of JSON there, lines of JSON back, the last with `done` or `error`.
"""

import json
import queue
import socket
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from reasoncd.errors import InvalidInputError, NotFoundError, ReasonCDError, UnavailableError


def control_file(port: int) -> Path:
    """Where the cluster behind a gRPC port listens for orders."""
    return user_cache_path("reasoncd", ensure_exists=True) / f"serve-{port}.sock"


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """Another checkpoint for one application."""

    application: str
    checkpoint: Path
    told: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)
    """What the one who ordered is told."""

    def settle(self, error: ReasonCDError | None = None) -> None:
        """Say how it ended."""
        self.told.put({"error": error.message} if error else {"done": True})


class ControlServer:
    """Takes orders while the block runs.

    Args:
        path: of the socket file; one that nobody listens on is replaced.
        take: called with each order, in another thread.

    Raises:
        InvalidInputError: another process listens there.
    """

    def __init__(self, path: Path, take: Callable[[Order], None]) -> None:
        self._path = path
        self._take = take

    def __enter__(self) -> "ControlServer":
        """Listen."""
        if self._path.exists():
            if _listens(self._path):
                raise InvalidInputError(f"{self._path} is in use by another launch; give another --control")
            self._path.unlink()
        take = self._take

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    asked = json.loads(self.rfile.readline())
                    order = Order(application=str(asked["application"]), checkpoint=Path(asked["checkpoint"]))
                except (ValueError, KeyError, TypeError):
                    self.wfile.write(b'{"error": "an order is {application, checkpoint} in one line"}\n')
                    return
                take(order)
                told: dict[str, Any] = {}
                while not {"done", "error"} & told.keys():
                    told = order.told.get()
                    self.wfile.write(json.dumps(told).encode() + b"\n")

        self._server = socketserver.ThreadingUnixStreamServer(str(self._path), Handler)
        self._server.daemon_threads = True
        self._path.chmod(0o600)
        threading.Thread(target=self._server.serve_forever, name="control", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


def order(path: Path, *, application: str, checkpoint: Path) -> None:
    """Give an order and wait until it is carried out.

    Raises:
        NotFoundError: nobody listens there.
        UnavailableError: it was not carried out; the sentence says why.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            raise NotFoundError(
                f"no launch listens at {path}; start one, or name its --control file"
            ) from None
        with connection.makefile("rw", encoding="utf-8") as lines:
            asked = {"application": application, "checkpoint": str(checkpoint)}
            print(json.dumps(asked), file=lines, flush=True)
            for line in lines:
                told = json.loads(line)
                if "error" in told:
                    raise UnavailableError(told["error"])
                if "done" in told:
                    return
    raise UnavailableError("the launch ended before the order was carried out; start it again")


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
