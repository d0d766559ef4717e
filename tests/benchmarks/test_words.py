"""What answers and queries are read as, by words alone; and the file of held-out queries."""

import json
from pathlib import Path

import pytest

from benchmarks.jobs import Reserved
from benchmarks.measuring.answers import named_target, says_nothing_seen, says_off_topic
from benchmarks.queries.held_out import load_held_out, log_run
from benchmarks.queries.lexicon import lexicon_target
from benchmarks.reporting.tables import table
from gateway import wording
from reasoncd.errors import CorruptDataError, NotFoundError, OutputError
from reasoncd.ontology import REFUSAL, TARGETS, Target

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.key)
def test_what_the_pipeline_words_is_read_back(target: Target) -> None:
    reason = "New roads: they bring houses."
    found = wording.changed(f"{reason} {target.words}:", places=2, fraction=0.1)
    assert named_target(found) == target
    assert not says_nothing_seen(found)
    empty = wording.nothing(f"{target.words}:")
    assert named_target(empty) == target
    assert says_nothing_seen(empty)


def test_refusals_name_nothing() -> None:
    answer = wording.refused(REFUSAL)
    assert says_off_topic(answer)
    assert named_target(answer) is None
    assert not says_off_topic(wording.refused("I do not know"))
    assert named_target("I like new buildings") is None


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("new buildings", "building.gain"),
        ("demolished houses", "building.loss"),
        ("building", "building.change"),
        ("vegetation that became buildings", "vegetation>building"),
        ("roads to bare ground", "road>bare_ground"),
        ("where did people settle", None),
    ],
)
def test_the_lexicon(query: str, key: str | None) -> None:
    found = lexicon_target(query)
    assert (found.key if found else None) == key


def _file(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "kept-back.json"
    path.write_text(json.dumps(content))
    return path


def test_held_out_queries_are_read_in_every_spelling(tmp_path: Path) -> None:
    base = {"level": "I2", "cls": "building", "direction": "gain", "query": "q"}
    road = {"cls": "road", "direction": "gain"}
    spelled = ["road.gain", road, ["road", "gain"], ["road.gain", "building.gain"],
               [["road", "gain"]], [road]]  # fmt: skip
    lines = [base, *({**base, "accept": accept} for accept in spelled), {"level": "N3", "query": "hello"}]
    found = load_held_out(_file(tmp_path, lines)).queries
    assert [[t.key for t in q.accept] for q in found] == [
        ["building.gain"], *[["building.gain", "road.gain"]] * 6, []
    ]  # fmt: skip


UNREADABLE = [
    {"level": "I2"},
    "text",
    {"level": "I2", "query": "secret words", "cls": "ship", "direction": "gain"},
    {"level": "I2", "query": None},
    {"level": 2, "query": "secret words"},
    *(
        {"level": "I2", "query": "secret words", "cls": "road", "direction": "gain", "accept": accept}
        for accept in (5, True, [5], "secret target")
    ),
]


@pytest.mark.parametrize("line", UNREADABLE)
def test_unreadable_lines_are_named_by_position_only(tmp_path: Path, line: object) -> None:
    with pytest.raises(CorruptDataError, match="query 0") as caught:
        load_held_out(_file(tmp_path, [line]))
    assert "secret" not in str(caught.value)
    with pytest.raises(NotFoundError, match="gone"):
        load_held_out(tmp_path / "gone.json")


def test_runs_on_held_out_queries_are_counted(tmp_path: Path) -> None:
    one = load_held_out(_file(tmp_path, []))
    other = load_held_out(_file(tmp_path, [{"level": "N3", "query": "x"}]))
    log = tmp_path / "runs.jsonl"
    found = [log_run(log, which, fingerprints={"reasoner": "ab"}, pairs=1) for which in (one, other, one)]
    assert found == [1, 1, 2]
    assert json.loads(log.read_text().splitlines()[0])["fingerprints"] == {"reasoner": "ab"}


def test_a_log_that_is_no_log_gets_no_line(tmp_path: Path) -> None:
    held_out = load_held_out(_file(tmp_path, []))
    log = tmp_path / "runs.jsonl"
    log_run(log, held_out, fingerprints={}, pairs=1)
    whole = log.read_text()
    log.write_text(whole.rstrip())
    assert log_run(log, held_out, fingerprints={}, pairs=1) == 2
    for broken in (f'{whole}{{"at": "20', f"{whole}[]\n", f"{whole}{{}}\n"):
        log.write_text(broken)
        with pytest.raises(CorruptDataError, match=r"runs\.jsonl: line 2 tells of no run"):
            log_run(log, held_out, fingerprints={}, pairs=1)
        assert log.read_text() == broken
    log.write_bytes(b"\xff\n")
    with pytest.raises(CorruptDataError, match=r"runs\.jsonl is no text"):
        log_run(log, held_out, fingerprints={}, pairs=1)
    with pytest.raises(OutputError, match=r"cannot be written .*; make it a writable file"):
        log_run(tmp_path, held_out, fingerprints={}, pairs=1)


def test_off_topic_lines_of_the_development_queries_come_along(tmp_path: Path) -> None:
    path = _file(tmp_path, [{"level": "I2", "cls": "building", "direction": "gain", "query": "x"}])
    found, alone = Reserved(held_out=path).load(), load_held_out(path)
    assert found is not None
    assert found.sha256 == alone.sha256
    assert found.queries[:1] == alone.queries
    assert len(found.queries) > 150
    assert all(q.level == "DN3" and not q.accept for q in found.queries[1:])


def test_a_table_keeps_its_columns() -> None:
    lines = table(["a", "b"], [["x|y", "1"]]).splitlines()
    assert lines == ["| a | b |", "| --- | --: |", "| x/y | 1 |"]
