"""The phrase bank's files, and what is drawn from them."""

from pathlib import Path

import numpy as np
import pytest

from reasoncd.errors import CorruptDataError
from reasoncd.ontology import CLASSES, MAIN_CLASSES, REFUSAL, SEG_TOKEN, TARGETS, Target
from reasoncd.ports import Mode
from training.queries import QuerySampler, explicit_queries, load_phrases
from training.queries.sampler import vary


def test_the_bank_is_broad() -> None:
    bank = load_phrases()
    assert sum(map(len, bank.implicit.values())) >= 12_000
    for cls in MAIN_CLASSES:
        for direction in ("gain", "loss"):
            assert len(bank.implicit[f"{cls}.{direction}"]) >= 500
            assert len(bank.synonyms[f"{cls}.{direction}"]) >= 15
    for cls in set(CLASSES) - set(MAIN_CLASSES):
        for direction in ("gain", "loss"):
            assert len(bank.implicit[f"{cls}.{direction}"]) >= 60
    assert len(bank.off_topic) >= 400


def test_no_wording_means_two_things() -> None:
    bank = load_phrases()
    seen: dict[str, str] = {}
    lines = [(k, p.query) for k, ps in bank.implicit.items() for p in ps]
    lines += [(k, line) for k, ls in bank.synonyms.items() for line in ls]
    lines += [("off topic", p.query) for p in bank.off_topic]
    for key, line in lines:
        assert seen.setdefault(line.casefold(), key) == key


def test_reasons_are_no_answers() -> None:
    bank = load_phrases()
    reasons = [p.why for ps in (*bank.implicit.values(), bank.off_topic) for p in ps if p.why]
    assert len(set(reasons)) == len(reasons) >= 2_000
    assert not [r for r in reasons if SEG_TOKEN in r]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.key)
def test_explicit_queries_are_distinct_between_targets(target: Target) -> None:
    others = {q for t in TARGETS if t != target for q in explicit_queries(t)}
    own = explicit_queries(target)
    assert own
    assert not others & set(own)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("target: building.gain\n", "needs the entries"),
        ("- a\n", "holds no mapping"),
        ("target: castle.gain\nfamilies: {a: [{q: x}]}\n", "castle.gain"),
        ("target: building.gain\nfamilies: {a: [{q: x}, {q: X}]}\n", "repeats a phrase"),
        ("target: building.gain\nfamilies: {a: [x]}\n", "is no phrase"),
        ("target: [\n", "is no YAML"),
    ],
)
def test_bad_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(CorruptDataError, match=says) as error:
        load_phrases(tmp_path)
    assert "wrong.yaml" in error.value.message


def test_answers_fit_their_mode_and_target() -> None:
    sampler = QuerySampler(load_phrases())
    rng = np.random.default_rng(0)
    refused = 0
    for mode in Mode:
        for _ in range(300):
            drawn = sampler.draw(rng, mode)
            assert drawn.mode is mode
            if drawn.target is None:
                refused += 1
                assert drawn.answer.endswith(REFUSAL)
                assert SEG_TOKEN not in drawn.answer
            else:
                assert drawn.answer.endswith(drawn.target.short_answer)
            assert (drawn.answer in (REFUSAL, drawn.target.short_answer if drawn.target else REFUSAL)) == (
                mode is Mode.SHORT
            )
    assert 10 < refused < 120


def test_a_question_for_a_target_means_it() -> None:
    bank = load_phrases()
    rng = np.random.default_rng(1)
    for target in TARGETS:
        drawn = QuerySampler(bank).draw_for(target, rng)
        assert drawn.target == target
        assert drawn.answer == target.short_answer


def test_varied_wording_keeps_its_words() -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        assert "the pond shrank" in vary("where the pond shrank", rng)
        assert "new roofs" in vary("new roofs", rng).lower()
    assert not any(vary("where is it", rng).lower().startswith(("show", "find")) for _ in range(100))
