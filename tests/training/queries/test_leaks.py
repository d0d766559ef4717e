"""No training wording may be a held-out question, or nearly one, nor touch a reserved cause family."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from reasoncd.errors import NotFoundError
from training.data.real_tiles import data_root
from training.queries import load_phrases
from training.queries.embedding import SentenceEmbedder, fetch_embedder
from training.queries.kept_vectors import kept_vectors

NEAR = 0.6
"""Share of common words above which two wordings count as the same; "roads that were removed" against
"streets that were removed" is just there: another class word in a common frame."""

NEAR_IN_MEANING = 0.75
"""Cosine of two sentence embeddings above which one counts as another wording of the other."""

DEVELOPMENT = Path(__file__).parents[3] / "benchmarks" / "queries" / "development.yaml"

RESERVED = {
    "armed conflict": r"wars?|wartime|warfare|battle\w*|arm(y|ies)|militar\w*|soldiers?|troops?|artillery|"
    r"shell(ed|ing)|shrapnel|bomb\w*|missiles?|rebels?|front ?lines?|ceasefire|refugees?|militias?|barracks|"
    r"minefields?|air ?raids?|combat\w*",
    "public health": r"hospitals?|clinics?|doctors?|nurs(e|es|ing)|patients?|diseases?|malaria|dengue|"
    r"cholera|epidemics?|pandemics?|vaccin\w*|mosquito\w*|medic(al|ines?)|ambulances?|surgeons?|infections?|"
    r"sanitation|public health|pharmac\w*",
    "tourism": r"touris\w*|hotels?|resorts?|holiday ?makers?|vacation\w*|sightsee\w*|backpackers?|hostels?|"
    r"guesthouses?|cruise ships?|souvenirs?|tour guides?|travel agen\w*",
    "energy industry": r"power (plants?|stations?|lines?)|solar|photovoltaics?|wind ?(farms?|parks?)|"
    r"turbines?|oil ?(wells?|fields?|rigs?)|refiner(y|ies)|gas (wells?|fields?)|fracking|coal|lignite|"
    r"hydropower|hydroelectric|megawatts?|substations?|nuclear|reactors?|biogas|pipelines?",
}
"""Words of the cause families that held-out questions alone speak of."""


def overlaps(one: Sequence[str], other: Sequence[str]) -> NDArray[np.float64]:
    """(n, m): common words of each two texts over all words of both."""
    vectorizer = CountVectorizer(binary=True, token_pattern=r"[a-z']+").fit([*one, *other])
    rows, columns = vectorizer.transform(one), vectorizer.transform(other)
    common = (rows @ columns.T).toarray()
    both = rows.getnnz(axis=1)[:, None] + columns.getnnz(axis=1) - common
    return common / np.maximum(both, 1)


@dataclass(frozen=True)
class Question:
    """A question that no training may have seen."""

    text: str
    plain: bool
    """Whether it names class and direction, as any wording of the same target does."""


def held_out_questions() -> list[Question]:
    try:
        path = data_root().parent / "bench" / "queries_heldout.json"
    except NotFoundError:
        path = Path("absent")
    if not path.exists():
        pytest.skip(
            "the held-out questions are not here; they lie beside the folder that REASONCD_DATA names"
        )
    return [Question(entry["query"], entry["level"] == "E1") for entry in json.loads(path.read_text())]


def development_questions() -> list[Question]:
    entries = yaml.safe_load(DEVELOPMENT.read_text())["queries"]
    return [Question(entry["q"], entry["level"] == "D1") for entry in entries]


UNSEEN = {"held-out": held_out_questions, "development": development_questions}


def veiled_wordings() -> list[str]:
    """Questions of training that never name the class."""
    bank = load_phrases()
    return [p.query for ps in (*bank.implicit.values(), bank.off_topic) for p in ps]


def plain_wordings() -> list[str]:
    """Wordings of training that name class and direction, reasons among them."""
    bank = load_phrases()
    reasons = [p.why for ps in (*bank.implicit.values(), bank.off_topic) for p in ps if p.why]
    return [line for lines in bank.synonyms.values() for line in lines] + reasons


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    return SentenceEmbedder(fetch_embedder())


def test_overlap_sees_a_reworded_line() -> None:
    trained = ["where has the chainsaw been at work", "new roads"]
    same, other = overlaps(trained, ["Where the chainsaw has been at work?"])
    assert same > NEAR > other


def test_embeddings_see_a_reworded_line(embedder: SentenceEmbedder) -> None:
    pair = ("where has the chainsaw been busy", "where were chainsaws at work")
    one, two, other = embedder.embed([*pair, "places for a new bus stop"])
    assert one @ two > NEAR_IN_MEANING > 0.4 > one @ other


@pytest.mark.parametrize("questions", UNSEEN.values(), ids=UNSEEN)
def test_no_unseen_question_is_trained_on(questions: Callable[[], list[Question]]) -> None:
    trained, unseen = veiled_wordings() + plain_wordings(), [q.text for q in questions()]
    near = np.argwhere(overlaps(trained, unseen) > NEAR)
    assert [(trained[i], unseen[j]) for i, j in near] == []


@pytest.mark.parametrize("questions", UNSEEN.values(), ids=UNSEEN)
def test_no_wording_means_nearly_an_unseen_question(
    embedder: SentenceEmbedder, questions: Callable[[], list[Question]]
) -> None:
    unseen = questions()
    # What names class and direction means the same as any other line that does, whoever wrote it.
    for trained, against in (
        (veiled_wordings(), unseen),
        (plain_wordings(), [q for q in unseen if not q.plain]),
    ):
        likeness = kept_vectors(embedder, trained) @ embedder.embed([q.text for q in against]).T
        near = [(trained[i], against[j].text) for i, j in np.argwhere(likeness > NEAR_IN_MEANING)]
        assert near == []


def test_phrases_of_one_target_are_distinct(embedder: SentenceEmbedder) -> None:
    bank = load_phrases()
    targets = [[p.query for p in found] for found in (*bank.implicit.values(), bank.off_topic)]
    ends = np.cumsum([len(phrases) for phrases in targets])
    parts = np.split(kept_vectors(embedder, veiled_wordings()), ends[:-1])
    for phrases, rows in zip(targets, parts, strict=True):
        same = (rows @ rows.T > 0.9) | (overlaps(phrases, phrases) > NEAR)
        assert [(phrases[i], phrases[j]) for i, j in np.argwhere(np.triu(same, 1))] == []


@pytest.mark.parametrize("family", RESERVED)
def test_reserved_cause_families_stay_untouched(family: str) -> None:
    pattern = re.compile(rf"\b({RESERVED[family]})\b", re.IGNORECASE)
    assert [t for t in veiled_wordings() + plain_wordings() if pattern.search(t)] == []
