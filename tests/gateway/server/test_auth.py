"""Tokens: what the file may hold, who gets in, and that a change of the file takes hold."""

import hashlib
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from gateway.pipeline import Pipeline
from gateway.server.auth import LOOK_S, TokenFile, read_tokens
from reasoncd.client import ReasonCDClient
from reasoncd.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from tests.gateway.server.conftest import served

pytestmark = pytest.mark.unit

ONE = '[[token]]\nname = "one"\ntoken = "a-token-of-the-first"\n'
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        # As a mounted Secret changes: another file takes its name.
        fresh = tmp_path / "fresh"
        fresh.write_text(text)
        return fresh.rename(tmp_path / "tokens.toml")

    return written


class Clock:
    seconds = 0.0
    day = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.day


def test_a_token_or_its_digest(write: Write) -> None:
    digest = hashlib.sha256(b"a-token-of-the-second").hexdigest()
    path = write(f'{ONE}[[token]]\nname = "two"\nsha256 = "{digest.upper()}"\nrequests = 3\n')
    tokens = TokenFile(path)
    assert tokens.check("Bearer a-token-of-the-first").name == "one"
    found = tokens.check("bearer  a-token-of-the-second ")
    assert (found.name, found.requests) == ("two", 3)
    # The digest is no token, or whoever reads the file could come in with it.
    with pytest.raises(UnauthenticatedError, match="not known"):
        tokens.check(f"Bearer {digest}")
    assert "a-token" not in repr(found)
    assert digest not in repr(found)


@pytest.mark.parametrize("sent", [None, "", "Bearer", "Bearer ", "a-token-of-the-first", "Basic YTpi"])
def test_no_token(write: Write, sent: str | None) -> None:
    with pytest.raises(UnauthenticatedError, match="no token was sent"):
        TokenFile(write(ONE)).check(sent)


@pytest.mark.parametrize(
    "sent", ["Bearer a-token-of-the-firs", "Bearer \udcff", "Bearer ä", "Bearer " + "x" * 9999]
)
def test_an_unknown_token(write: Write, sent: str) -> None:
    with pytest.raises(UnauthenticatedError, match="not known here"):
        TokenFile(write(ONE)).check(sent)


@pytest.mark.parametrize("expires", ["2026-03-01", "2026-03-01T00:00:00", "2026-03-01T01:00:00+01:00"])
def test_a_token_expires_at_that_moment(write: Write, expires: str) -> None:
    clock = Clock()
    tokens = TokenFile(write(ONE + f"expires = {expires}\n"), now=clock.now, clock=clock)
    clock.day = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    assert tokens.check("Bearer a-token-of-the-first").name == "one"
    clock.day = datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(UnauthenticatedError, match=r"the token of one expired at 2026-03-01T0\d:00"):
        tokens.check("Bearer a-token-of-the-first")


def test_a_change_takes_hold_and_a_broken_file_changes_nothing(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    path = write(ONE)
    tokens = TokenFile(path, clock=clock)
    write(ONE.replace("first", "other"))
    clock.seconds += LOOK_S
    assert tokens.check("Bearer a-token-of-the-other").name == "one"
    with pytest.raises(UnauthenticatedError):
        tokens.check("Bearer a-token-of-the-first")
    for broken in ("[[token]]\nname = ", "", ONE + ONE):
        write(broken)
        clock.seconds += LOOK_S
        assert tokens.check("Bearer a-token-of-the-other").name == "one"
    path.unlink()
    clock.seconds += LOOK_S
    assert tokens.check("Bearer a-token-of-the-other").name == "one"
    assert sum(record.levelname == "ERROR" for record in caplog.records) == 4
    write(ONE)
    clock.seconds += LOOK_S
    assert tokens.check("Bearer a-token-of-the-first").name == "one"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "one or more tables"),
        ('name = "one"', "one or more tables"),
        ("[token]\n", "one or more tables"),
        ("token = [1]", "one or more tables"),
        (ONE + "[more]\n", "one or more tables"),
        ("[[token]", "is no TOML"),
        (ONE + 'secret = "x"', "field `secret` is unknown"),
        ('[[token]]\ntoken = "a-token-of-the-first"', "`name`"),
        (ONE.replace('"one"', '"o n e"'), "`name`"),
        ('[[token]]\nname = "one"', "either `token` or `sha256`"),
        (ONE + f'sha256 = "{"0" * 64}"', "either `token` or `sha256`"),
        (ONE.replace("a-token-of-the-first", "short"), "16 or more characters"),
        (ONE.replace("a-token-of-the-first", "with spaces in its midst"), "16 or more characters"),
        ('[[token]]\nname = "one"\nsha256 = "abc"', "64 hexadecimal digits"),
        (ONE + "requests = 0", "`requests`"),
        (ONE + "requests = true", "`requests`"),
        (ONE + 'expires = "tomorrow"', "`expires`"),
        (ONE + ONE.replace("first", "other"), "holds one name twice"),
        (ONE + ONE.replace('"one"', '"two"'), "holds one token twice"),
    ],
)
def test_files_that_are_refused(write: Write, text: str, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match) as caught:
        read_tokens(write(text))
    # What is told of the file must not tell a token.
    assert "a-token" not in caught.value.message


def test_a_file_that_is_not_there_or_far_too_large(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot be read"):
        read_tokens(tmp_path / "gone")
    with (tmp_path / "huge").open("wb") as sink:
        os.truncate(sink.fileno(), 2**40)
    with pytest.raises(InvalidInputError, match="more than"):
        read_tokens(tmp_path / "huge")


def test_the_documented_file_can_be_used(write: Write) -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "gateway.md"
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    analysts, laptop = read_tokens(write(example))
    assert analysts.expires == datetime(2027, 1, 1, tzinfo=UTC)
    assert (analysts.requests, laptop.name) == (4, "laptop")


def test_a_server_asks_for_tokens_but_not_who_only_looks_whether_it_lives(
    write: Write, pipeline: Pipeline
) -> None:
    with served(pipeline, tokens=write(ONE)) as running:
        for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
            assert httpx.get(running.addresses.http + path).status_code == 200
        assert httpx.get(running.addresses.http + "/v1/describe").headers["www-authenticate"] == "Bearer"
        with ReasonCDClient(running.addresses.grpc, token="a-token-of-the-first") as client:
            assert len(client.describe().components) == 3
