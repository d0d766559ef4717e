"""What counts as right in a text arm."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch

from reasoncd.ontology import REFUSAL, TARGET_BY_KEY, TARGETS
from reasoncd.ports import Mode
from services.reasoner.generation import Generation
from training.ablations import words_trial
from training.queries.asked import AskedQuery
from training.reasoner_start import generated_tokenizer

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("decide_first", [False, True])
def test_answers_are_judged_by_their_claim_and_their_embedding(
    monkeypatch: pytest.MonkeyPatch, decide_first: bool
) -> None:
    tokenizer, table = generated_tokenizer(32_000), torch.eye(len(TARGETS))
    gain, loss = TARGET_BY_KEY["building.gain"], TARGET_BY_KEY["building.loss"]
    row = {t: table[TARGETS.index(t)] for t in (gain, loss)}

    def answer(text: str, seg: torch.Tensor | None) -> Generation:
        ids = tokenizer.encode_answer(text)
        return Generation(
            token_ids=ids, text="", seg_embedding=seg, seg_probability=1.0, generated=len(ids), passes=1
        )

    # Of two turns the reason stands first and may write what it likes.
    decided = "New buildings: <SEG> is not meant. New roads: <SEG>"
    answers = [
        answer("New buildings: <SEG>", row[gain]),
        answer("Homes went. Lost buildings: <SEG>", row[gain]),
        answer(decided if decide_first else "New roads: <SEG> Lorries came.", row[loss]),
        answer(REFUSAL, None),
        answer(REFUSAL, None),
        answer("New buildings: <SEG>", row[gain]),
    ]
    accepted = [(gain,), (gain,), (gain,), (gain,), (), ()]
    queries = [AskedQuery(level="D2", query="?", accept=accept) for accept in accepted]

    def ask(
        _: object, __: object, asked: Sequence[str], mode: Mode, pairs: Sequence[int]
    ) -> list[Generation]:
        assert list(pairs) == [0, 1, 0, 1, 0, 1]
        assert mode is Mode.SHORT
        return answers

    monkeypatch.setattr(words_trial, "ask", ask)
    monkeypatch.setattr(words_trial, "clip_tokens", lambda stage, pairs: None)
    stage = SimpleNamespace(
        model=SimpleNamespace(tokenizer=tokenizer, config=SimpleNamespace(decide_first=decide_first)),
        table=table,
    )
    found = words_trial.measure_words(stage, queries, Mode.SHORT, size=64)  # type: ignore[arg-type]
    assert {m.name: m.value for m in found} == {
        "class and direction right": 0.25,
        "class and direction right, level D2": 0.25,
        "class right": 0.5,
        "direction right": 0.5,
        "`<SEG>` written": 0.75,
        "right row nearest": 0.5,
        "off-topic refused": 0.5,
    }
