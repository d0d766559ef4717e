"""One run over a scene in a process of its own: tells seconds and peak memory as JSON.

Run as `python -m benchmarks.scenes.probe CHECKPOINT THREADS T1 T2 OUT QUERY REASONING`, THREADS 0 for torch's
own choice.
"""

import json
import sys
import time
from pathlib import Path

from benchmarks.speed.startup import peak_mib
from reasoncd.errors import ReasonCDError


def main(arguments: list[str]) -> None:
    """Run and print what was measured."""
    checkpoint, threads, t1, t2, out, query, reasoning = arguments
    from gateway.embedded import load_engines
    from gateway.pipeline import Pipeline
    from gateway.scenes import Reasoning, ScenePair, SceneProgress, SceneSettings, run_scene

    engines = load_engines(Path(checkpoint), threads=int(threads) or None)
    model = Pipeline(*engines, cache_bytes=32 * 2**20)
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


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ReasonCDError as error:
        sys.exit(f"reasoncd-bench: {error}")
