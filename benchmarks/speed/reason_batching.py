"""What sharing passes is worth: the reasoner under 1 to 8 callers at once, batching on and off.

Run as `python -m benchmarks.speed.reason_batching [CHECKPOINT]`. Every round measures each case both ways,
one after the other, so that a busy spell falls on both; the figures are medians over rounds, the gain that of
the rounds' own ratios. Pairs are random patch tokens whose prefix is cached: what is measured is decoding.
It asks the decode loop itself, without a wire.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.progress import Progress
from benchmarks.reporting.tables import table
from gateway.embedded import default_checkpoint
from reasoncd.checkpoint import Checkpoint
from reasoncd.ports import Mode, ReasonDone
from services.reasoner.answering import Question
from services.reasoner.decode_loop import DecodeLoop
from services.reasoner.engine import ReasonerEngine
from services.serving.health import Health
from services.serving.worker import Worker
from services.wire import from_torch

QUERIES = (
    "new buildings",
    "Where did people get more living space?",
    "Where did a lake or pond dry up?",
    "lost vegetation",
    "Which fields were given up?",
    "new roads",
    "Where could one now park a car?",
    "forest turned into farmland",
)
"""One for each caller."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Callers that ask at the same moment."""

    callers: int
    mode: Mode


@dataclass(kw_only=True, slots=True)
class Measured:
    """One case, one entry a round."""

    together_s: list[float] = field(default_factory=list)
    """Until the last caller has its answer, batching on. Seconds."""
    apart_s: list[float] = field(default_factory=list)
    """The same, one answer after the other."""
    tokens: int = 0
    """Of all answers of a round; the same both ways."""

    def row(self, case: Case) -> list[str]:
        """Of the table."""
        together, apart = np.median(self.together_s), np.median(self.apart_s)
        gain = np.median(np.divide(self.apart_s, self.together_s))
        return [
            str(case.mode),
            str(case.callers),
            f"{case.callers / together:.2f}",
            f"{case.callers / apart:.2f}",
            f"{gain:.2f}",
            f"{self.tokens / together:.0f}",
        ]


def measure(engine: ReasonerEngine, cases: Sequence[Case], *, rounds: int) -> dict[Case, Measured]:
    """Measure each case in every round; a round more, the first, warms up and is forgotten."""
    return asyncio.run(_measure(engine, cases, rounds))


async def _measure(engine: ReasonerEngine, cases: Sequence[Case], rounds: int) -> dict[Case, Measured]:
    worker = Worker("reasoner", Health(lambda: None))
    together = DecodeLoop(engine, worker, max_batch=max(case.callers for case in cases))
    apart = DecodeLoop(engine, worker, max_batch=1)
    found = {case: Measured() for case in cases}
    progress = Progress("rounds", rounds + 1)
    for number in range(rounds + 1):
        for case, measured in found.items():
            questions = _questions(engine, case, seed=number)
            together_s, tokens = await _timed(together, questions)
            apart_s, _ = await _timed(apart, questions)
            if number:
                measured.together_s.append(together_s)
                measured.apart_s.append(apart_s)
                measured.tokens = tokens
        progress.advance()
    worker.close()
    return found


def _questions(engine: ReasonerEngine, case: Case, *, seed: int) -> list[Question]:
    shape = next(t.shape for t in engine.describe().tensors if t.name == "clip_tokens")
    generator = torch.Generator().manual_seed(seed)
    questions = []
    for query in QUERIES[: case.callers]:
        tokens = from_torch(torch.randn(shape, generator=generator).bfloat16())
        question = engine.question(tokens, query, case.mode)
        # The prefix is there before the clock runs.
        engine.start(question)
        questions.append(question)
    return questions


async def _timed(loop: DecodeLoop, questions: Sequence[Question]) -> tuple[float, int]:
    """Seconds until all are answered, and the tokens of all answers."""
    began = time.perf_counter()
    counts = await asyncio.gather(*(_ask(loop, question) for question in questions))
    return time.perf_counter() - began, sum(counts)


async def _ask(loop: DecodeLoop, question: Question) -> int:
    count = 0
    async with aclosing(loop.answer(question)) as events:
        async for event in events:
            if isinstance(event, ReasonDone):
                count = event.token_count
    return count


def main(
    checkpoint: Annotated[Path | None, typer.Argument(metavar="CHECKPOINT")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each case.")] = 7,
    callers: Annotated[list[int] | None, typer.Option(min=1, max=8, help="How many ask at once.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of torch; its own choice if not given.")] = None,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
) -> None:
    """Measure a checkpoint's reasoner and print the table."""
    if threads is not None:
        torch.set_num_threads(threads)
    opened = Checkpoint.open(checkpoint or default_checkpoint())
    engine = ReasonerEngine.from_checkpoint(opened, device=device)
    cases = [Case(callers=n, mode=mode) for mode in Mode for n in callers or (1, 2, 4, 8)]
    found = measure(engine, cases, rounds=rounds)
    print(f"{opened.preset}, {device}, {torch.get_num_threads()} threads, {rounds} rounds\n")
    columns = ("mode", "callers", "answers/s together", "answers/s apart", "gain", "tokens/s together")
    print(table(columns, [measured.row(case) for case, measured in found.items()]))


if __name__ == "__main__":
    typer.run(main)
