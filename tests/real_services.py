"""The four applications as they are served, without Ray: real servicers on servers of this process."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from gateway.remote import Application
from reasoncd.checkpoint import Checkpoint
from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.v1 import mask_decoder_pb2_grpc, reasoner_pb2_grpc, vision_encoder_pb2_grpc
from services.mask_decoder.engine import MaskDecoderEngine
from services.mask_decoder.servicer import MaskDecoderServicer
from services.reasoner.engine import ReasonerEngine
from services.reasoner.servicer import ReasonerServicer
from services.serving.settings import ServingSettings
from services.vision_encoder.engine import VisionEncoderEngine
from services.vision_encoder.servicer import VisionEncoderServicer


@contextmanager
def served(checkpoint: Path, **settings: Any) -> Iterator[dict[Application, str]]:
    """Addresses of the four, each at its own port, on one event loop in a thread.

    Args:
        checkpoint: of all four.
        settings: others than the usual ones of `ServingSettings`.
    """
    opened, chosen = Checkpoint.open(checkpoint), ServingSettings(checkpoint=checkpoint, **settings)
    vision = VisionEncoderEngine.from_checkpoint
    add_vision = vision_encoder_pb2_grpc.add_VisionEncoderServicer_to_server
    servicers: dict[Application, tuple[Any, Callable[..., None]]] = {
        "clip": (VisionEncoderServicer(vision(opened, parts=["clip"]), "clip", chosen), add_vision),
        "sam-fpn-fusion": (
            VisionEncoderServicer(vision(opened, parts=["change_features"]), "change_features", chosen),
            add_vision,
        ),
        "reasoner": (
            ReasonerServicer(ReasonerEngine.from_checkpoint(opened), chosen),
            reasoner_pb2_grpc.add_ReasonerServicer_to_server,
        ),
        "mask-decoder": (
            MaskDecoderServicer(MaskDecoderEngine.from_checkpoint(opened), chosen),
            mask_decoder_pb2_grpc.add_MaskDecoderServicer_to_server,
        ),
    }
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    addresses: dict[Application, str] = {}

    async def start() -> list[grpc.aio.Server]:
        servers = []
        for name, (servicer, add) in servicers.items():
            server = grpc.aio.server(options=MESSAGE_OPTIONS)
            add(servicer, server)
            addresses[name] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            await server.start()
            servers.append(server)
        return servers

    async def stop(servers: list[grpc.aio.Server]) -> None:
        for server in servers:
            await server.stop(None)

    servers = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield addresses
    finally:
        asyncio.run_coroutine_threadsafe(stop(servers), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        for servicer, _ in servicers.values():
            servicer.close()
