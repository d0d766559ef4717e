"""Answers that are decoded together: they join at any time, share every pass, and leave when they are done.

An answer by itself is computed exactly as `ReasonerEngine.reason` computes it; in company the tokens are the
same and the embeddings differ by rounding. A pass that fails is run again for each answer alone, so that only
those fail that fail by themselves. Knows neither threads nor callers.
"""

import logging
from collections.abc import Sequence

from reasoncd.ports import ReasonEvent
from services.reasoner.answering import Answering
from services.reasoner.generation import step
from services.reasoner.model import ReasonerModel
from services.reasoner.rows import Rows

_LOG = logging.getLogger(__name__)

Outcome = list[ReasonEvent] | Exception
"""What a pass gave an answer: events, often none, or what broke it."""


class AnswerBatch:
    """The answers in work. Belongs to one thread.

    Args:
        model: merged, frozen, in evaluation mode.
    """

    def __init__(self, model: ReasonerModel) -> None:
        self._model = model
        self._rows: Rows | None = None
        self._answers: list[Answering] = []

    @property
    def answers(self) -> tuple[Answering, ...]:
        """Those in work, in order of arrival."""
        return tuple(self._answers)

    def add(self, newcomers: Sequence[Answering]) -> list[Outcome]:
        """Run the first pass of new answers, by themselves: their prompts are longer than one token.

        Returns:
            One outcome each; those that go on are in the batch now.
        """
        rows = Rows(self._model, [answer.prefix for answer in newcomers])
        return self._run(rows, newcomers)

    def advance(self) -> list[Outcome]:
        """Run one pass of all answers.

        One that begins its second turn is fed the whole follow-up, a few ids, and the others wait for that
        pass.

        Returns:
            One outcome for each of `answers` as they were before; those that end or fail are out now.
        """
        rows, answers = self._rows, self._answers
        self._rows, self._answers = None, []
        return [] if rows is None else self._run(rows, answers)

    def remove(self, leaving: Sequence[Answering]) -> None:
        """Let go of answers that nobody waits for."""
        going = [n for n, answer in enumerate(self._answers) if answer not in leaving]
        if self._rows is None or len(going) == len(self._answers):
            return
        self._answers = [self._answers[n] for n in going]
        if going:
            self._rows.keep(going)
        else:
            self._rows = None

    def _run(self, rows: Rows, answers: Sequence[Answering]) -> list[Outcome]:
        """One pass of `rows`, of which those that go on join the batch."""
        try:
            step(rows, [answer.decoding for answer in answers])
        except Exception as error:  # noqa: BLE001 - it belongs to one of the answers, which is found below
            if len(answers) == 1:
                return [error]
            _LOG.warning("a pass of %d answers failed; each is run alone", len(answers), exc_info=error)
            outcomes: list[Outcome] = []
            for answer in answers:
                answer.decoding.rewind()
                alone = Rows(self._model, [answer.prefix])
                outcomes += self._run(alone, [answer])
            return outcomes
        going = [n for n, answer in enumerate(answers) if not answer.decoding.finished]
        if going:
            if len(going) < len(answers):
                rows.keep(going)
            self._join(rows, [answers[n] for n in going])
        return [answer.events() for answer in answers]

    def _join(self, rows: Rows, answers: Sequence[Answering]) -> None:
        if self._rows is None:
            self._rows = rows
        else:
            self._rows.join(rows)
        self._answers += answers
