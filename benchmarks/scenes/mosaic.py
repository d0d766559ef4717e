"""A large pair of GeoTIFFs whose change is known: drawn pairs, turned and mirrored, laid side by side.

The scene is written row by row, so its size is bounded by the disk alone.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.windows import Window

from reasoncd.ontology import Target
from training.data.labels import YES, target_masks
from training.data.scenes import render_pair

PIECE = 512
"""Side of a drawn pair in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneFiles:
    """A pair of scenes and what really changed."""

    t1: Path
    t2: Path
    truth: Path
    """1 where the asked change is, else 0."""
    side: int
    """In pixels."""


def write_mosaic(folder: Path, *, side: int, pieces: int, target: Target, seed: int) -> SceneFiles:
    """Draw a scene.

    Args:
        folder: where it goes.
        side: of the scene in pixels.
        pieces: how many different pairs are drawn; they recur in other turns.
        target: whose change is the truth.
        seed: equal seeds give equal scenes.
    """
    drawn = [render_pair(np.random.default_rng([seed, number]), size=PIECE) for number in range(pieces)]
    stacks = [
        np.concatenate(
            [
                pair.image_t1,
                pair.image_t2,
                (target_masks(pair, (target,))[0] == YES)[..., None].astype(np.uint8),
            ],
            axis=2,
        )
        for pair in drawn
    ]
    files = _files(folder, side)
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([seed, pieces])
    with ExitStack() as opened:
        sinks = [
            opened.enter_context(rasterio.open(path, "w", **_profile(side, count)))
            for path, count in ((files.t1, 3), (files.t2, 3), (files.truth, 1))
        ]
        for top in range(0, side, PIECE):
            row = _row(stacks, side, random)[: side - top]
            window = Window(0, top, side, row.shape[0])
            for sink, bands in zip(sinks, (row[..., :3], row[..., 3:6], row[..., 6:]), strict=True):
                sink.write(np.moveaxis(bands, -1, 0), window=window)
    return files


def cut_mosaic(files: SceneFiles, folder: Path, *, margin: int) -> SceneFiles:
    """The scene without its first `margin` rows and columns, so that tiles fall elsewhere on the ground."""
    side = files.side - margin
    folder.mkdir(parents=True, exist_ok=True)
    cut = _files(folder, side)
    for source_path, path in ((files.t1, cut.t1), (files.t2, cut.t2), (files.truth, cut.truth)):
        with (
            rasterio.open(source_path) as source,
            rasterio.open(path, "w", **_profile(side, source.count, margin)) as sink,
        ):
            for top in range(0, side, PIECE):
                rows = min(PIECE, side - top)
                part = source.read(window=Window(margin, margin + top, side, rows))
                sink.write(part, window=Window(0, top, side, rows))
    return cut


def _row(stacks: Sequence[NDArray[np.uint8]], side: int, random: np.random.Generator) -> NDArray[np.uint8]:
    pieces = []
    for _ in range(-(-side // PIECE)):
        piece = np.rot90(stacks[int(random.integers(len(stacks)))], int(random.integers(4)))
        pieces.append(piece[:, ::-1] if random.integers(2) else piece)
    return np.concatenate(pieces, axis=1)[:, :side]


def _files(folder: Path, side: int) -> SceneFiles:
    return SceneFiles(t1=folder / "t1.tif", t2=folder / "t2.tif", truth=folder / "truth.tif", side=side)


def _profile(side: int, count: int, margin: int = 0) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": count,
        "dtype": "uint8",
        "crs": "EPSG:32632",
        "transform": from_origin(500_000 + 0.5 * margin, 5_200_000 - 0.5 * margin, 0.5, 0.5),
        "tiled": True,
        "compress": "deflate",
        "bigtiff": "if_safer",
    }
