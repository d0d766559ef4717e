"""The mean of several trainings of one stage, which often generalises better than each of them.

Only trainings that went on from the same weights have a mean of use: others are not near each other. Of
BatchNorm's statistics the mean is taken too, and of an adapter that of its matrices, not of their product.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from reasoncd.errors import CheckpointError, InvalidInputError, NotFoundError
from training.prompt_table import kept_space, kept_table
from training.run.loop import WEIGHTS_FILE
from training.stages.vision import TRAINING_HEADS


def average(stage: str, trainings: Sequence[Path], into: Path) -> Path:
    """Make the mean of finished weights the finished weights of another working folder.

    Args:
        stage: `vision` or `reasoner`. Joint tuning has no mean: each belongs to what it began with.
        trainings: working folders in which the stage was trained to its end, two or more.
        into: the working folder of the mean; it has the same prompt table, and neither the stage nor joint
            tuning, which an export would prefer, ever ran there.

    Returns:
        The file that was written: float32, numbers that are no floats as in the last of `trainings`. Heads
        that only training has are left out where not all have them.

    Raises:
        InvalidInputError: fewer than two are given, one is given twice, or the stage or joint tuning ran in
            `into`.
        NotFoundError: the stage was not trained to its end in one of them, or a folder has no settled table.
        CheckpointError: they were trained against different prompt tables, or by recipes of other sizes.
    """
    if len({one.resolve() for one in trainings}) < max(len(trainings), 2):
        raise InvalidInputError("one training is no mean; name two or more different folders with --of")
    place = into / stage
    for taken in (place / WEIGHTS_FILE, place / "latest", into / "joint"):
        if taken.exists():
            raise InvalidInputError(f"{taken} is there already; name a folder that nothing was trained in")
    for one in trainings:
        _same_prompts(one, into)
    mean = _mean([_trained(one, stage) for one in trainings])
    place.mkdir(parents=True, exist_ok=True)
    part = place / f"{WEIGHTS_FILE}.part"
    save_file(mean, part)
    return part.replace(place / WEIGHTS_FILE)


def _trained(folder: Path, stage: str) -> Path:
    path = folder / stage / WEIGHTS_FILE
    if not path.exists():
        raise NotFoundError(f"{path} is not there; train {stage} there to its end first")
    return path


def _same_prompts(folder: Path, into: Path) -> None:
    table, wanted = kept_table(folder), kept_table(into)
    if kept_space(folder) != kept_space(into) or not torch.equal(table, wanted):
        raise CheckpointError(
            f"{folder} was trained against another prompt table than that of {into}; adopt the same "
            "checkpoint in both"
        )


def _mean(files: Sequence[Path]) -> dict[str, Tensor]:
    with ExitStack() as opened:
        # One tensor after the other is read; only the mean is ever held whole.
        states = [opened.enter_context(safe_open(file, framework="pt")) for file in files]
        names = [set(state.keys()) for state in states]
        sizes = [
            {
                (name, tuple(state.get_slice(name).get_shape()))
                for name in held
                if not name.startswith(TRAINING_HEADS)
            }
            for state, held in zip(states, names, strict=True)
        ]
        for file, found in zip(files, sizes, strict=True):
            if odd := sorted(name for name, _ in found ^ sizes[0]):
                raise CheckpointError(
                    f"{odd[0]} is not the same size in {file} as in {files[0]}; "
                    "average trainings of one recipe"
                )
        shared = sorted(set.intersection(*names))
        return {name: _mean_of([state.get_tensor(name) for state in states]) for name in shared}


def _mean_of(tensors: Sequence[Tensor]) -> Tensor:
    if not tensors[-1].is_floating_point():
        return tensors[-1]
    # A tensor that no training moved keeps its bits.
    if all(torch.equal(tensors[0], tensor) for tensor in tensors):
        return tensors[0]
    return torch.stack([tensor.float() for tensor in tensors]).mean(0)
