"""The reasoner behind a wire: a stream of text, then the end of the answer."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

from gateway.remote.calls import Service
from gateway.remote.pins import Pins, ReplacedError
from gateway.remote.replies import check_stated, reading
from gateway.remote.sent import SentFeatures
from reasoncd.errors import ReasonCDError
from reasoncd.ports import Description, Mode, ReasonDone, ReasonEvent
from reasoncd.rpc.messages import event_from_proto, mode_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import features_pb2, reasoner_pb2, reasoner_pb2_grpc

Responses = Generator[reasoner_pb2.ReasonResponse, None, None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Begun:
    """An answer whose first event is there."""

    first: reasoner_pb2.ReasonResponse
    rest: Responses


class RemoteReasoner:
    """Implements `reasoncd.ports.Reasoner` for one run of a request.

    Args:
        service: the application.
        sent: the features that it was sent.
        pins: of the run.
        whole: nobody reads along: no text is asked for, and an answer that breaks off may be asked for anew.
    """

    def __init__(self, service: Service, sent: SentFeatures, pins: Pins, *, whole: bool = False) -> None:
        self._service, self._sent, self._pins, self._whole = service, sent, pins, whole
        self._stub = reasoner_pb2_grpc.ReasonerStub(service.channel)

    def describe(self) -> Description:
        """The reasoner that the run holds on to."""
        return self._pins.editions.reasoner

    def reason(self, clip_tokens: Tensor, query: str, mode: Mode) -> Generator[ReasonEvent, None, None]:
        """bfloat16 (2, N, C) and a query -> text events, then one `ReasonDone`; closing it cancels the call.

        Raises:
            ReplacedError: the reasoner was replaced since the run's first answer, or within this one.
            ReasonCDError: it failed, or its reply cannot be used.
        """

        def begin(features: features_pb2.Features) -> _Begun | None:
            request = reasoner_pb2.ReasonRequest(
                clip_tokens=features, query=query, mode=mode_to_proto(mode), whole=self._whole
            )
            return self._begin(request)

        for _ in range(self._pins.asks):
            begun = self._sent.offer(clip_tokens, begin)
            with closing(begun.rest):
                if self._pins.holds("reasoner", begun.first.origin):
                    yield from self._read(begun)
                    return
        raise ReplacedError("reasoner")

    def _begin(self, request: reasoner_pb2.ReasonRequest) -> _Begun | None:
        """Wait for the first event; None where the features are needed."""
        rest = self._events(request)
        first = next(rest, None)
        if first is None:
            raise ReasonCDError("the reasoner ended its answer before it began; ask again")
        if first.WhichOneof("event") == "need_features":
            rest.close()
            return None
        return _Begun(first=first, rest=rest)

    def _events(self, request: reasoner_pb2.ReasonRequest) -> Responses:
        """What the call gives, without the empty response that Ray Serve needs to refuse a stream."""
        with closing(self._service.stream(self._stub.Reason, request, whole=self._whole)) as responses:
            for response in responses:
                if response.WhichOneof("event"):
                    yield response

    def _read(self, begun: _Begun) -> Generator[ReasonEvent, None, None]:
        for response in chain([begun.first], begun.rest):
            # One stream comes from one replica; a proxy that thinks otherwise is not believed.
            if response.origin != begun.first.origin:
                raise ReplacedError("reasoner")
            with reading("reasoner"):
                event = event_from_proto(response)
            if isinstance(event, ReasonDone) and event.seg_embedding is not None:
                check_stated(event.seg_embedding, "seg_embedding", self.describe())
            yield event
