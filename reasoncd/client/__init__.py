"""Ask a ReasonCD gateway from Python: `ReasonCDClient`, or `AsyncReasonCDClient` under asyncio.

Needs the extra `rpc` (grpcio and protobuf); images that are arrays need pillow too. It knows nothing of
models: what it sends and gets is `protos/reasoncd/v1/gateway.proto`, as numpy arrays and dataclasses.
Every failure is a `reasoncd.errors.ReasonCDError` with the gateway's own sentence and the request's id.
"""

from reasoncd.client.aio import AsyncReasonCDClient
from reasoncd.client.blocking import ReasonCDClient
from reasoncd.client.connection import token_from_file
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
from reasoncd.client.scene_jobs import (
    FailedTile,
    JobFile,
    JobProgress,
    SceneJob,
    SceneName,
    SceneSource,
)
from reasoncd.meanings import Click, Meaning
from reasoncd.ports import Mode
from reasoncd.rpc.tls import Tls

__all__ = [
    "AsyncReasonCDClient",
    "Click",
    "DetectLimits",
    "Detected",
    "Detection",
    "Event",
    "FailedTile",
    "GatewayDescription",
    "ImageSource",
    "JobFile",
    "JobProgress",
    "Meaning",
    "Mode",
    "Progress",
    "ReasonCDClient",
    "SceneJob",
    "SceneName",
    "SceneSource",
    "Text",
    "Tls",
    "token_from_file",
]
