"""What a served part is told by its environment; each wrong value is one sentence that names the variable.

| variable | means | if not set |
|---|---|---|
| `REASONCD_CHECKPOINT` | folder of the checkpoint | must be set |
| `REASONCD_DEVICE` | torch device: `cpu`, `cuda`, `cuda:0` | `cpu` |
| `REASONCD_DTYPE` | `auto`, `float32` or `bfloat16`, for the parts that can choose | `auto` |
| `REASONCD_THREADS` | torch's threads | what torch takes |
| `REASONCD_CACHE_BYTES` | bound of the features kept, like `536870912` or `512MiB` | 512 MiB |
| `REASONCD_MAX_REQUESTS` | requests held at once, told in Describe | 16 |
| `REASONCD_BATCH_SIZE` | requests computed together at most; 1 switches batching off | 8 |
| `REASONCD_BATCH_WAIT_MS` | pause before a batch that is not full, in ms | 0 |
| `REASONCD_METRICS` | `HOST:PORT` of the metrics' page, one for all replicas of a machine | no page |
| `REASONCD_LOG_LEVEL` | `DEBUG`, `INFO`, `WARNING` or `ERROR` | `INFO` |
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from reasoncd.errors import InvalidInputError
from reasoncd.observability.node import parse_address

CHECKPOINT_VARIABLE = "REASONCD_CHECKPOINT"
DType = Literal["auto", "float32", "bfloat16"]
DTYPES: tuple[DType, ...] = get_args(DType)
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServingSettings:
    """Settings of one replica.

    Raises:
        InvalidInputError: a value is out of its range; the sentence names the variable.
    """

    checkpoint: Path
    """Its folder."""
    device: str = "cpu"
    """A torch device."""
    dtype: DType = "auto"
    """`auto` leaves the choice to the part."""
    threads: int | None = None
    """Of torch; None leaves them as they are."""
    cache_bytes: int = 512 * 2**20
    """Bound of the features kept for further requests."""
    max_requests: int = 16
    """Requests held at once. Serve keeps the bound; here it is only told."""
    batch_size: int = 8
    """Requests computed together at most."""
    batch_wait_s: float = 0.0
    """Pause before a batch that is not full, in seconds."""
    log_level: str = "INFO"
    metrics: str | None = None
    """`HOST:PORT` of the page that all replicas of a machine share."""

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise _wrong("REASONCD_DEVICE", self.device, "cpu, cuda or cuda:NUMBER")
        if self.dtype not in DTYPES:
            raise _wrong("REASONCD_DTYPE", self.dtype, ", ".join(DTYPES))
        if self.threads is not None and self.threads < 1:
            raise _wrong("REASONCD_THREADS", self.threads, "a whole number of at least 1")
        if self.cache_bytes < 0:
            raise _wrong("REASONCD_CACHE_BYTES", self.cache_bytes, "0 or more")
        for variable, number in (
            ("REASONCD_MAX_REQUESTS", self.max_requests),
            ("REASONCD_BATCH_SIZE", self.batch_size),
        ):
            if number < 1:
                raise _wrong(variable, number, "a whole number of at least 1")
        if not 0 <= self.batch_wait_s <= 1:
            raise _wrong("REASONCD_BATCH_WAIT_MS", f"{self.batch_wait_s * 1000:g}", "0 to 1000 milliseconds")
        if self.metrics is not None:
            parse_address(self.metrics)
        if self.log_level not in LOG_LEVELS:
            raise _wrong("REASONCD_LOG_LEVEL", self.log_level, ", ".join(LOG_LEVELS))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "ServingSettings":
        """Read the variables; one that is set to nothing counts as not set.

        Args:
            environment: the process's own if not given.

        Raises:
            InvalidInputError: the checkpoint is not named, or a value cannot be used.
        """
        given = os.environ if environment is None else environment
        told = {name: text.strip() for name, text in given.items() if text.strip()}
        if CHECKPOINT_VARIABLE not in told:
            raise InvalidInputError(f"{CHECKPOINT_VARIABLE} is not set; name the checkpoint's folder in it")
        values = {
            field: convert(variable, told[variable])
            for variable, (field, convert) in _READ.items()
            if variable in told
        }
        return cls(checkpoint=Path(told[CHECKPOINT_VARIABLE]), **values)


def _wrong(variable: str, value: object, right: str) -> InvalidInputError:
    return InvalidInputError(f"{variable} is {value!r}; give {right}")


def _text(variable: str, text: str) -> str:
    return text


def _upper(variable: str, text: str) -> str:
    return text.upper()


def _whole_number(variable: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _wrong(variable, text, "a whole number of at least 1") from None


def _milliseconds(variable: str, text: str) -> float:
    try:
        return float(text) / 1000
    except ValueError:
        raise _wrong(variable, text, "0 to 1000 milliseconds") from None


def _bytes(variable: str, text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*(KiB|MiB|GiB|)", text)
    if found is None:
        raise _wrong(variable, text, "bytes, like 536870912 or 512MiB")
    return int(found[1]) * _UNITS[found[2]]


_READ: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "REASONCD_DEVICE": ("device", _text),
    "REASONCD_DTYPE": ("dtype", _text),
    "REASONCD_THREADS": ("threads", _whole_number),
    "REASONCD_CACHE_BYTES": ("cache_bytes", _bytes),
    "REASONCD_MAX_REQUESTS": ("max_requests", _whole_number),
    "REASONCD_BATCH_SIZE": ("batch_size", _whole_number),
    "REASONCD_BATCH_WAIT_MS": ("batch_wait_s", _milliseconds),
    "REASONCD_LOG_LEVEL": ("log_level", _upper),
    "REASONCD_METRICS": ("metrics", _text),
}
"""Variable to field and how its text is read."""

VARIABLES = (CHECKPOINT_VARIABLE, *_READ)
"""All that are read."""
