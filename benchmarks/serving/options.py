"""`python -m benchmarks.serving.options`: what Ray Serve's ways to a replica cost, as a table in Markdown.

Each way is tried with messages of `mini`'s sizes and an application that computes nothing, on a cluster of
its own. Calls to a bare grpc.aio server in another process alternate with them, so that a busy machine shows.
"""

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod

import grpc

from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.v1 import describe_pb2, features_pb2, mask_decoder_pb2_grpc, tensor_pb2
from reasoncd.v1 import mask_decoder_pb2 as pb
from services.serving.applications import MASK_DECODER, Application
from services.serving.cluster import LocalCluster
from services.vision_encoder.config import mini

ECHO = Application(
    name="echo",
    module="benchmarks.serving.echo",
    variable="app",
    deployment="Echo",
    servicer_function=MASK_DECODER,
    max_requests=16,
    target_requests=8,
)
PORT = 19470
DIRECT_PORTS = range(40000, 40010)
METADATA = (("application", ECHO.name),)
FUSED = mini().fused_shape
"""`mini`'s fused maps of one pair: 1.5 MiB in bfloat16."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way from a client to a replica."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    direct: bool = False
    """Straight to the replica's own port."""


WAYS = (
    Way(name="proxy, Ray's own calls", environment={"RAY_SERVE_USE_GRPC_BY_DEFAULT": "0"}),
    Way(
        name="proxy, `RAY_SERVE_USE_GRPC_BY_DEFAULT`",
        environment={"RAY_SERVE_USE_GRPC_BY_DEFAULT": "1"},
    ),
    Way(
        name="proxy, `RAY_SERVE_THROUGHPUT_OPTIMIZED`",
        environment={
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
            "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
        },
    ),
    Way(
        name="direct ingress",
        environment={"RAY_SERVE_ENABLE_DIRECT_INGRESS": "1"},
        direct=True,
    ),
)

Call = Callable[[mask_decoder_pb2_grpc.MaskDecoderStub], object]


def _calls() -> dict[str, Call]:
    seg = tensor_pb2.Tensor(
        dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=(1, FUSED[-3]), data=bytes(4 * FUSED[-3])
    )
    size = 2 * prod(FUSED)
    fused = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_BFLOAT16, shape=FUSED, data=bytes(size))
    sent = pb.DecodeRequest(fused_map=features_pb2.Features(tensor=fused), seg_embeddings=seg)
    held = pb.DecodeRequest(fused_map=features_pb2.Features(digest="0" * 64), seg_embeddings=seg)
    options = {"metadata": METADATA, "timeout": 30}
    return {
        "small": lambda stub: stub.Describe(describe_pb2.DescribeRequest(), **options),
        "digest there, 256 KiB back": lambda stub: stub.Decode(held, **options),
        "1.5 MiB there, 256 KiB back": lambda stub: stub.Decode(sent, **options),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.options", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="calls of each kind on each way")
    parser.add_argument("--way", type=int, choices=range(len(WAYS)), help="one way alone, without the table")
    options = parser.parse_args()
    if options.way is not None:
        for name, milliseconds in _measure_way(WAYS[options.way], options.rounds).items():
            print(f"{name}\t{milliseconds:.2f}")
        return
    names = list(_calls())
    print(f"| way | {' | '.join(names)} |")
    print("|---|" + "---|" * len(names))
    for number, way in enumerate(WAYS):
        # Ray reads its environment once in a process.
        command = [sys.executable, "-m", "benchmarks.serving.options", "--way", str(number)]
        command += ["--rounds", str(options.rounds)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = dict(line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
        cells = [f"{found[name]} ({found['bare ' + name]})" for name in names]
        print(f"| {way.name} | {' | '.join(cells)} |", flush=True)
    print("\nMilliseconds of a round trip, the first quartile; in brackets a bare grpc.aio server beside it.")


def _measure_way(way: Way, rounds: int) -> dict[str, float]:
    cluster = LocalCluster(
        port=PORT, applications=(ECHO,), replicas=1, environment={}, ray_environment=way.environment
    )
    with cluster, _bare_server() as bare:
        cluster.run(timeout_s=300, interrupted=lambda: False)
        port = _direct_port() if way.direct else PORT
        times: dict[str, list[float]] = {}
        with _stub(port) as stub, _stub(bare) as floor:
            for name, call in _calls().items():
                # Alternating, so that both meet the same load.
                for number in range(rounds + 5):
                    for label, target in ((name, stub), (f"bare {name}", floor)):
                        started = time.perf_counter()
                        call(target)
                        if number >= 5:
                            times.setdefault(label, []).append(1000 * (time.perf_counter() - started))
    # The faster ones: the rest says more about what else the machine does.
    return {name: statistics.quantiles(values, n=4)[0] for name, values in times.items()}


@contextmanager
def _stub(port: int) -> Iterator[mask_decoder_pb2_grpc.MaskDecoderStub]:
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=MESSAGE_OPTIONS) as channel:
        yield mask_decoder_pb2_grpc.MaskDecoderStub(channel)


def _direct_port() -> int:
    """Replicas take their ports in no fixed order: ask who is there."""
    for port in DIRECT_PORTS:
        with _stub(port) as stub:
            try:
                stub.Describe(describe_pb2.DescribeRequest(), metadata=METADATA, timeout=5)
            except grpc.RpcError:
                continue
            return port
    raise SystemExit(f"no replica answers on ports {DIRECT_PORTS.start} to {DIRECT_PORTS.stop - 1}")


@contextmanager
def _bare_server() -> Iterator[int]:
    """The same application on grpc.aio in a process of its own; its port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=_serve_bare, args=(port,), daemon=True)
    process.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=120)
        yield port
    finally:
        process.kill()
        process.join()


def _serve_bare(port: int) -> None:
    # Not above: it brings Ray, which reads its environment when it is imported.
    from benchmarks.serving.echo import EchoReplica

    async def serve() -> None:
        server = grpc.aio.server(options=MESSAGE_OPTIONS)
        mask_decoder_pb2_grpc.add_MaskDecoderServicer_to_server(EchoReplica(), server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
