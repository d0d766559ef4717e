"""`reasoncd-bench serving`: start what is measured, measure, write the page."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.jobs import make_report_folder, say, write_report
from benchmarks.serving.load import measure_overload, measure_throughput
from benchmarks.serving.overhead import REPEATED_QUERIES, measure_overhead
from benchmarks.serving.report import ServingResult, Setting, serving_report
from benchmarks.serving.system import running_gateway, running_services
from gateway.embedded import default_checkpoint
from reasoncd.checkpoint import Checkpoint
from reasoncd.client import ReasonCDClient
from reasoncd.client.messages import detect_request
from reasoncd.errors import InvalidInputError
from services.serving.launch import default_threads
from training.data.sample import sample_pair

SIZE = 256
PAIRS = 4
"""Of the load: all fit every cache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServingConfig:
    """What is measured, and for how long."""

    rounds: int = 15
    clients: int = 8
    seconds: float = 60.0
    """Of each side of a load."""
    slices: int = 6
    """Turns in which these seconds are spent."""
    waiting: int = 8
    """Requests that the overloaded gateway holds beyond those in work."""
    threads: int | None = None
    """Of torch in each process; what the services take by themselves where None."""

    def __post_init__(self) -> None:
        if min(self.rounds, self.clients, self.slices, self.threads or 1) < 1 or not self.seconds > 0:
            raise InvalidInputError(
                f"rounds is {self.rounds}, clients {self.clients}, slices {self.slices}, "
                f"threads {self.threads}, seconds {self.seconds:g}; give at least 1 and a time above 0"
            )


def run_serving(out: Path, checkpoint: Path | None, config: ServingConfig) -> None:
    """Measure the served system and write the report.

    Raises:
        NotFoundError, CheckpointError: there is no such checkpoint.
        UnavailableError: the system does not start.
        ReasonCDError: a question failed that should not.
    """
    folder = checkpoint or default_checkpoint()
    Checkpoint.open(folder)
    make_report_folder(out)
    load = os.getloadavg()[0]
    cores = os.cpu_count() or 1
    threads = config.threads or default_threads()
    pair = sample_pair(size=SIZE)
    images = np.stack([pair.image_t1, pair.image_t2])
    requests = [
        detect_request(shifted[0], shifted[1], query)
        for query in REPEATED_QUERIES
        for shifted in (np.roll(images, 7 * number, axis=1) for number in range(PAIRS))
    ]
    room = ("--running", str(config.clients), "--waiting", str(config.waiting))
    say("starting the services twice: with batching, and without")
    with (
        running_services(folder, threads=threads, batch_size=8) as services,
        running_gateway(services, options=room) as gateway,
    ):
        overhead = measure_overhead(gateway, folder, images, rounds=config.rounds, threads=threads)
        overload = measure_overload(
            gateway, requests, clients=config.clients, seconds=config.seconds, slices=config.slices
        )
        with ReasonCDClient(gateway.grpc) as client:
            fingerprints = {part.component: part.fingerprint for part in client.describe().components}
        with (
            running_services(folder, threads=threads, batch_size=1) as others,
            running_gateway(others, options=room) as other,
        ):
            throughput = measure_throughput(
                {"batched": gateway, "single": other},
                requests,
                clients=config.clients,
                seconds=config.seconds,
                slices=config.slices,
            )
    setting = Setting(
        fingerprints=fingerprints,
        cores=cores,
        threads=threads,
        load=load,
        clients=config.clients,
        seconds=config.seconds,
        places=config.clients + config.waiting,
    )
    result = ServingResult(
        setting=setting,
        overhead=overhead,
        batched=throughput["batched"],
        single=throughput["single"],
        overload=overload,
    )
    write_report(out, serving_report(result), result.as_json())
