"""Ask a ReasonCD gateway over gRPC with generated stubs and nothing else of ReasonCD.

    python docs/examples/ask_with_stubs.py HOST:PORT T1 T2 MAP.png "Where are new buildings?"

Prints the answer and writes the change map. With another package for the stubs, only the imports differ.
"""

import sys
import uuid
from pathlib import Path

import grpc

from reasoncd.v1 import gateway_pb2, gateway_pb2_grpc

MESSAGE_BYTES = 128 * 2**20


def main(target: str, t1: str, t2: str, out: str, query: str) -> int:
    """Ask one question; 0 where it was answered."""
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES)]
    request = gateway_pb2.DetectRequest(
        image_t1=Path(t1).read_bytes(), image_t2=Path(t2).read_bytes(), queries=[query]
    )
    # A gateway with tokens wants ("authorization", "Bearer ...") here too.
    metadata = (("x-request-id", uuid.uuid4().hex),)
    with grpc.insecure_channel(target, options) as channel:
        stub = gateway_pb2_grpc.ChangeDetectionStub(channel)
        try:
            response = stub.Detect(request, timeout=60, metadata=metadata)
        except grpc.RpcError as error:
            # With the trailer, the gateway said so on purpose; without it, something between failed.
            ours = dict(error.trailing_metadata() or ()).get("reasoncd-error")
            print(f"{error.code().name} ({ours or 'try again'}): {error.details()}", file=sys.stderr)
            return 1
    (detection,) = response.detections
    print(detection.answer)
    print(f"presence {detection.presence:.2f}, {detection.place_count} places")
    Path(out).write_bytes(detection.change_map_png)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
