"""An example to try ReasonCD on: two drawn images of one place where buildings were put up.

    python -m training.data.sample demo-out

The place is drawn, so what changed is known exactly and no picture of anybody's land is needed. It
is picked such that the demo's three questions have clear answers: buildings appeared, and no water
went.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from reasoncd.errors import InvalidInputError, OutputError, ReasonCDError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.labels import YES, LabelledPair, target_masks
from training.data.scenes import render_pair

T1_FILE = "t1.png"
T2_FILE = "t2.png"
TRUTH_FILE = "new_buildings.png"

DEFAULT_SEED = 4
DEFAULT_SIZE = 512

_TRIES = 400
_GAIN_SHARE = (0.03, 0.25)
"""New buildings must be seen at a glance, and some of the place must stay as it was."""
_SHOWN = TARGET_BY_KEY["building.gain"]
_ABSENT = TARGET_BY_KEY["water.loss"]


def sample_pair(seed: int = DEFAULT_SEED, *, size: int = DEFAULT_SIZE) -> LabelledPair:
    """Draw places until one has new buildings and no lost water.

    Args:
        seed: of the first place drawn; equal seeds give equal pairs.
        size: side of the square images in pixels.

    Raises:
        InvalidInputError: `seed` is negative, `size` is below what scenes need, or no place fits.
    """
    if seed < 0:
        raise InvalidInputError(f"seed is {seed}; give 0 or more")
    low, high = _GAIN_SHARE
    for attempt in range(_TRIES):
        pair = render_pair(np.random.default_rng([seed, attempt]), size=size)
        gain, absent = target_masks(pair, (_SHOWN, _ABSENT)) == YES
        if low <= gain.mean() <= high and not absent.any():
            return pair
    raise InvalidInputError(
        f"no place of seed {seed} and {size} pixels fits; try another seed or a larger size"
    )


def write_sample(folder: Path, *, seed: int = DEFAULT_SEED, size: int = DEFAULT_SIZE) -> None:
    """Write `t1.png` and `t2.png` (RGB) and `new_buildings.png` (white where a building appeared).

    Files of the same names are replaced.

    Raises:
        InvalidInputError: as `sample_pair`.
        OutputError: the folder cannot be written.
    """
    pair = sample_pair(seed, size=size)
    truth = np.where(target_masks(pair, (_SHOWN,))[0] == YES, 255, 0).astype(np.uint8)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, pixels in ((T1_FILE, pair.image_t1), (T2_FILE, pair.image_t2), (TRUTH_FILE, truth)):
            Image.fromarray(pixels).save(folder / name)
    except OSError as error:
        reason = error.strerror or os.strerror(error.errno or 0)
        raise OutputError(f"{folder} cannot be written ({reason}); name another folder") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 2 where something given cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m training.data.sample",
        description="Draw two images of one place where buildings were put up.",
    )
    parser.add_argument("folder", type=Path, help="where the images go")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="another seed, another place")
    parser.add_argument("--size", type=int, default=DEFAULT_SIZE, help="side of the images in pixels")
    given = parser.parse_args(arguments)
    try:
        write_sample(given.folder, seed=given.seed, size=given.size)
    except ReasonCDError as error:
        print(f"sample: {error.message}", file=sys.stderr)
        return 2
    print(f"{given.folder / T1_FILE}\n{given.folder / T2_FILE}\n{given.folder / TRUTH_FILE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
