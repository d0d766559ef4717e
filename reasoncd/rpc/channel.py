"""Options of channels and servers: features and images are larger than gRPC's 4 MiB."""

MESSAGE_BYTES = 128 * 2**20
"""Largest message: one pair of 4096 x 4096 pixels is 96 MiB."""

MESSAGE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
)
"""Of both ends."""
