"""What both ends of the wire share: messages, errors and their statuses, and the scope of one call.

Needs the extra `rpc` (grpcio and protobuf); nothing else of the ground floor imports it.
"""
