"""The mean of several trainings of one stage, which often generalises better than each of them.

Only trainings that went on from the same weights have a mean of use: others are not near each other. Of
BatchNorm's statistics the mean is taken too, and of an adapter that of its matrices, not of their product.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from reasoncd.errors import CheckpointError, InvalidInputError
from training.prompt_table import kept_space, kept_table
from training.run.loop import WEIGHTS_FILE
from training.stages.vision import TRAINING_HEADS
from training.workshop.workshop import Workshop


def average(stage: str, trainings: Sequence[Workshop], into: Workshop) -> Path:
    """Make the mean of finished weights the finished weights of another working folder.

    Args:
        stage: `vision`, `reasoner` or `joint`.
        trainings: working folders in which the stage has finished, two or more.
        into: the working folder of the mean; it has the same prompt table, and the stage never ran there.

    Returns:
        The file that was written: float32, numbers that are no floats as in the last of `trainings`. Heads
        that only training has are left out where not all have them.

    Raises:
        InvalidInputError: fewer than two are given, or the stage ran in `into`.
        NotFoundError: the stage has not finished in one of them, or a folder has no settled table.
        CheckpointError: they were trained against different prompt tables, or by recipes of other sizes.
    """
    if len(trainings) < 2:
        raise InvalidInputError("one training is no mean; name two or more with --of")
    place = into.folder / stage
    if taken := [name for name in (WEIGHTS_FILE, "latest") if (place / name).exists()]:
        raise InvalidInputError(f"{place / taken[0]} is there already; name a folder where {stage} never ran")
    for one in trainings:
        _same_prompts(one.folder, into.folder)
    mean = _mean([one.weights_of(stage) for one in trainings])
    place.mkdir(parents=True, exist_ok=True)
    part = place / f"{WEIGHTS_FILE}.part"
    save_file(mean, part)
    return part.replace(place / WEIGHTS_FILE)


def _same_prompts(folder: Path, into: Path) -> None:
    table, wanted = kept_table(folder), kept_table(into)
    if kept_space(folder) != kept_space(into) or not torch.equal(table, wanted):
        raise CheckpointError(
            f"{folder} was trained against another prompt table than that of {into}; adopt the same "
            "checkpoint in both"
        )


def _mean(files: Sequence[Path]) -> dict[str, Tensor]:
    states = [load_file(file) for file in files]
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    for file, found in zip(files, shapes, strict=True):
        for name, shape in (found | shapes[0]).items():
            if not name.startswith(TRAINING_HEADS) and not found.get(name) == shape == shapes[0].get(name):
                raise CheckpointError(
                    f"{name} is not the same size in {file} as in {files[0]}; average trainings of one recipe"
                )
    shared = [name for name in states[-1] if all(name in state for state in states)]
    return {name: _mean_of([state[name] for state in states]) for name in shared}


def _mean_of(tensors: Sequence[Tensor]) -> Tensor:
    if not tensors[-1].is_floating_point():
        return tensors[-1]
    # A tensor that no training moved keeps its bits.
    if all(torch.equal(tensors[0], tensor) for tensor in tensors):
        return tensors[0]
    return torch.stack([tensor.float() for tensor in tensors]).mean(0)
