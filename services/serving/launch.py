"""`python -m services.serving.launch`: all applications on this machine, behind one gRPC port.

    python -m services.serving.launch --checkpoint DIR --grpc-port P      run until SIGTERM or SIGINT
    python -m services.serving.launch --redeploy NAME --checkpoint DIR --grpc-port P
                                                replace one application of a launch that runs

Prints one line of JSON when everything is ready; everything else goes to stderr. Ends with 0 after a signal,
with 2 and one sentence where something is wrong that the caller can mend. Options: README.md here.
"""

import argparse
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from reasoncd.checkpoint import Checkpoint
from reasoncd.errors import InvalidInputError, ReasonCDError
from services.serving.applications import APPLICATIONS, application_of
from services.serving.cluster import LocalCluster
from services.serving.control import ControlServer, Order, control_file, order
from services.serving.settings import ServingSettings

TIMEOUT_S = 180.0
"""Until all applications must be up; a large language model on a cold disk takes longest."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.redeploy:
            _redeploy(options)
        else:
            _launch(options)
    except ReasonCDError as error:
        print(f"launch: {error.message}", file=sys.stderr)
        return error.exit_code
    return 0


def default_threads() -> int:
    """Of torch in each replica: half the cores, since an encoder and the reasoner work at the same time.

    Threads that have no core of their own wait for each other at the end of every product.
    """
    return max((os.cpu_count() or 1) // 2, 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.serving.launch",
        description="Run the applications on this machine, or replace one.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="its folder")
    parser.add_argument("--grpc-port", type=int, default=9000, help="of Serve's proxy")
    parser.add_argument("--applications", default=",".join(APPLICATIONS), help="comma between them")
    parser.add_argument("--replicas", type=int, default=1, help="of each application")
    parser.add_argument("--threads", type=int, default=default_threads(), help="of torch in each replica")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:NUMBER")
    parser.add_argument("--dtype", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--cache-bytes", default="512MiB", help="of features that a replica keeps")
    parser.add_argument("--batch-size", default="8", help="1 switches batching off")
    parser.add_argument("--batch-wait-ms", default="0", help="pause before a batch that is not full")
    parser.add_argument("--metrics", default="", help="HOST:PORT of one page with all replicas' metrics")
    parser.add_argument("--ready-file", type=Path, help="gets the ready line too")
    parser.add_argument("--control", type=Path, help="socket file for orders; by default one for the port")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="until all must be up, in seconds")
    parser.add_argument("--verbose", action="store_true", help="print what replicas log")
    parser.add_argument("--redeploy", metavar="NAME", help="give this application of a launch the checkpoint")
    return parser


def _redeploy(options: argparse.Namespace) -> None:
    Checkpoint.open(options.checkpoint)
    path = options.control or control_file(options.grpc_port)
    order(path, application=options.redeploy, checkpoint=options.checkpoint.resolve())
    print(json.dumps({"redeployed": options.redeploy, "checkpoint": str(options.checkpoint)}), flush=True)


def _launch(options: argparse.Namespace) -> None:
    environment = {
        "REASONCD_CHECKPOINT": str(options.checkpoint.resolve()),
        "REASONCD_DEVICE": options.device,
        "REASONCD_DTYPE": options.dtype,
        "REASONCD_THREADS": str(options.threads),
        "REASONCD_CACHE_BYTES": options.cache_bytes,
        "REASONCD_BATCH_SIZE": options.batch_size,
        "REASONCD_BATCH_WAIT_MS": options.batch_wait_ms,
        "REASONCD_METRICS": options.metrics,
    }
    # What a replica would refuse is refused before anything is started.
    ServingSettings.from_environment(environment)
    Checkpoint.open(options.checkpoint)
    applications = tuple(application_of(name) for name in options.applications.split(",") if name)
    if not applications:
        raise InvalidInputError(f"--applications is {options.applications!r}; name at least one application")
    if options.replicas < 1:
        raise InvalidInputError(f"--replicas is {options.replicas}; give at least 1")
    cluster = LocalCluster(
        port=options.grpc_port,
        applications=applications,
        replicas=options.replicas,
        environment=environment,
        verbose=options.verbose,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    orders: queue.Queue[Order] = queue.Queue()
    control = options.control or control_file(options.grpc_port)
    with ControlServer(control, orders.put), cluster:
        # Ray installs handlers of its own.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        cluster.run(timeout_s=options.timeout, interrupted=stop.is_set)
        if not stop.is_set():
            _say_ready(options, [each.name for each in applications], control)
        while not stop.is_set():
            try:
                taken = orders.get(timeout=0.2)
            except queue.Empty:
                continue
            _carry_out(taken, cluster, options.timeout, stop)


def _say_ready(options: argparse.Namespace, names: list[str], control: Path) -> None:
    line = json.dumps(
        {
            "ready": True,
            "target": f"127.0.0.1:{options.grpc_port}",
            "grpc_port": options.grpc_port,
            "applications": names,
            "control": str(control),
            "pid": os.getpid(),
        }
    )
    if options.ready_file:
        # Whole or not at all: somebody polls for it.
        part = options.ready_file.with_name(options.ready_file.name + ".part")
        part.write_text(line + "\n", encoding="utf-8")
        part.replace(options.ready_file)
    print(line, flush=True)


def _carry_out(taken: Order, cluster: LocalCluster, timeout_s: float, stop: threading.Event) -> None:
    try:
        Checkpoint.open(taken.checkpoint)
        cluster.redeploy(
            taken.application,
            {"REASONCD_CHECKPOINT": str(taken.checkpoint)},
            timeout_s=timeout_s,
            interrupted=stop.is_set,
        )
    except ReasonCDError as error:
        taken.settle(error)
    else:
        taken.settle()


if __name__ == "__main__":
    sys.exit(main())
