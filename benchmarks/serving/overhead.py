"""What the services cost one caller: the served system beside the pipeline of this process, in turn.

Both get the same image files and threads, and both take part in every round, so that a busy spell falls on
both. Each round has a pair that no cache knows.
"""

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.progress import Progress
from benchmarks.serving.system import Gateway
from gateway.embedded import build_pipeline
from gateway.images import decode_image, pair_images
from gateway.pipeline import Pipeline
from reasoncd.client import ReasonCDClient
from reasoncd.client.images import image_bytes
from reasoncd.errors import ReasonCDError

COLD_QUERY = "new buildings"
REPEATED_QUERIES = ("lost vegetation", "new roads", "Where did people get more living space?")


@dataclass(kw_only=True, slots=True)
class Overhead:
    """Seconds of one caller's question, one entry a round."""

    cold_here: list[float] = field(default_factory=list)
    """In this process, on a new pair."""
    cold_served: list[float] = field(default_factory=list)
    repeated_here: list[float] = field(default_factory=list)
    """Another question about the same pair: the median of a few in each round."""
    repeated_served: list[float] = field(default_factory=list)

    @property
    def cold_ratio(self) -> float:
        """Served to in this process, the median over rounds."""
        return float(np.median(np.divide(self.cold_served, self.cold_here)))

    @property
    def repeated_more_s(self) -> float:
        """How much longer it takes where it is served, the median over rounds."""
        return float(np.median(np.subtract(self.repeated_served, self.repeated_here)))


class _Here:
    """The pipeline of this process, from files as the command line reads them."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def ask(self, t1: bytes, t2: bytes, query: str) -> NDArray[np.bool_]:
        pair = pair_images(decode_image(t1, "t1"), decode_image(t2, "t2"), "t1", "t2")
        return self._pipeline.detect(pair.images, [query])[0].change_map


class _Served:
    """The gateway, over gRPC."""

    def __init__(self, client: ReasonCDClient) -> None:
        self._client = client

    def ask(self, t1: bytes, t2: bytes, query: str) -> NDArray[np.bool_]:
        return self._client.detect(t1, t2, query)[0].change_map


def measure_overhead(
    gateway: Gateway, checkpoint: Path, images: NDArray[np.uint8], *, rounds: int, threads: int
) -> Overhead:
    """Measure both in every round; a round more, the first, warms up and is forgotten.

    Args:
        gateway: of services with the same checkpoint and threads, which do nothing else meanwhile.
        checkpoint: its folder.
        images: uint8 (2, H, W, 3); every round has them shifted otherwise.
        rounds: that count.
        threads: of torch in this process.

    Raises:
        ReasonCDError: a question failed, or the two gave different maps.
    """
    found = Overhead()
    progress = Progress("rounds of overhead", rounds + 1)
    here = _Here(build_pipeline(checkpoint, threads=threads))
    with ReasonCDClient(gateway.grpc) as client:
        served = _Served(client)
        for number in range(rounds + 1):
            shifted = np.roll(images, (11 * number, 17 * number), axis=(1, 2))
            t1, t2 = (image_bytes(image, name="image") for image in shifted)
            times: dict[str, tuple[float, float]] = {}
            maps = {}
            # Who goes first changes, for the second finds warm whatever both use.
            sides: dict[str, _Here | _Served] = {"here": here, "served": served}
            for name in sorted(sides, reverse=bool(number % 2)):
                times[name], maps[name] = _round(sides[name], t1, t2)
            if not np.array_equal(maps["here"], maps["served"]):
                raise ReasonCDError("the served answer differs from the one of this process; compare threads")
            if number:
                for name, cold, repeated in (
                    ("here", found.cold_here, found.repeated_here),
                    ("served", found.cold_served, found.repeated_served),
                ):
                    cold.append(times[name][0])
                    repeated.append(times[name][1])
            progress.advance()
    return found


def _round(side: _Here | _Served, t1: bytes, t2: bytes) -> tuple[tuple[float, float], NDArray[np.bool_]]:
    """Seconds of the cold and of a repeated question, and the cold one's map."""
    began = perf_counter()
    change_map = side.ask(t1, t2, COLD_QUERY)
    cold = perf_counter() - began
    repeated = []
    for query in REPEATED_QUERIES:
        began = perf_counter()
        side.ask(t1, t2, query)
        repeated.append(perf_counter() - began)
    return (cold, float(np.median(repeated))), change_map
