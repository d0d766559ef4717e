"""The table of docs/errors.md, read."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx

from reasoncd.rpc.status import ERROR_TRAILER

PAGE = Path(__file__).resolve().parents[3] / "docs" / "errors.md"
FOREIGN = ", gRPC's own"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One condition."""

    condition: str
    grpc: str | None
    """Name of the status; None where gRPC has no such case."""
    ours: bool
    """Whether that status bears our trailer."""
    http: int | None
    message: str
    """What the message looks like, or words about it."""

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches each message of this row."""
        if not self.message.startswith("`"):
            return re.compile(".+", re.DOTALL)
        parts = [re.escape(part) for part in self.message.strip("`").split("…")]
        return re.compile(".*".join(parts), re.DOTALL)


def _row(line: str) -> Row:
    condition, status, http, message = (cell.strip() for cell in line.strip("| \n").split(" | "))
    return Row(
        condition=condition,
        grpc=None if status == "-" else status.removesuffix(FOREIGN),
        ours=not status.endswith(FOREIGN),
        http=None if http == "-" else int(http),
        message=message,
    )


def _read() -> dict[str, Row]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [_row(line) for line in lines[1:]]
    assert len({row.condition for row in rows}) == len(rows)
    return {row.condition: row for row in rows}


ROWS = _read()


def assert_harmless(message: str) -> None:
    """It is one sentence for people and tells nothing of the process."""
    assert message
    assert "\n" not in message
    assert len(message) < 600
    for trace in ("Traceback", 'File "', ".py", "site-packages", "Exception", "0x"):
        assert trace not in message


def trailers_of(error: grpc.RpcError) -> dict[str, Any]:
    """The trailers of a failed call."""
    sent: Any = error.trailing_metadata()
    return dict(sent or ())


def assert_grpc(condition: str, error: grpc.RpcError) -> None:
    """A failed call is what the table says."""
    row = ROWS[condition]
    details, trailers = error.details() or "", trailers_of(error)
    assert error.code().name == row.grpc, details
    assert row.pattern.fullmatch(details), details
    assert_harmless(details)
    assert trailers.get(ERROR_TRAILER) == (row.grpc if row.ours else None)


def assert_http(condition: str, response: httpx.Response) -> None:
    """A response is what the table says."""
    row = ROWS[condition]
    assert response.status_code == row.http, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error"}
    error = body["error"]
    assert error.keys() == {"code", "message", "request_id"}
    assert error["request_id"] == response.headers["x-request-id"]
    assert row.pattern.fullmatch(error["message"]), error["message"]
    assert_harmless(error["message"])
    if row.grpc and row.ours:
        assert error["code"] == row.grpc
