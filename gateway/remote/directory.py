"""Who the services are: described at the start, and again when a reply comes from somebody else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import grpc

from gateway.checks import check_fit
from gateway.remote.calls import Service
from gateway.remote.config import Application
from reasoncd.errors import CheckpointError, InvalidInputError, ReasonCDError
from reasoncd.observability.metrics import show_models
from reasoncd.ports import Description
from reasoncd.rpc.messages import description_from_proto
from reasoncd.v1 import describe_pb2, mask_decoder_pb2_grpc, reasoner_pb2_grpc, vision_encoder_pb2_grpc

DESCRIBE_TIMEOUT_S = 10.0
"""Others wait while a service is described, and there is nothing to compute."""
LOOKS = 3
"""How often the reasoner is described to find an edition that answered: replicas may differ."""

_STUBS: Mapping[Application, Callable[[grpc.Channel], Any]] = {
    "clip": vision_encoder_pb2_grpc.VisionEncoderStub,
    "sam-fpn-fusion": vision_encoder_pb2_grpc.VisionEncoderStub,
    "reasoner": reasoner_pb2_grpc.ReasonerStub,
    "mask-decoder": mask_decoder_pb2_grpc.MaskDecoderStub,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Editions:
    """Three components that fit each other.

    Raises:
        CheckpointError: they do not; both sides are named.
    """

    vision: Description
    reasoner: Description
    decoder: Description

    def __post_init__(self) -> None:
        check_fit(self.vision, self.reasoner, self.decoder)


class Directory:
    """The editions that answered last. Threads may share it.

    Args:
        services: all four applications.
    """

    def __init__(self, services: Mapping[Application, Service]) -> None:
        self._services = services
        self._current: Editions | None = None
        # Few: one more for each upgrade while this process runs.
        self._reasoners: dict[str, Description] = {}
        self._lock = Lock()

    def current(self) -> Editions:
        """The editions as last described."""
        found = self._current
        return self.describe() if found is None else found

    def describe(self, *, retry: bool = True) -> Editions:
        """Ask every service who it is.

        Args:
            retry: False where the caller asks again anyway.

        Raises:
            CheckpointError: they do not fit each other.
            ReasonCDError: one does not answer.
        """
        clip = self._describe("clip", retry=retry)
        fused = self._describe("sam-fpn-fusion", retry=retry)
        if clip.fingerprint != fused.fingerprint:
            raise CheckpointError(
                f"clip is vision_encoder {clip.fingerprint[:12]} but sam-fpn-fusion is "
                f"{fused.fingerprint[:12]}; serve both from one checkpoint"
            )
        # Each application may state the tensors of its own half only.
        tensors = {tensor.name: tensor for tensor in (*clip.tensors, *fused.tensors)}
        editions = Editions(
            vision=replace(fused, tensors=tuple(tensors.values())),
            reasoner=self._describe("reasoner", retry=retry),
            decoder=self._describe("mask-decoder", retry=retry),
        )
        self._take(editions)
        return editions

    def renew(self, outdated: Editions) -> Editions:
        """Describe the services again, unless another thread did since `outdated` was current.

        Raises:
            ReasonCDError: as `describe`.
        """
        with self._lock:
            return self.describe() if self._current == outdated else self.current()

    def with_reasoner(self, editions: Editions, origin: describe_pb2.Origin) -> Editions | None:
        """The same editions with the reasoner that a reply came from.

        Args:
            editions: whose encoder and decoder are kept.
            origin: of the reply.

        Returns:
            None where no replica that was asked is the one.

        Raises:
            CheckpointError: that reasoner does not fit the others.
            ReasonCDError: the reasoner does not answer.
        """
        with self._lock:
            for _ in range(LOOKS):
                if origin.fingerprint in self._reasoners:
                    break
                self._describe("reasoner")
            found = self._reasoners.get(origin.fingerprint)
            if found is None or not is_from(origin, found):
                return None
            fitting = replace(editions, reasoner=found)
            if self._current == editions:
                self._take(fitting)
            return fitting

    def _take(self, editions: Editions) -> None:
        self._current = editions
        show_models("gateway", (editions.vision, editions.reasoner, editions.decoder))

    def _describe(self, application: Application, *, retry: bool = True) -> Description:
        service = self._services[application]
        describe = _STUBS[application](service.channel).Describe
        response = service.unary(
            describe, describe_pb2.DescribeRequest(), retry=retry, timeout_s=DESCRIBE_TIMEOUT_S
        )
        try:
            description = description_from_proto(response.description)
        except InvalidInputError as error:
            raise ReasonCDError(f"{application} describes itself wrongly: {error.message}") from None
        if application == "reasoner":
            self._reasoners[description.fingerprint] = description
        return description


def is_from(origin: describe_pb2.Origin, description: Description) -> bool:
    """Whether a reply was computed by the one who is described."""
    return (origin.fingerprint, origin.seg_space) == (description.fingerprint, description.seg_space or "")
