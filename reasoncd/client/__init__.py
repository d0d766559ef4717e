"""Ask a ReasonCD gateway from Python: `ReasonCDClient`, or `AsyncReasonCDClient` under asyncio.

Needs the extra `rpc` (grpcio and protobuf); images that are arrays need pillow too. It knows nothing of
models: what it sends and gets is `protos/reasoncd/v1/gateway.proto`, as numpy arrays and dataclasses.
Every failure is a `reasoncd.errors.ReasonCDError` with the gateway's own sentence and the request's id.
"""

from reasoncd.client.aio import AsyncReasonCDClient
from reasoncd.client.blocking import ReasonCDClient
from reasoncd.client.connection import Tls, token_from_file
from reasoncd.client.images import ImageSource
from reasoncd.client.results import (
    Detected,
    Detection,
    DetectLimits,
    Event,
    GatewayDescription,
    Progress,
    Text,
)
from reasoncd.ports import Mode

__all__ = [
    "AsyncReasonCDClient",
    "DetectLimits",
    "Detected",
    "Detection",
    "Event",
    "GatewayDescription",
    "ImageSource",
    "Mode",
    "Progress",
    "ReasonCDClient",
    "Text",
    "Tls",
    "token_from_file",
]
