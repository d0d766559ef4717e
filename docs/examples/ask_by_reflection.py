"""Ask a ReasonCD gateway that explains its own contract: no stubs, no protos, nothing of ReasonCD.

    python docs/examples/ask_by_reflection.py HOST:PORT T1 T2 "Where are new buildings?" ["..."]

Needs grpcio-reflection alone. Prints what happens as it happens, then each answer.
"""

import sys
from pathlib import Path

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

MESSAGE_BYTES = 128 * 2**20


def main(target: str, t1: str, t2: str, *queries: str) -> int:
    """Ask the questions; 0 where they were answered."""
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES)]
    with grpc.insecure_channel(target, options) as channel:
        contract = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = contract.FindServiceByName("reasoncd.v1.ChangeDetection").FindMethodByName("DetectStream")
        ask = channel.unary_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        request = GetMessageClass(method.input_type)()
        request.detect.image_t1 = Path(t1).read_bytes()
        request.detect.image_t2 = Path(t2).read_bytes()
        request.detect.queries.extend(queries)
        modes = method.input_type.fields_by_name["detect"].message_type.fields_by_name["mode"].enum_type
        request.detect.mode = modes.values_by_name["MODE_EXPLAINED"].number
        try:
            for response in ask(request, timeout=60):
                tell(response)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    return 0


def tell(response: object) -> None:
    """Print one event; what a newer gateway tells besides is passed over."""
    match response.WhichOneof("event"):
        case "progress":
            print(f"{response.progress.stage} {response.progress.done}/{response.progress.total}")
        case "text":
            print(response.text.text)
        case "mask":
            print(f"{response.mask.query}: {response.mask.detection.answer}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
