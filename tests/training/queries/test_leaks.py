"""No training wording may be a held-out question, or nearly one, nor touch a reserved cause family."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from reasoncd.errors import NotFoundError
from training.data.real_tiles import data_root
from training.queries import load_phrases
from training.queries.embedding import SentenceEmbedder, fetch_embedder
from training.queries.kept_vectors import kept_vectors

NEAR = 0.6
"""Share of common words above which two wordings count as the same; "roads that were removed" against
"streets that were removed" is just there: another class word in a common frame."""

NEAR_IN_MEANING = 0.75
"""Cosine of two sentence embeddings above which an implicit phrase counts as another wording of the other."""

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


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z']+", text.lower()))


def overlap(a: str, b: str) -> float:
    one, two = words(a), words(b)
    return len(one & two) / len(one | two)


def held_out_questions() -> list[str]:
    try:
        path = data_root().parent / "bench" / "queries_heldout.json"
    except NotFoundError:
        path = Path("absent")
    if not path.exists():
        pytest.skip(
            "the held-out questions are not here; they lie beside the folder that REASONCD_DATA names"
        )
    return [entry["query"] for entry in json.loads(path.read_text())]


def development_questions() -> list[str]:
    return [entry["q"] for entry in yaml.safe_load(DEVELOPMENT.read_text())["queries"]]


def implicit_phrases() -> list[str]:
    return [p.query for ps in load_phrases().implicit.values() for p in ps]


def training_wordings() -> list[str]:
    bank = load_phrases()
    return (
        implicit_phrases()
        + [p.query for p in bank.off_topic]
        + [line for lines in bank.synonyms.values() for line in lines]
    )


@pytest.fixture(scope="module")
def embedded_phrases() -> tuple[SentenceEmbedder, list[str], np.ndarray]:
    embedder = SentenceEmbedder(fetch_embedder())
    phrases = implicit_phrases()
    return embedder, phrases, kept_vectors(embedder, phrases)


def test_overlap_sees_a_reworded_line() -> None:
    assert overlap("where has the chainsaw been at work", "Where the chainsaw has been at work?") > NEAR
    assert overlap("new roads", "where would frogs move in") < NEAR


def test_embeddings_see_a_reworded_line() -> None:
    pair = ("where has the chainsaw been busy", "where were chainsaws at work")
    one, two, other = SentenceEmbedder(fetch_embedder()).embed([*pair, "places for a new bus stop"])
    assert one @ two > NEAR_IN_MEANING > 0.4 > one @ other


def test_no_held_out_question_is_trained_on() -> None:
    held_out = [(h, words(h)) for h in held_out_questions()]
    trained = [(t, words(t)) for t in training_wordings()]
    near = [(h, t) for t, w in trained for h, v in held_out if len(w & v) > NEAR * len(w | v)]
    assert near == []


def test_no_phrase_means_nearly_a_held_out_question(
    embedded_phrases: tuple[SentenceEmbedder, list[str], np.ndarray],
) -> None:
    embedder, phrases, rows = embedded_phrases
    nearest = (rows @ embedder.embed(held_out_questions()).T).max(axis=1)
    assert [phrases[i] for i in np.flatnonzero(nearest > NEAR_IN_MEANING)] == []


def test_no_phrase_means_nearly_a_development_question(
    embedded_phrases: tuple[SentenceEmbedder, list[str], np.ndarray],
) -> None:
    embedder, phrases, rows = embedded_phrases
    nearest = (rows @ embedder.embed(development_questions()).T).max(axis=1)
    assert [phrases[i] for i in np.flatnonzero(nearest > NEAR_IN_MEANING)] == []


def test_phrases_of_one_target_are_distinct(
    embedded_phrases: tuple[SentenceEmbedder, list[str], np.ndarray],
) -> None:
    _, phrases, rows = embedded_phrases
    start = 0
    for found in load_phrases().implicit.values():
        part = rows[start : start + len(found)]
        close = np.argwhere(np.triu(part @ part.T, 1) > 0.9)
        assert [(phrases[start + i], phrases[start + j]) for i, j in close] == []
        start += len(found)


@pytest.mark.parametrize("family", RESERVED)
def test_reserved_cause_families_stay_untouched(family: str) -> None:
    pattern = re.compile(rf"\b({RESERVED[family]})\b", re.IGNORECASE)
    assert [p for p in implicit_phrases() if pattern.search(p)] == []
