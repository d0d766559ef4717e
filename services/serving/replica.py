"""What every replica does before and beside its calls: settings, threads, checkpoint, a first pass, health.

A replica is ready when its constructor returns, so the constructor computes something real.
"""

import abc
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

from reasoncd.checkpoint import Checkpoint
from reasoncd.observability import process
from reasoncd.v1 import describe_pb2
from services.serving.settings import ServingSettings

_LOG = logging.getLogger(__name__)


class Servicer(Protocol):
    """What the servicers of all parts have in common."""

    def probe(self) -> object:
        """Compute something small, as a first call would."""

    def check_health(self) -> Awaitable[None]:
        """Raise where the engine is broken."""
        ...

    def Describe(  # noqa: N802 - the rpc's name
        self, request: describe_pb2.DescribeRequest, context: Any, /
    ) -> Awaitable[describe_pb2.DescribeResponse]:
        """Who the service is."""
        ...

    def close(self) -> None:
        """Finish what is in work and take no more."""


ServicerT = TypeVar("ServicerT", bound=Servicer)


class Replica(abc.ABC, Generic[ServicerT]):
    """Base of the Ray Serve deployments; a subclass loads its servicer and hands its calls on.

    The parts are imported in `load`: who deploys imports the deployment, and needs no torch for it.
    """

    service: str
    """Name of the application, in logs and traces."""

    def __init__(self) -> None:
        settings = ServingSettings.from_environment()
        self._stop_telling: Callable[[], None] = process.start(
            self.service, log_level=settings.log_level, metrics=settings.metrics
        )
        if settings.threads is not None:
            import torch

            torch.set_num_threads(settings.threads)
        # OpenMP keeps its threads for whoever computed once, and lets none of them spin while there are more
        # than cores. So what loads is a thread that ends: the one that answers is then the only one.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{self.service}-start") as starting:
            self.servicer: ServicerT = starting.submit(self._start, settings).result()
        _LOG.info("%s is ready", type(self).__name__)

    def _start(self, settings: ServingSettings) -> ServicerT:
        servicer = self.load(Checkpoint.open(settings.checkpoint), settings)
        servicer.probe()
        return servicer

    @abc.abstractmethod
    def load(self, checkpoint: Checkpoint, settings: ServingSettings) -> ServicerT:
        """Build the servicer of a checkpoint."""

    async def check_health(self) -> None:
        """Ray Serve replaces a replica where this raises."""
        await self.servicer.check_health()

    async def Describe(  # noqa: N802 - the rpc's name
        self, request: describe_pb2.DescribeRequest, grpc_context: Any
    ) -> describe_pb2.DescribeResponse:
        """Who the service is."""
        return await self.servicer.Describe(request, grpc_context)

    def __del__(self) -> None:
        # Ray Serve's hook for the end of a replica. The constructor may have failed.
        if servicer := getattr(self, "servicer", None):
            servicer.close()
        if stop_telling := getattr(self, "_stop_telling", None):
            stop_telling()
