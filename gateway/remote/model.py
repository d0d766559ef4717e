"""The services behind a wire as one model: what `Pipeline` is for the engines in this process.

Each request is run by a pipeline of its own, which holds on to one edition of each component. Where one was
replaced meanwhile, the request is run again with the new one, as long as its caller was told no answer yet.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from gateway.detection import Click, Detection, Event, Meaning, Stage
from gateway.features import FeatureCache
from gateway.observed import ObservedPipeline
from gateway.pipeline import Pipeline
from gateway.remote.budget import RetryBudget
from gateway.remote.calls import Service
from gateway.remote.channels import Channels
from gateway.remote.config import APPLICATIONS, Application, RemoteConfig
from gateway.remote.decoder import RemoteMaskDecoder
from gateway.remote.directory import Directory
from gateway.remote.pins import Pins, ReplacedError
from gateway.remote.reasoner import RemoteReasoner
from gateway.remote.sent import SentFeatures
from gateway.remote.vision import RemoteVisionEncoder
from reasoncd.observability import metrics
from reasoncd.ports import Description, Mode

RUNS = 3
"""How often a request is run at most."""
TILE_THREADS = 8
"""Tiles of all requests together that are encoded ahead at once."""

STAGES: tuple[Stage, ...] = get_args(Stage)


class RemoteModel:
    """Answers questions about a pair of images over the wire. Threads may share it.

    Made by `gateway.remote.connect.connect`, which waits until the services answer.

    Args:
        config: where they are.
    """

    def __init__(self, config: RemoteConfig) -> None:
        self._channels = Channels(config.tls)
        self._services: dict[Application, Service] = {
            name: Service(
                name,
                config.target_of(name),
                self._channels.to(config.target_of(name)),
                budget=RetryBudget(ratio=config.retry_ratio, reserve=config.retry_reserve),
                call_timeout_s=config.call_timeout_s,
            )
            for name in APPLICATIONS
        }
        self._directory = Directory(self._services)
        self._sent_tokens = SentFeatures("reasoner")
        self._sent_maps = SentFeatures("mask-decoder")
        self._cache = FeatureCache(config.cache_bytes)
        self._pool = ThreadPoolExecutor(TILE_THREADS, "tiles") if config.concurrent else None

    def __enter__(self) -> "RemoteModel":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channels; calls under way end."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._channels.close()

    def describe(self, *, retry: bool = True) -> tuple[Description, Description, Description]:
        """Ask vision encoder, reasoner and mask decoder who they are: all of them answer now, and fit.

        Args:
            retry: False where the caller asks again anyway.

        Raises:
            CheckpointError: they do not fit each other; both sides are named.
            ReasonCDError: one does not answer.
        """
        editions = self._directory.describe(retry=retry)
        return editions.vision, editions.reasoner, editions.decoder

    @property
    def side(self) -> int:
        """Of the tiles that are decoded, in pixels."""
        side = self._directory.current().decoder.image_size
        # Parts that do not say it do not fit each other.
        assert side
        return side

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of each component, as last described, by its name."""
        now = self._directory.current()
        return {part.component: part.fingerprint for part in (now.vision, now.reasoner, now.decoder)}

    def detect(
        self,
        images: NDArray[np.uint8],
        queries: Sequence[str],
        *,
        mode: Mode = Mode.SHORT,
        threshold: float | None = None,
        meanings: Sequence[Meaning] | None = None,
        clicks: Sequence[Click] | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_detection: Callable[[int, Detection], None] | None = None,
    ) -> list[Detection]:
        """Answer every question about one pair; arguments and result as `Pipeline.detect`.

        Raises:
            InvalidInputError, CancelledError, DeadlineError: as `Pipeline.detect`.
            CheckpointError: a service was replaced by one that does not fit the others.
            UnavailableError: a service cannot be reached, or was replaced when text or answers of this
                request had been given out; ask again.
            ReasonCDError: a service failed.
        """
        told = _Told(on_event, on_detection)
        for run in range(1, RUNS + 1):
            pins = Pins(self._directory, run)
            try:
                return self._pipeline(pins, whole=on_event is None).detect(
                    images,
                    queries,
                    mode=mode,
                    threshold=threshold,
                    meanings=meanings,
                    clicks=clicks,
                    on_event=told.event,
                    on_detection=told.detection,
                )
            except ReplacedError:
                self._directory.renew(pins.editions)
                if told.answers or run == RUNS:
                    raise
                metrics.reruns.inc()
                told.start_again()
        raise AssertionError("the last run returns or raises")

    def _pipeline(self, pins: Pins, *, whole: bool) -> Pipeline:
        of = self._services
        return ObservedPipeline(
            RemoteVisionEncoder(of["clip"], of["sam-fpn-fusion"], pins),
            RemoteReasoner(of["reasoner"], self._sent_tokens, pins, whole=whole),
            RemoteMaskDecoder(of["mask-decoder"], self._sent_maps, pins),
            cache=self._cache,
            pool=self._pool,
        )


class _Told:
    """What the caller of one request was told, over all of its runs."""

    def __init__(
        self,
        on_event: Callable[[Event], None] | None,
        on_detection: Callable[[int, Detection], None] | None,
    ) -> None:
        self._on_event, self._on_detection = on_event, on_detection
        self.answers = False
        """Text or detections were given out: another run could contradict them."""
        self._furthest = (-1, -1)
        self._again = False

    def start_again(self) -> None:
        """Another run begins: what it repeats of the progress is not told again."""
        self._again = True

    def event(self, event: Event) -> None:
        """Pass on what is news."""
        if self._on_event is None:
            return
        place = (STAGES.index(event.stage), event.done)
        if self._again and not event.text and place <= self._furthest:
            return
        self._furthest = max(self._furthest, place)
        self.answers = self.answers or bool(event.text)
        self._on_event(event)

    def detection(self, number: int, detection: Detection) -> None:
        """Pass on."""
        if self._on_detection is not None:
            self.answers = True
            self._on_detection(number, detection)
