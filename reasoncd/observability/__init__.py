"""What a serving process tells of itself: metrics, logs and traces. Needs the extra `observed`.

`process.start` sets up all three. On the ground floor only `reasoncd.rpc.guard` uses this package, so the
command line and `reasoncd.client` work without the extra. The names: docs/observability.md.
"""
