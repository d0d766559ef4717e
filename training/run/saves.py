"""Saves of a run: complete or not there, and found again after the process was killed.

```
latest           name of the save that counts; written last
update1200/      DeepSpeed's files, ema.safetensors, state.json
best900.safetensors   weights of the best validation, where a stage hands them on
```
Names count updates and not steps: with another accumulation a run counts its steps anew, and must not write
into the only save there is. Saves hold run state, are read by training alone and are never shipped. Frozen
weights are not in them.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from reasoncd.config import from_dict, read_json, write_json
from reasoncd.errors import InvalidInputError, OutputError
from training.run.config import BestBy
from training.run.processes import is_first, wait_for_all, world_size
from training.run.stepping import Stepper

LATEST = "latest"
STATE_FILE = "state.json"


@dataclass(kw_only=True, slots=True)
class RunState:
    """Where a run is, beside its weights."""

    step: int = 0
    """Batches that were learned from: the data's cursor, since a batch follows from its number."""
    totals: dict[str, float] = field(default_factory=dict)
    """Sums of the losses since the last line of the log."""
    counted: int = 0
    """Steps in these sums."""
    best_step: int | None = None
    """Step of the best validation so far."""
    best_score: float | None = None
    best_by: BestBy | None = None
    """The figure that was judged by."""
    misses: int = 0
    """Validations since then."""
    processes: int = 1
    zero_stage: int = 0
    accumulation: int | None = None
    """Batches of one update; None in saves of older versions, which must go on as they began."""

    @property
    def updates(self) -> int:
        """Updates of the weights that were made; with another accumulation they count the same."""
        return self.step // (self.accumulation or 1)


class RunSaves:
    """The saves of one stage in its folder.

    Args:
        stepper: what is saved.
        folder: the stage's folder.
    """

    def __init__(self, stepper: Stepper, folder: Path) -> None:
        self._stepper = stepper
        self._folder = folder

    def resume(self) -> RunState:
        """Load the last save, or start at nothing.

        Where an update is made of another number of batches than before, the same updates stand for another
        number of steps. Pace, decay and the figure of the best validation are those of the run as it is
        configured now; for another figure earlier validations do not count.

        Raises:
            InvalidInputError: the save is of another stage, of other processes, or of other parameter groups.
        """
        config = self._stepper.config
        fresh = RunState(
            processes=world_size(),
            zero_stage=config.zero_stage,
            accumulation=config.accumulation,
            best_by=config.best_by,
        )
        if not (self._folder / LATEST).exists():
            return fresh
        tag = (self._folder / LATEST).read_text().strip()
        state = self._read_state(self._folder / tag)
        if state is not None and (state.zero_stage, state.processes) != (fresh.zero_stage, fresh.processes):
            # Without ZeRO every process holds everything, so their number may change.
            if state.zero_stage or fresh.zero_stage:
                raise InvalidInputError(
                    f"{self._folder / tag} was saved by {state.processes} processes with ZeRO "
                    f"{state.zero_stage}, but this run has {fresh.processes} with ZeRO {fresh.zero_stage}; "
                    "go on as it began or train in another folder"
                )
            state.processes = fresh.processes
        try:
            _, client = self._stepper.engine.load_checkpoint(
                str(self._folder), tag=tag, custom_load_fn=_load_trainable
            )
        except ValueError as error:
            if "parameter group" not in str(error):
                raise
            raise InvalidInputError(
                f"{self._folder / tag} was saved with other parameters at a slower pace (`slow`), or others "
                "frozen; go on as it began or train in another folder"
            ) from error
        if self._stepper.average is not None:
            self._stepper.average.load(self._folder / tag)
        if state is None:
            state = replace(fresh, step=int(client["step"]))
        self._stepper.set_pace()
        before = state.accumulation or config.accumulation
        if before != config.accumulation:
            # Saves lie between two updates, so nothing is cut.
            state.step = state.step // before * config.accumulation
            if state.best_step is not None:
                state.best_step = state.best_step // before * config.accumulation
            self._stepper.engine.micro_steps = state.step
        state.accumulation = config.accumulation
        if state.best_by not in (None, config.best_by):
            state.best_step, state.best_score, state.misses = None, None, 0
        state.best_by = config.best_by
        return state

    def save(self, state: RunState, room: int) -> None:
        """Save the run; the save before it stays until this one is complete.

        Args:
            state: where the run is.
            room: bytes that a save takes.

        Raises:
            OutputError: the disk has too little room; the save before stays.
        """
        if shutil.disk_usage(self._folder).free < room:
            raise OutputError(
                f"the disk is full: a save in {self._folder} takes {room / 1e6:.0f} MB; free some space and "
                "run the same command again"
            )
        tag = f"update{state.updates}"
        place = self._folder / tag
        if is_first():
            place.mkdir(exist_ok=True)
            write_json(place / STATE_FILE, asdict(state))
            if self._stepper.average is not None:
                self._stepper.average.save(place)
        wait_for_all()
        self._stepper.engine.save_checkpoint(
            str(self._folder),
            tag=tag,
            client_state={"step": state.step},
            save_latest=False,
            exclude_frozen_parameters=True,
        )
        wait_for_all()
        if is_first():
            for path in place.iterdir():
                sync(path)
            part = self._folder / f"{LATEST}.part"
            part.write_text(tag)
            sync(part)
            part.replace(self._folder / LATEST)
            sync(self._folder)
            self._remove_others(tag, state.best_step)
        wait_for_all()

    def keep_best(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Put aside the weights of a validation; they count once a save names them."""
        if is_first():
            write_weights(weights, self.best_file(step))

    def best_file(self, step: int) -> Path:
        """Where the weights of the best validation lie."""
        return self._folder / f"best{step // self._stepper.config.accumulation}.safetensors"

    def _read_state(self, place: Path) -> RunState | None:
        path = place / STATE_FILE
        # Saves of older versions hold the step alone, inside DeepSpeed's files.
        return from_dict(RunState, read_json(path), where=str(path)) if path.exists() else None

    def _remove_others(self, tag: str, best_step: int | None) -> None:
        for old in self._folder.glob("update*"):
            if old.name != tag:
                shutil.rmtree(old)
        for old in self._folder.glob("best*.safetensors"):
            if best_step is None or old != self.best_file(best_step):
                old.unlink()


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors; the file appears complete or not at all."""
    part = path.with_suffix(".part")
    save_file({name: t.detach().cpu().contiguous().clone() for name, t in weights.items()}, part)
    sync(part)
    part.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Force a file, or a folder's list of names, to the disk: a power cut must not undo a rename's order."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load_trainable(src: Mapping[str, Tensor], dst: nn.Module) -> None:
    """Load a save; frozen parameters are not in it and stay as the caller built them."""
    missing, unexpected = dst.load_state_dict(src, strict=False)
    frozen = {name for name, parameter in dst.named_parameters() if not parameter.requires_grad}
    wrong: list[Any] = [*unexpected, *(name for name in missing if name not in frozen)]
    if wrong:
        raise InvalidInputError(f"the save does not fit the stage at {wrong[0]}; train in another folder")
