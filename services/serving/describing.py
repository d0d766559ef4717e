"""What a served part says of itself: who it is, and the limits of its requests."""

from reasoncd.ports import Description
from reasoncd.rpc.channel import MESSAGE_BYTES
from reasoncd.rpc.messages import description_to_proto
from reasoncd.v1 import describe_pb2
from services.serving.settings import ServingSettings


def describe_response(
    description: Description, settings: ServingSettings, *, keeps_features: bool
) -> describe_pb2.DescribeResponse:
    """The answer to Describe.

    Args:
        description: who the engine is.
        settings: of the replica; the limits come from them.
        keeps_features: whether the service keeps features by digest.
    """
    return describe_pb2.DescribeResponse(
        description=description_to_proto(description),
        limits=describe_pb2.Limits(
            message_bytes=MESSAGE_BYTES,
            requests=settings.max_requests,
            cache_bytes=settings.cache_bytes if keeps_features else 0,
        ),
    )
