"""A multipart form that submits a job: its files go to the disk as they come, and never into memory."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect, Request

from gateway.jobs.folders import INPUTS, Incoming, too_large
from gateway.jobs.job import JobOrder
from gateway.server.errors import MediaTypeError
from gateway.server.http_form import (
    MAX_FIELDS,
    TEXT_BYTES,
    choice_of,
    flag_of,
    number_of,
    one_of,
)
from reasoncd.errors import CancelledError, DeadlineError, InvalidInputError
from reasoncd.ports import Mode

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELDS = ("t1", "t2", "t1_name", "t2_name", "query", "mode", "threshold", "views")
GATHERED_BYTES = 2**20
"""Handed to a thread at once."""
_KIND = "multipart/form-data"

Work = Callable[[Callable[[], None]], Awaitable[None]]
"""Has something done in a thread."""


async def read_job_form(
    request: Request, incoming: Incoming, *, most_bytes: int, timeout_s: float, work: Work
) -> JobOrder:
    """What a request submits; its files are in `incoming` then.

    Args:
        request: its body has not been touched.
        incoming: takes the files.
        most_bytes: bound of the body.
        timeout_s: until the next bytes must have arrived.
        work: runs in a thread what writes to the disk.

    Raises:
        UploadTooLargeError, MediaTypeError, InvalidInputError: the body or a field cannot be used.
        DiskFullError: there is no room for the files.
        DeadlineError, CancelledError: the body did not come in time, or its sender has left.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != _KIND.encode():
        shown = request.headers.get("content-type", "")[:60]
        raise MediaTypeError(f"content-type is {shown!r}; send {_KIND} with the files in t1 and t2")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most_bytes:
        raise too_large(most_bytes)
    boundary = options.get(b"boundary")
    if not boundary:
        raise _broken("it names no boundary")
    parts = _Parts(incoming)
    try:
        parser = MultipartParser(boundary, parts.callbacks)
        await _feed(request, parser, timeout_s, work)
    except FormParserError as error:
        raise _broken(str(error).rstrip(".")[:100]) from None
    if not parts.complete:
        raise _broken("it ends before its last part")
    return _order(parts)


async def _feed(request: Request, parser: MultipartParser, timeout_s: float, work: Work) -> None:
    body = request.stream().__aiter__()
    gathered = bytearray()
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                chunk = await anext(body, None)
        except TimeoutError:
            raise DeadlineError(
                f"the request did not arrive within {timeout_s:g} s; send it faster"
            ) from None
        except ClientDisconnect:
            raise CancelledError("the caller left before the request was there") from None
        if chunk:
            gathered += chunk
        if gathered and (chunk is None or len(gathered) >= GATHERED_BYTES):
            data = bytes(gathered)
            gathered.clear()
            await work(partial(_write, parser, data))
        if chunk is None:
            return


def _write(parser: MultipartParser, data: bytes) -> None:
    parser.write(data)


class _Parts:
    """Receives the parts of a form as the parser finds them.

    Args:
        incoming: takes the files.
    """

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._header: list[bytes] = [b"", b""]
        self._name: str | None = None
        self._file = False
        self._text = bytearray()
        self._seen = 0
        self.texts: list[tuple[str, str | UploadFile]] = []
        self.files: set[str] = set()
        self.complete = False

    @property
    def callbacks(self) -> "MultipartCallbacks":
        """As the parser takes them."""
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": lambda data, start, end: self._more(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._more(1, data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": lambda data, start, end: self._data(data[start:end]),
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._seen += 1
        if self._seen > MAX_FIELDS:
            raise _broken(f"it has more than {MAX_FIELDS} parts")
        self._name, self._file = None, False
        self._text.clear()

    def _more(self, which: int, data: bytes) -> None:
        self._header[which] += data

    def _header_end(self) -> None:
        name, value = self._header
        self._header = [b"", b""]
        if name.lower() == b"content-disposition":
            _, options = parse_options_header(value)
            self._name = options.get(b"name", b"").decode("utf-8", "replace") or None
            self._file = b"filename" in options

    def _headers_finished(self) -> None:
        name = self._name
        if name is None:
            raise _broken("a part has no name")
        if name not in FIELDS:
            raise InvalidInputError(f"field {name[:40]!r} is unknown; the fields are {', '.join(FIELDS)}")
        if name in INPUTS:
            if not self._file:
                raise InvalidInputError(
                    f"{name} is text; send a file in it, with a filename, or use {name}_name"
                )
            if name in self.files:
                raise InvalidInputError(f"{name} is sent more than once; send it once")
            self.files.add(name)
        elif self._file:
            raise InvalidInputError(f"{name} is a file; send text in it, without a filename")

    def _data(self, data: bytes) -> None:
        if self._file and self._name:
            self._incoming.write(self._name, data)
            return
        self._text += data
        if len(self._text) > TEXT_BYTES:
            raise _broken(f"{self._name} has more than {TEXT_BYTES} bytes")

    def _part_end(self) -> None:
        if not self._file and self._name:
            self.texts.append((self._name, self._text.decode("utf-8", "replace")))

    def _end(self) -> None:
        self.complete = True


def _order(parts: _Parts) -> JobOrder:
    form = FormData(parts.texts)
    threshold = one_of(form, "threshold")
    return JobOrder(
        query=one_of(form, "query") or "",
        mode=choice_of(form, "mode", Mode, Mode.SHORT),
        threshold=None if threshold is None else number_of(threshold),
        views=flag_of(form, "views"),
        t1_name=one_of(form, "t1_name") or None,
        t2_name=one_of(form, "t2_name") or None,
    )


def _broken(why: str) -> InvalidInputError:
    return InvalidInputError(f"the form cannot be read ({why}); send {_KIND}, see /docs")
