"""The gateway as a server: gRPC and HTTP on one event loop, in front of one model.

`serving.running` is the whole of it; `reasoncd serve` runs one. Needs the extra `gateway-server`.
Nothing here knows whether the model is in this process or behind a wire.
"""
