"""What text arms are asked, and what their answers name."""

from pathlib import Path

import numpy as np
import pytest

from reasoncd.errors import CorruptDataError, NotFoundError
from reasoncd.ontology import REFUSAL, SEG_TOKEN, TARGET_BY_KEY, TARGETS
from reasoncd.ports import Mode
from services.reasoner.prompt import answer_text
from services.reasoner.tokens import ReasonerTokenizer
from training.ablations.plan import QUERIES
from training.ablations.queries import load_queries, named_target
from training.queries import QuerySampler, load_phrases
from training.reasoner_start import generated_tokenizer

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def tokenizer() -> ReasonerTokenizer:
    return generated_tokenizer(32_000)


def test_the_development_queries_are_read() -> None:
    queries = load_queries(QUERIES)
    assert len(queries) > 100
    assert any(not q.accept for q in queries)
    assert any(len(q.accept) > 1 for q in queries)


def test_other_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "queries.yaml"
    path.write_text("queries: [{level: D1, target: road.gain, accept: 5, q: roads}]")
    with pytest.raises(CorruptDataError, match=r"queries\.yaml: query 1 accepts 5"):
        load_queries(path)
    with pytest.raises(NotFoundError, match=r"absent\.yaml .*--queries"):
        load_queries(tmp_path / "absent.yaml")


@pytest.mark.parametrize("seg_first", [False, True])
@pytest.mark.parametrize("reason", [None, "New roads are built where people move. Water is not meant."])
def test_a_target_is_read_before_seg_in_either_order(
    tokenizer: ReasonerTokenizer, reason: str | None, seg_first: bool
) -> None:
    for target in TARGETS:
        answer = answer_text(target, reason=reason, seg_first=seg_first)
        assert answer.count("<SEG>") == 1
        assert named_target(tokenizer, tokenizer.encode_answer(answer)) == target


def test_what_was_decided_in_a_turn_of_its_own_is_read_before_the_last_seg(
    tokenizer: ReasonerTokenizer,
) -> None:
    ids = tokenizer.encode_answer("Asphalt came. New roads: <SEG> New buildings: <SEG>")
    assert named_target(tokenizer, ids) == TARGET_BY_KEY["road.gain"]
    assert named_target(tokenizer, ids, decided=True) == TARGET_BY_KEY["building.gain"]


def test_what_names_nothing_is_no_target(tokenizer: ReasonerTokenizer) -> None:
    for answer in (REFUSAL, "New buildings", "It's <SEG>", "<SEG>"):
        assert named_target(tokenizer, tokenizer.encode_answer(answer)) is None


def test_the_order_of_reason_and_seg() -> None:
    target = TARGET_BY_KEY["building.gain"]
    assert answer_text(target, reason="Homes. ") == "Homes. New buildings: <SEG>"
    assert answer_text(target, reason=" Homes.", seg_first=True) == "New buildings: <SEG> Homes."
    assert answer_text(target, seg_first=True) == answer_text(target)


def test_both_orders_ask_the_same_and_answer_with_the_same_parts() -> None:
    reason_first, seg_first = (QuerySampler(load_phrases(), seg_first=order) for order in (False, True))
    for seed in range(40):
        for mode in (Mode.EXPLAINED, Mode.SHORT):
            one, other = (s.draw(np.random.default_rng(seed), mode) for s in (reason_first, seg_first))
            assert (one.query, one.target) == (other.query, other.target)
            short = answer_text(one.target)
            if mode is Mode.SHORT:
                assert one.answer == other.answer == short
            else:
                assert one.answer == f"{other.answer.removeprefix(short).strip()} {short}"
                assert other.answer.startswith(short)
                assert (SEG_TOKEN in short) == (one.target is not None)
