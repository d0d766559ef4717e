"""Around the system of `benchmarks.serving.system`: its replicas' processes, metrics and checkpoints."""

import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.serving.system import Gateway, Services, running_gateway, running_services
from services.serving.applications import APPLICATIONS
from training.data.sample import sample_pair

ROOT = Path(__file__).resolve().parents[1]
MINI = ROOT / "checkpoints" / "mini"


@dataclass(frozen=True, kw_only=True)
class System:
    """Services and a gateway, which run."""

    services: Services
    gateway: Gateway


@contextmanager
def served(checkpoint: Path, *, replicas: int) -> Iterator[System]:
    """Start both, with one thread of torch in each replica, and stop them after the block."""
    with (
        running_services(checkpoint, replicas=replicas) as services,
        running_gateway(services) as gateway,
    ):
        yield System(services=services, gateway=gateway)


def drawn(size: int, seed: int = 4) -> NDArray[np.uint8]:
    """Two drawn images of one place, uint8 (2, size, size, 3)."""
    pair = sample_pair(seed, size=size)
    return np.stack([pair.image_t1, pair.image_t2])


def mosaic(tile: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """A pair of `count` tiles a side, each unlike the others, out of uint8 (2, S, S, 3)."""
    rows = [
        np.concatenate([np.roll(tile, (5 * row, 3 * column), axis=(1, 2)) for column in range(count)], axis=2)
        for row in range(count)
    ]
    return np.concatenate(rows, axis=1)


def replicas_of(services: Services, application: str) -> list[int]:
    """Process ids of the replicas of an application of this launch alone."""
    title = f"ray::ServeReplica:{application}:"
    return sorted(pid for pid in _descendants(services.pid) if _title(pid).startswith(title))


def all_replicas(services: Services) -> list[int]:
    """Of every application."""
    return [pid for name in APPLICATIONS for pid in replicas_of(services, name)]


def wait_until(true: Callable[[], bool], what: str, *, timeout_s: float = 120.0) -> None:
    """Look now and then until something is so."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.25)


def counted(services: Services, *names: str) -> Counter[str]:
    """The values of some samples, each summed over its labels but the service: `NAME/SERVICE`.

    Calls of Describe are left out: the gateway makes them now and then whatever happens.
    """
    with urllib.request.urlopen(services.metrics, timeout=30) as response:
        text = response.read().decode()
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in names and sample.labels.get("method") != "Describe":
                found[f"{sample.name}/{sample.labels['service']}"] += round(sample.value)
    return found


def _descendants(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold anything, blanks and brackets included.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found: list[int] = []
    frontier = {pid}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier}
        found += frontier
    return found


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
