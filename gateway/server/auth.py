"""Who calls: bearer tokens from a file, which is read again whenever it changes.

The file is TOML. A token stands there as it is or, better, as its SHA-256 in hex:

    [[token]]
    name = "analysts"
    sha256 = "d7ad..."               # printf %s "$TOKEN" | sha256sum
    expires = 2027-01-01T00:00:00Z   # if ever
    requests = 4                     # at once, if not as many as there is room for

A file that was broken by an edit changes nothing: the tokens read before stay in force, and the log says so.
"""

import hashlib
import hmac
import logging
import re
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

from reasoncd.errors import InvalidInputError, NotFoundError, ReasonCDError, UnauthenticatedError

_LOG = logging.getLogger(__name__)

LOOK_S = 1.0
"""Seconds between two looks whether the file has changed."""
MAX_FILE_BYTES = 2**20
MIN_CHARACTERS = 16
"""Of a token: a shorter one could be guessed."""

_FIELDS = {"name", "token", "sha256", "expires", "requests"}
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One line of the file."""

    name: str
    """Of whoever holds it; in logs and messages instead of the token."""
    digest: bytes = field(repr=False)
    """SHA-256 of the token."""
    expires: datetime | None = None
    """From then on it is refused."""
    requests: int | None = None
    """How many requests it may have at once; None for as many as there is room for."""


class TokenFile:
    """The tokens of one file.

    Args:
        path: of the file.
        now: the time of day.
        clock: seconds, for looking at the file now and then.

    Raises:
        NotFoundError, InvalidInputError: as `read_tokens`.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._now, self._clock = path, now, clock
        self._stamp = _stamp(path)
        self._tokens = read_tokens(path)
        self._looked = clock()

    def check(self, authorization: str | None) -> Token:
        """The token of a caller.

        Args:
            authorization: the header of that name.

        Raises:
            UnauthenticatedError: there is none, or it is not known, or it has expired.
        """
        self._read_if_changed()
        scheme, _, presented = (authorization or "").partition(" ")
        presented = presented.strip()
        if scheme.lower() != "bearer" or not presented:
            raise UnauthenticatedError("no token was sent; add the header `authorization: Bearer TOKEN`")
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()
        found = None
        # All of them, each in constant time: how long it takes tells nothing of which one is nearly right.
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        if found is None:
            raise UnauthenticatedError("the token is not known here; ask whoever runs this gateway for one")
        if found.expires is not None and self._now() >= found.expires:
            when = found.expires.isoformat(timespec="minutes")
            raise UnauthenticatedError(f"the token of {found.name} expired at {when}; ask for another")
        return found

    def _read_if_changed(self) -> None:
        if self._clock() - self._looked < LOOK_S:
            return
        self._looked = self._clock()
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tokens = read_tokens(self._path)
        except ReasonCDError as error:
            _LOG.error("the tokens read before stay in force", extra={"reason": error.message})
        else:
            _LOG.info("tokens read again", extra={"tokens": len(self._tokens)})


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens that a file holds.

    Raises:
        NotFoundError: the file cannot be read.
        InvalidInputError: it is no TOML of the form above, or a name or token stands there twice.
    """
    try:
        with path.open("rb") as source:
            data = source.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise NotFoundError(f"tokens {path} cannot be read ({error.strerror}); check the path") from None
    if len(data) > MAX_FILE_BYTES:
        raise InvalidInputError(f"tokens {path} has more than {MAX_FILE_BYTES} bytes; name a file of tokens")
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        # The error's text could quote a line, and so a token.
        raise InvalidInputError(
            f"tokens {path} is no TOML ({type(error).__name__}); see the example in docs/gateway.md"
        ) from None
    listed = content.pop("token", None)
    if content or not isinstance(listed, list) or not listed or not all(isinstance(t, dict) for t in listed):
        raise InvalidInputError(f"tokens {path} has to hold one or more tables [[token]] and nothing else")
    tokens = tuple(_token(entry, f"tokens {path}, number {number}") for number, entry in enumerate(listed, 1))
    for what, values in (("name", [t.name for t in tokens]), ("token", [t.digest for t in tokens])):
        if len(set(values)) != len(values):
            raise InvalidInputError(f"tokens {path} holds one {what} twice; give each caller its own")
    return tokens


def _token(entry: dict[str, Any], where: str) -> Token:
    if unknown := sorted(entry.keys() - _FIELDS):
        raise InvalidInputError(f"{where}: field `{unknown[0]}` is unknown; use {', '.join(sorted(_FIELDS))}")
    name, requests = entry.get("name"), entry.get("requests")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInputError(f"{where}: `name` has to be 1 to 64 letters, digits, dots, dashes")
    if requests is not None and (type(requests) is not int or requests < 1):
        raise InvalidInputError(f"{where}: `requests` has to be a whole number of at least 1")
    return Token(name=name, digest=_digest(entry, where), expires=_expiry(entry, where), requests=requests)


def _digest(entry: dict[str, Any], where: str) -> bytes:
    plain, hashed = entry.get("token"), entry.get("sha256")
    if (plain is None) == (hashed is None):
        raise InvalidInputError(f"{where}: give either `token` or `sha256`")
    if hashed is not None:
        if not isinstance(hashed, str) or not _SHA256.fullmatch(hashed.lower()):
            raise InvalidInputError(f"{where}: `sha256` has to be 64 hexadecimal digits")
        return bytes.fromhex(hashed)
    if not isinstance(plain, str) or len(plain) < MIN_CHARACTERS or not _TOKEN.fullmatch(plain):
        raise InvalidInputError(
            f"{where}: `token` has to be {MIN_CHARACTERS} or more characters of ASCII without spaces"
        )
    return hashlib.sha256(plain.encode()).digest()


def _expiry(entry: dict[str, Any], where: str) -> datetime | None:
    expires = entry.get("expires")
    if isinstance(expires, date) and not isinstance(expires, datetime):
        expires = datetime.combine(expires, time_of_day())
    if expires is None:
        return None
    if not isinstance(expires, datetime):
        raise InvalidInputError(f"{where}: `expires` has to be a date or a time, for example 2027-01-01")
    # Without an offset it is UTC, on whatever machine.
    return expires if expires.tzinfo else expires.replace(tzinfo=UTC)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes with the file, also where a mounted Secret exchanges a link; None where it is gone."""
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size, told.st_ino
