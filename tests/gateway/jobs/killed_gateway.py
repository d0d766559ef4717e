"""A gateway over the numpy engines that notes each tile; `python -m` it with a folder.

It says its HTTP address on stdout, and goes on until it is killed.
"""

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.detection import Detection
from gateway.jobs.settings import JobSettings
from gateway.pipeline import Pipeline
from gateway.server.serving import GatewayServer
from gateway.server.settings import ServerSettings
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner

PAUSE_S = 0.02
"""For each tile, so that a kill hits some."""


class Noting(Pipeline):
    """Appends a line for each tile that was answered, past every buffer of this process."""

    def __init__(self, log: Path) -> None:
        super().__init__(DifferenceEncoder(), WordReasoner(), SignDecoder())
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def detect(self, images: NDArray[np.uint8], queries: Sequence[str], **told: Any) -> list[Detection]:
        found = super().detect(images, queries, **told)
        if told.get("meanings") is not None:
            time.sleep(PAUSE_S)
            os.write(self._log, hashlib.sha256(images.tobytes()).hexdigest().encode() + b"\n")
        return found


async def serve(folder: Path) -> None:
    jobs = JobSettings(folder=folder / "jobs", scenes_root=folder / "scenes")
    settings = ServerSettings(grpc_port=0, http_port=0, jobs=jobs)
    server = GatewayServer(Noting(folder / "log"), settings)
    addresses = await server.start()
    print(addresses.http, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
