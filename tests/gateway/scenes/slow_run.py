"""A run that a test can kill: the engines of the tests, slowed down, with a log of finished tiles.

python -m tests.gateway.scenes.slow_run T1 T2 OUT LOG
"""

import sys
import time
from pathlib import Path

from gateway.pipeline import Pipeline
from gateway.scenes import ScenePair, SceneProgress, SceneSettings, run_scene
from gateway.scenes.tile_store import Tile, TileStore
from gateway.tiling import Window
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner

SETTINGS = SceneSettings(tile=128, views=True, parquet=True)
QUERY = "Where are new buildings?"


def main() -> None:
    t1, t2, out, log = map(Path, sys.argv[1:])
    put = TileStore.put

    def logged(store: TileStore, window: Window, tile: Tile) -> None:
        time.sleep(0.05)
        put(store, window, tile)
        with log.open("a") as file:
            file.write(f"{window.top},{window.left}\n")

    setattr(TileStore, "put", logged)  # noqa: B010

    def tell(progress: SceneProgress) -> None:
        print(progress.stage, flush=True)
        if progress.stage != "tiles":
            time.sleep(0.03)

    model = Pipeline(DifferenceEncoder(), WordReasoner(), SignDecoder())
    with ScenePair.open(t1, t2) as scene:
        run_scene(model, scene, QUERY, settings=SETTINGS, folder=out, tell=tell)


if __name__ == "__main__":
    main()
