"""A multipart form as what it asks. Bounds hold while the body is read, before anything is made of it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from enum import StrEnum
from typing import TypeVar

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from gateway.checks import THRESHOLD_RANGE
from gateway.detection import Click
from gateway.server.asked import Asked, ImageNames, MapFormat
from gateway.server.errors import MediaTypeError, TooLargeError
from gateway.server.settings import ServerSettings
from reasoncd.errors import CancelledError, DeadlineError, InvalidInputError
from reasoncd.ports import Mode
from reasoncd.rpc.meanings import meaning_from_text

NAMES = ImageNames(t1="t1", t2="t2")
FIELDS = (
    "t1",
    "t2",
    "query",
    "mode",
    "threshold",
    "meaning",
    "clicks",
    "with_probability",
    "map_format",
)
MAX_FILES = 8
"""So that one too many is told by its name; two are used."""
MAX_FIELDS = 256
"""That are no files: enough to be told how many questions are too many."""
TEXT_BYTES = 64 * 2**10
"""Of one field that is no file; the longest question takes an eighth of it."""

_KIND = "multipart/form-data"
_FLAGS = {"true": True, "1": True, "false": False, "0": False}

Choice = TypeVar("Choice", bound=StrEnum)


class _InMemory(MultiPartParser):
    """Keeps files in memory, where they are counted, and off the disk."""

    spool_max_size = 2**62


async def read_form(request: Request, settings: ServerSettings, hold: Callable[[int], None]) -> Asked:
    """What a request asks.

    Args:
        request: its body has not been touched.
        settings: bounds.
        hold: counts bytes before they are read, and raises where there is no room.

    Raises:
        TooLargeError, MediaTypeError, InvalidInputError: the body or a field cannot be used.
        OverloadedError: of `hold`.
        DeadlineError, CancelledError: the body did not come in time, or its sender has left.
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != _KIND:
        raise MediaTypeError(f"content-type is {kind[:60]!r}; send {_KIND} with the files in t1 and t2")
    body = _bounded(request, settings.message_bytes, hold)
    parser = _InMemory(
        request.headers, body, max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=TEXT_BYTES
    )
    try:
        async with asyncio.timeout(settings.receive_timeout_s):
            form = await parser.parse()
    except TimeoutError:
        seconds = settings.receive_timeout_s
        raise DeadlineError(f"the request did not arrive within {seconds:g} s; send it faster") from None
    except ClientDisconnect:
        raise CancelledError("the caller left before the request was there") from None
    except MultiPartException as error:
        said = error.message.rstrip(".")
        raise InvalidInputError(f"the form cannot be read ({said}); send {_KIND}, see /docs") from None
    try:
        return await _asked(form, settings.image_bytes)
    finally:
        await form.close()


async def _bounded(request: Request, most: int, hold: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    too_large = TooLargeError(f"the body is larger than {most} bytes; send smaller images")
    declared = request.headers.get("content-length")
    if declared is not None:
        if int(declared) > most:
            raise too_large
        hold(int(declared))
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > most:
            raise too_large
        if declared is None:
            hold(len(chunk))
        yield chunk


async def _asked(form: FormData, image_bytes: int) -> Asked:
    for name in form:
        if name not in FIELDS:
            raise InvalidInputError(f"field {name[:40]!r} is unknown; the fields are {', '.join(FIELDS)}")
    threshold = one_of(form, "threshold")
    return Asked(
        image_t1=await _file(form, "t1"),
        image_t2=await _file(form, "t2"),
        queries=tuple(texts_of(form, "query")),
        mode=choice_of(form, "mode", Mode, Mode.SHORT),
        threshold=None if threshold is None else number_of(threshold),
        meanings=tuple(meaning_from_text(text.strip()) for text in texts_of(form, "meaning")) or None,
        clicks=_clicks(one_of(form, "clicks")),
        with_probability=flag_of(form, "with_probability"),
        map_format=choice_of(form, "map_format", MapFormat, MapFormat.PNG),
        names=NAMES,
        image_bytes=image_bytes,
    )


async def _file(form: FormData, name: str) -> bytes:
    found = form.getlist(name)
    if not found:
        raise InvalidInputError(f"{name} is missing; send a PNG, JPEG or TIFF file in it")
    if len(found) > 1:
        raise InvalidInputError(f"{name} is sent {len(found)} times; send it once")
    if not isinstance(found[0], UploadFile):
        raise InvalidInputError(f"{name} is text; send a file in it, with a filename")
    return await found[0].read()


def texts_of(form: FormData, name: str) -> list[str]:
    """All values of a text field.

    Raises:
        InvalidInputError: one is a file.
    """
    found = form.getlist(name)
    texts = [value for value in found if isinstance(value, str)]
    if len(texts) != len(found):
        raise InvalidInputError(f"{name} is a file; send text in it, without a filename")
    return texts


def one_of(form: FormData, name: str) -> str | None:
    """The value of a text field; None where it was not sent.

    Raises:
        InvalidInputError: it was sent twice, or is a file.
    """
    found = texts_of(form, name)
    if len(found) > 1:
        raise InvalidInputError(f"{name} is sent {len(found)} times; send it once")
    return found[0].strip() if found else None


def number_of(text: str) -> float:
    """The threshold.

    Raises:
        InvalidInputError: it is no number.
    """
    try:
        return float(text)
    except ValueError:
        low, high = THRESHOLD_RANGE
        raise InvalidInputError(f"threshold is {text[:40]!r}; give a number in [{low}, {high}]") from None


def _clicks(text: str | None) -> tuple[Click, ...]:
    """What the field `clicks` says: a JSON list of `{"x": 10.5, "y": 20, "changed": true}`."""
    wrong = 'clicks cannot be read; send a JSON list of {"x": 10.5, "y": 20, "changed": true}'
    try:
        told = json.loads(text) if text else []
    except (ValueError, RecursionError):
        raise InvalidInputError(wrong) from None
    if not isinstance(told, list):
        raise InvalidInputError(wrong)
    clicks = []
    for each in told:
        match each:
            case {"x": int() | float() as x, "y": int() | float() as y, "changed": bool() as changed, **rest}:
                # A truth value is a number to Python.
                if rest or isinstance(x, bool) or isinstance(y, bool):
                    raise InvalidInputError(wrong)
            case _:
                raise InvalidInputError(wrong)
        try:
            clicks.append(Click(x=float(x), y=float(y), changed=changed))
        except OverflowError:
            raise InvalidInputError(wrong) from None
    return tuple(clicks)


def choice_of(form: FormData, name: str, kind: type[Choice], default: Choice) -> Choice:
    """The value of a field that takes some words.

    Raises:
        InvalidInputError: as `one_of`, or it is another word.
    """
    text = one_of(form, name)
    if text is None:
        return default
    try:
        return kind(text)
    except ValueError:
        raise InvalidInputError(f"{name} is {text[:40]!r}; use {', '.join(kind)}") from None


def flag_of(form: FormData, name: str) -> bool:
    """The value of a field that is true or false; false where it was not sent.

    Raises:
        InvalidInputError: as `one_of`, or it is another word.
    """
    text = one_of(form, name)
    if text is None:
        return False
    flag = _FLAGS.get(text.lower())
    if flag is None:
        raise InvalidInputError(f"{name} is {text[:40]!r}; use true or false")
    return flag
