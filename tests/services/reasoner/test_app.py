"""The Ray Serve deployment's own lines, without Ray running."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch

from reasoncd.checkpoint import Checkpoint
from reasoncd.rpc.messages import event_from_proto, mode_to_proto
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.v1 import features_pb2
from reasoncd.v1 import reasoner_pb2 as pb
from services.reasoner.app import Reasoner, ReasonerReplica, app
from services.reasoner.engine import ReasonerEngine
from services.reasoner.servicer import ReasonerServicer
from services.serving.settings import DType, ServingSettings
from tests.services.reasoner.conftest import LESSONS

LESSON = LESSONS[1]


class Context:
    """As much of Serve's context as the guard uses."""

    def __init__(self) -> None:
        self._code: grpc.StatusCode | None = None
        self.details = ""

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return []

    def code(self) -> grpc.StatusCode | None:
        return self._code

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        assert isinstance(trailing_metadata, list)


@pytest.fixture
def replica(taught_engine: ReasonerEngine) -> ReasonerReplica:
    made = ReasonerReplica.__new__(ReasonerReplica)
    made.servicer = ReasonerServicer(taught_engine, ServingSettings(checkpoint=Path("unused")))
    return made


def responses(
    replica: ReasonerReplica, request: pb.ReasonRequest, context: Context
) -> list[pb.ReasonResponse]:
    async def collect() -> list[pb.ReasonResponse]:
        return [response async for response in replica.Reason(request, context)]

    return asyncio.run(collect())


def test_the_application_is_the_deployment() -> None:
    assert Reasoner.name == "Reasoner"
    assert type(app).__name__ == "Application"


def test_a_stream_is_the_servicers(replica: ReasonerReplica, taught_engine: ReasonerEngine) -> None:
    request = pb.ReasonRequest(
        clip_tokens=features_pb2.Features(tensor=tensor_to_proto(LESSON.features)),
        query=LESSON.query,
        mode=mode_to_proto(LESSON.mode),
    )
    found = [event_from_proto(response) for response in responses(replica, request, Context())]
    assert found == list(taught_engine.reason(LESSON.features, LESSON.query, LESSON.mode))


def test_a_refusal_travels_beside_an_empty_response(replica: ReasonerReplica) -> None:
    context = Context()
    assert responses(replica, pb.ReasonRequest(query="trees"), context) == [pb.ReasonResponse()]
    assert context.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "clip_tokens" in context.details


@pytest.mark.parametrize(
    ("dtype", "expected"), [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_the_settings_dtype_is_the_language_models(
    paper_tiny: Path, dtype: DType, expected: torch.dtype
) -> None:
    replica = ReasonerReplica.__new__(ReasonerReplica)
    settings = ServingSettings(checkpoint=paper_tiny, dtype=dtype)
    servicer = replica.load(Checkpoint.open(paper_tiny), settings)
    assert servicer._engine._model.llm_dtype is expected
    servicer.close()
