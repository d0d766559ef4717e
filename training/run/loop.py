"""The one training loop, on DeepSpeed's engine; every stage runs through it.

A stage is a module whose forward pass takes a batch and gives losses by name, `loss` among them. Batches come
from a function of the step number, and every step seeds its own randomness, so that a run which was
killed goes on from its last save as if nothing had happened. It does not know what is trained.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reasoncd.errors import InvalidInputError
from training.run.config import RunConfig, learning_rate_factor
from training.run.log import RunLog
from training.run.preflight import check_disk, check_memory, needs_of
from training.run.processes import first_says, is_first, sums_of, wait_for_all, world_size
from training.run.progress import PlainReport, Report, Silence
from training.run.saves import LATEST, RunSaves, write_weights
from training.run.stepping import Stepper

__all__ = ["WEIGHTS_FILE", "RunConfig", "learning_rate_factor", "run_stage"]

Validate = Callable[[nn.Module], Mapping[str, float]]
WEIGHTS_FILE = "weights.safetensors"

_PACE_STEPS = 200
"""Steps over whose time the pace is taken; saves and validations among them count, as they will again."""


def run_stage(
    stage: nn.Module,
    batches: Callable[[int], Any],
    config: RunConfig,
    folder: Path,
    *,
    keep: Callable[[str], bool] = lambda _: True,
    on_log: Callable[[str], None] = print,
    report: Report | None = None,
    validate: Validate | None = None,
    stop_after: int | None = None,
    activations: int = 0,
) -> Path | None:
    """Train a stage to its end, from its last save if there is one.

    Args:
        stage: the module; its trainable parameters are those that require a gradient.
        batches: step -> batch of this process.
        config: how long and how fast.
        folder: where saves, logs, curves and the finished weights go.
        keep: which entries of the state dict the finished weights hold.
        on_log: is told one line now and then, where there is no `report`.
        report: is told how far the run is.
        validate: figures of the weights that would be handed on, every `validate_steps` and at the end.
        stop_after: stop after this many steps in this call, saved, without finishing.
        activations: bytes that one step keeps for its backward pass, if they are known.

    Returns:
        The finished weights (safetensors, float32), or None where `stop_after` ended the call.

    Raises:
        InvalidInputError: a loss is not finite (the last save is kept), memory will not do, or `validate`
            does not give the figure of `best_by`.
        OutputError: the disk will not do.
    """
    report = report or PlainReport(on_log)
    if not is_first():
        report = Silence()
    finished = folder / WEIGHTS_FILE
    if finished.exists():
        report.say(f"{finished} is there already")
        return finished
    if config.best_by is not None and validate is None:
        raise ValueError("best_by needs a validation")
    needs = needs_of(stage, config, keep=keep, activations=activations)
    # While a save is written the one before stays; a begun run has that already.
    begun = needs.save if (folder / LATEST).exists() else 0
    check_disk(needs.disk - begun, folder, f"training in {folder.name}")
    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    check_memory(
        needs.memory,
        device,
        f"training in {folder.name}",
        "lower micro_batch, raise zero_stage over several processes, or end other programs",
    )
    run = _Run(Stepper(stage, config), folder, keep, report, validate, needs.save)
    try:
        complete = run.go_on(batches, stop_after)
        if not complete:
            return None
        run.finish(finished)
    finally:
        run.close()
    return finished


class _Run:
    """One call of `run_stage`."""

    def __init__(
        self,
        stepper: Stepper,
        folder: Path,
        keep: Callable[[str], bool],
        report: Report,
        validate: Validate | None,
        save_bytes: int,
    ) -> None:
        self._stepper = stepper
        self._config = stepper.config
        self._keep = keep
        self._report = report
        self._validate = validate
        self._save_bytes = save_bytes
        self._saves = RunSaves(stepper, folder)
        self._state = self._saves.resume()
        if self._state.step:
            report.say(f"goes on from step {self._state.step}")
        self._log = RunLog(folder, self._state.updates) if is_first() else None
        self._saved = time.monotonic()
        self._times = deque([time.monotonic()], maxlen=_PACE_STEPS)
        report.begin(folder.name, self._state.step, self._config.steps)

    def go_on(self, batches: Callable[[int], Any], stop_after: int | None) -> bool:
        """Train to the end; False where `stop_after` came before it."""
        config, state = self._config, self._state
        first = state.step
        self._stepper.stage.train()
        while state.step < config.steps and not self._gave_up():
            due = time.monotonic() - self._saved > config.save_seconds
            losses, save = self._stepper.take(state.step, batches(state.step), wants_save=due)
            for name, value in losses.items():
                state.totals[name] = state.totals.get(name, 0.0) + value
            state.step += 1
            state.counted += 1
            self._tell()
            whole = state.step % config.accumulation == 0
            ended = state.step == config.steps
            if self._validate is not None and (ended or state.step % config.validate_steps == 0):
                self._judge(self._validate)
                save = True
            stopping = stop_after is not None and state.step - first >= stop_after and whole
            # Between two updates only: the gradients of half an update are in no save.
            if whole and (save or stopping):
                self._save()
            if stopping and not ended:
                return False
        return True

    def finish(self, path: Path) -> None:
        """Write what is handed on."""
        best = self._state.best_step
        if is_first():
            if best is None:
                write_weights(self._handed_on(), path)
            else:
                self._report.say(f"hands on the weights of step {best}, the best validation")
                self._saves.best_file(best).replace(path)
            if self._log is not None:
                self._log.draw(now=True)
        wait_for_all()

    def close(self) -> None:
        """End the bar and the log."""
        self._report.end()
        if self._log is not None:
            self._log.close()

    def _gave_up(self) -> bool:
        return self._config.patience is not None and self._state.misses >= self._config.patience

    def _tell(self) -> None:
        """Move the bar, and at times write a line of the log."""
        state, config = self._state, self._config
        self._times.append(time.monotonic())
        pace = (self._times[-1] - self._times[0]) / (len(self._times) - 1)
        words = None
        whole = state.step % config.accumulation == 0
        # The log counts updates: a line belongs to the first update that ends at or after its step.
        due = state.step % config.log_steps < config.accumulation or state.step == config.steps
        if whole and due:
            names = list(state.totals)
            sums = sums_of([state.totals[n] for n in names])
            count = state.counted * world_size()
            means = {n: total / count for n, total in zip(names, sums, strict=True)}
            state.totals, state.counted = {}, 0
            words = " ".join(f"{n} {v:.4f}" for n, v in means.items())
            if self._log is not None:
                self._log.training(state.updates, {**means, "learning_rate": self._stepper.learning_rate})
        self._report.step(state.step, pace, words)

    def _judge(self, validate: Validate) -> None:
        """Validate what would be handed on, and put it aside where it is the best so far."""
        state, by = self._state, self._config.best_by
        stage, average = self._stepper.stage, self._stepper.average
        if average is None:
            figures = dict(validate(stage))
        else:
            with average.in_place():
                figures = dict(validate(stage))
        stage.train()
        # One process decides, or rounding might part them.
        figures = dict(zip(figures, first_says(list(figures.values())), strict=True))
        self._report.say("validation | " + " ".join(f"{k} {v:.4f}" for k, v in figures.items()))
        if self._log is not None:
            self._log.validation(state.updates, figures)
        if by is None:
            return
        if by not in figures:
            raise InvalidInputError(
                f"best_by is {by}, but this run's validation gives {', '.join(figures)}; name one of them"
            )
        score = -figures["loss"] if by == "loss" else figures[by]
        if state.best_score is None or score > state.best_score:
            state.best_step, state.best_score, state.misses = state.step, score, 0
            self._saves.keep_best(self._handed_on(), state.step)
            return
        state.misses += 1
        if self._gave_up():
            self._report.say(f"{state.misses} validations without a better {by}: the run ends early")

    def _handed_on(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = dict(self._stepper.stage.state_dict())
        if self._stepper.average is not None:
            state.update(self._stepper.average.average)
        return {name: tensor for name, tensor in state.items() if self._keep(name)}

    def _save(self) -> None:
        self._saves.save(self._state, self._save_bytes)
        self._saved = time.monotonic()
        if self._log is not None:
            self._log.draw()
