"""Files of queries: how they are read, and what is wrong with others."""

import re

import pytest

from reasoncd.errors import CorruptDataError
from reasoncd.ontology import TARGET_BY_KEY
from training.queries.asked import AskedQuery, parse_queries

pytestmark = pytest.mark.unit


def test_targets_are_read_in_order_and_once() -> None:
    text = b"""queries:
- {level: D1, target: road.gain, accept: [water.loss, road.gain], q: "one"}
- {level: DN3, target: off_topic, q: "two"}
"""
    road, water = TARGET_BY_KEY["road.gain"], TARGET_BY_KEY["water.loss"]
    assert parse_queries(text, where="q.yaml") == (
        AskedQuery(level="D1", query="one", accept=(road, water)),
        AskedQuery(level="DN3", query="two", accept=()),
    )


def _entry(**changes: str) -> bytes:
    fields = {"level": "D1", "target": "road.gain", "q": "x"} | changes
    return f"queries: [{{{', '.join(f'{name}: {value}' for name, value in fields.items())}}}]".encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"queries: [", "is no YAML"),
        (b"queries: [{q: \xff}]", "is no YAML"),
        (_entry(q="2001-99-99"), "is no YAML"),
        (b"- 1", "holds no list `queries`"),
        (b"queries: []", "holds no list `queries`"),
        (b"queries: [{level: D1, q: x}]", "query 1 needs level, target and q"),
        (_entry(why="b"), "query 1 needs level, target and q"),
        (_entry(target="ship.gain"), "query 1 names the target 'ship.gain'"),
        (_entry(accept="[off_topic]"), "query 1 names the target 'off_topic'"),
        (_entry(accept="[5]"), "query 1 names the target 5"),
        (_entry(accept="5"), "query 1 accepts 5; give a list of targets"),
        (_entry(accept="building.loss"), "query 1 accepts 'building.loss'; give a list of targets"),
        (_entry(q="null"), "query 1 has None as its q; give a text"),
        (_entry(q="' '"), "query 1 has ' ' as its q; give a text"),
        (_entry(level="1"), "query 1 has 1 as its level; give a text"),
        (_entry(target="[road.gain]"), "query 1 has ['road.gain'] as its target; give a text"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, message: str) -> None:
    with pytest.raises(CorruptDataError, match=re.escape("q.yaml")) as caught:
        parse_queries(data, where="q.yaml")
    assert message in caught.value.message
