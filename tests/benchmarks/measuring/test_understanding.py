"""What the reasoner understands by words alone, and the queries on which choices are made."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.jobs import Reserved
from benchmarks.measuring.correcting import Engines
from benchmarks.measuring.understanding import ask_words, bank_queries
from benchmarks.queries.development import DEVELOPMENT_FILE, load_development
from benchmarks.queries.lexicon import lexicon_target
from benchmarks.queries.questions import DIRECTED, opposite
from benchmarks.reporting.understanding import understanding_report
from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError
from reasoncd.ontology import TARGET_BY_KEY, Target
from training.queries import PhraseBank
from training.queries.asked import AskedQuery

pytestmark = pytest.mark.unit

MakeEngines = Callable[..., Engines]


def _query(query: str, *keys: str, level: str = "D2") -> AskedQuery:
    return AskedQuery(level=level, query=query, accept=tuple(TARGET_BY_KEY[key] for key in keys))


def test_a_reasoner_that_knows_the_bank_is_right_on_it(
    make_engines: MakeEngines, phrases: PhraseBank
) -> None:
    engines = make_engines()
    asked = bank_queries(phrases, per_target=2)
    assert {q.level for q in asked} == {"E0", "E1", "I1", "N3"}
    assert sum(q.level == "I1" for q in asked) == 2 * len(DIRECTED)
    found = ask_words(engines.vision, engines.reasoner, asked, guesses={"lexicon": lexicon_target})
    assert all(a.right for a in found)
    assert {a.seg_emitted for a in found if a.query.level == "N3"} == {False}
    assert all(a.guessed_right("lexicon") for a in found if a.query.query == "new buildings")
    json.dumps([a.as_json() for a in found], allow_nan=False)


def test_wrong_directions_wrong_classes_and_refusals_are_told_apart(make_engines: MakeEngines) -> None:
    def twist(target: Target) -> Target:
        return TARGET_BY_KEY["water.gain"] if target.cls == "road" else opposite(target) or target

    engines = make_engines(twist=twist)
    asked = [
        _query("new buildings", "building.gain"),
        _query("new roads", "road.gain"),
        _query("words that nobody knows", "water.loss"),
        _query("lost vegetation", "vegetation.loss", "vegetation.gain"),
        _query("lost water", level="DN3"),
    ]
    found = ask_words(engines.vision, engines.reasoner, asked)
    assert [(a.right, a.right_class, a.right_direction) for a in found] == [
        (False, True, False),
        (False, False, True),
        (False, False, False),
        (True, True, True),
        (False, False, False),
    ]
    assert [a.seg_emitted for a in found] == [True, True, False, True, True]
    page = understanding_report(found, misread=2)
    assert re.search(r"\| D2 \| 4 \| 25.0 % \(", page)
    assert "2 of 4." in page
    assert "| DN3 | 1 | 0.0 % (0 to 0) | - | - | 100.0 % |" in page


def test_no_queries_are_refused(make_engines: MakeEngines, phrases: PhraseBank) -> None:
    with pytest.raises(InvalidInputError, match="per_target is 0"):
        bank_queries(phrases, per_target=0)
    engines = make_engines()
    with pytest.raises(InvalidInputError, match="no queries"):
        ask_words(engines.vision, engines.reasoner, [])


def test_the_development_queries_ask_for_each_target_and_for_none() -> None:
    queries = load_development().queries
    assert {q.level for q in queries} == {"D1", "D2", "D3", "DN3"}
    assert {q.accept[0] for q in queries if q.accept} == set(DIRECTED)
    assert {q.level for q in queries if not q.accept} == {"DN3"}


def test_unusable_files_of_queries_are_named(tmp_path: Path) -> None:
    path = tmp_path / "queries.yaml"
    path.write_text("queries: [{level: D1, target: road.gain, accept: 5, q: x}]")
    with pytest.raises(CorruptDataError, match=r"queries\.yaml: query 1 accepts 5"):
        load_development(path)
    with pytest.raises(NotFoundError, match="gone"):
        load_development(tmp_path / "gone.yaml")


def test_accepted_targets_are_read(tmp_path: Path) -> None:
    path = tmp_path / "queries.yaml"
    path.write_text("queries:\n- {level: D1, target: road.gain, accept: [water.loss, road.gain], q: x}\n")
    assert load_development(path).queries == (_query("x", "road.gain", "water.loss", level="D1"),)


def test_only_one_set_of_further_queries_is_asked(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="only one of --held-out, --development and --queries-file"):
        Reserved(development=True, queries_file=tmp_path)
    loaded = Reserved(development=True).load()
    assert loaded
    assert loaded.sha256 == load_development(DEVELOPMENT_FILE).sha256
    assert Reserved().load() is None
    done = CliRunner().invoke(app, ["words", "--development", "--queries-file", str(tmp_path / "q.yaml")])
    assert done.exit_code == 2
    assert "give only one of" in done.output
