"""The front door of ReasonCD: decode two images, run the one pipeline, write what was found.

The pipeline reaches the three services through `reasoncd.ports` only, so it cannot tell whether they
live in this process or behind a wire. Nothing here imports torch except `embedded`, and that lazily.
"""
