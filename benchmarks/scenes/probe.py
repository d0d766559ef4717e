"""One run over a scene in a process of its own: tells seconds and peak memory as JSON.

Run as `python -m benchmarks.scenes.probe CHECKPOINT THREADS T1 T2 OUT QUERY REASONING PRESENCE`, THREADS
0 for torch's own choice, PRESENCE 0 to show whatever a tile's map holds.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.speed.startup import peak_mib
from reasoncd.errors import ReasonCDError
from reasoncd.ports import DecodedMasks, Description, MaskDecoder


def main(arguments: list[str]) -> None:
    """Run and print what was measured."""
    checkpoint, threads, t1, t2, out, query, reasoning, presence = arguments
    from gateway.embedded import load_engines
    from gateway.pipeline import Pipeline
    from gateway.scenes import Reasoning, ScenePair, SceneProgress, SceneSettings, run_scene

    vision, reasoner, decoder = load_engines(Path(checkpoint), threads=int(threads) or None)
    judged = decoder if int(presence) else AlwaysPresent(decoder)
    model = Pipeline(vision, reasoner, judged, cache_bytes=32 * 2**20)
    built_mib = peak_mib()
    began = time.monotonic()
    started: dict[str, float] = {}

    def tell(progress: SceneProgress) -> None:
        started.setdefault(progress.stage, time.monotonic() - began)

    settings = SceneSettings(reasoning=Reasoning(reasoning))
    with ScenePair.open(Path(t1), Path(t2)) as scene:
        result = run_scene(model, scene, query, settings=settings, folder=Path(out), tell=tell)
    print(
        json.dumps(
            {
                "seconds": time.monotonic() - began,
                "tiles_seconds": started["stitch"] - started["tiles"],
                "built_mib": built_mib,
                "peak_mib": peak_mib(),
                "tiles": result.tiles,
                "answer": result.answer,
            }
        )
    )


class AlwaysPresent:
    """A mask decoder by whose word no presence is too small to show a map."""

    def __init__(self, decoder: MaskDecoder) -> None:
        self._decoder = decoder

    def describe(self) -> Description:
        """The decoder's own, but for the threshold."""
        return replace(self._decoder.describe(), presence_threshold=0.0)

    def decode(self, *args: Any, **options: Any) -> DecodedMasks:
        """The decoder's own masks."""
        return self._decoder.decode(*args, **options)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ReasonCDError as error:
        sys.exit(f"reasoncd-bench: {error}")
