"""One page of metrics for all replicas on a machine (or in a pod), behind one port.

Ray starts as many replica processes as it likes, and Prometheus wants addresses that are known before. So all
of them listen on the same TCP port (SO_REUSEPORT: the kernel gives each scrape to one of them), and each
listens on a socket file of its own too. Whoever is asked collects the pages of all, marks each sample with
the `replica` that it is from, and answers. When a replica dies the others go on; what it left is cleaned up
by the next scrape. One that hangs is left out, and counted.
"""

import contextlib
import os
import socket
import socketserver
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from platformdirs import user_runtime_path
from prometheus_client.core import GaugeMetricFamily, Metric

from reasoncd.errors import InvalidInputError
from reasoncd.observability.pages import CONTENT_TYPE, merged, page

VARIABLE = "REASONCD_METRICS"
"""Environment variable: `HOST:PORT` of the page; no page if not set."""

PEER_TIMEOUT_S = 1.0
"""For a replica on the same machine; Prometheus itself waits ten seconds for all of them."""


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`.

    Raises:
        InvalidInputError: it is none.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidInputError(f"{VARIABLE} is {text!r}; give HOST:PORT, for example 127.0.0.1:9464")
    return host.removeprefix("[").removesuffix("]"), int(port)


class NodePage:
    """This process's part in the page. Listens until it is closed.

    Args:
        host: address to listen on.
        port: the same for all replicas.
        folder: where the replicas of a port find each other; one of this user if not given.

    Raises:
        InvalidInputError: the port cannot be listened on.
    """

    def __init__(self, host: str, port: int, *, folder: Path | None = None) -> None:
        self._folder = folder or user_runtime_path("reasoncd") / f"metrics-{port}"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._folder.stat().st_uid != os.getuid():
            raise InvalidInputError(f"{self._folder} belongs to another user; remove it or name another port")
        self._socket = self._folder / f"{os.getpid()}.sock"
        # A process that had this number before us may have left its own.
        self._socket.unlink(missing_ok=True)
        self._peer_side = _PeerServer(str(self._socket), _PeerHandler)
        try:
            self._front = _FrontServer(host, port, self)
        except OSError as error:
            self._peer_side.server_close()
            self._socket.unlink(missing_ok=True)
            raise InvalidInputError(
                f"{VARIABLE}: {host}:{port} cannot be listened on ({error.strerror}); name another port"
            ) from None
        for name, server in (("metrics-page", self._front), ("metrics-peer", self._peer_side)):
            threading.Thread(target=server.serve_forever, name=name, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        for server in (self._front, self._peer_side):
            server.shutdown()
            server.server_close()
        self._socket.unlink(missing_ok=True)

    def collect(self) -> bytes:
        """The page of all replicas that answer."""
        sockets = sorted(self._folder.glob("*.sock"))
        with ThreadPoolExecutor(max_workers=max(len(sockets), 1)) as pool:
            texts = dict(zip(sockets, pool.map(self._ask, sockets), strict=True))
        pages = {path.stem: text for path, text in texts.items() if text}
        silent = sum(text == "" for text in texts.values())
        return merged(pages, label="replica", extra=replica_gauges(answering=len(pages), silent=silent))

    def _ask(self, path: Path) -> str | None:
        """A replica's page; empty where it does not answer in time, None where it is gone."""
        if path == self._socket:
            return page().decode()
        try:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(PEER_TIMEOUT_S)
                peer.connect(str(path))
                with peer.makefile("rb") as source:
                    return source.read().decode()
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return None
        except OSError:
            return ""


def replica_gauges(*, answering: int, silent: int) -> list[Metric]:
    """What the page says of the replicas themselves."""
    return [
        GaugeMetricFamily(
            "reasoncd_replicas_answering", "Replicas of this machine that are on this page.", value=answering
        ),
        GaugeMetricFamily(
            "reasoncd_replicas_silent", "Replicas of this machine that do not answer.", value=silent
        ),
    ]


class _PeerServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class _PeerHandler(socketserver.StreamRequestHandler):
    """Whoever connects gets this process's page."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            self.wfile.write(page())


class _FrontServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_port = True

    def __init__(self, host: str, port: int, node: NodePage) -> None:
        self.node = node
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _FrontHandler)


class _FrontHandler(BaseHTTPRequestHandler):
    """`GET /metrics`, and nothing else."""

    timeout = 10
    server: _FrontServer

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "the page is at /metrics")
            return
        body = self.server.node.collect()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """A scrape every few seconds is no news."""
