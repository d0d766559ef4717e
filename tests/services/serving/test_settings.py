"""Every variable is read, and a wrong value is one sentence that names its variable."""

from pathlib import Path

import pytest

from reasoncd.errors import InvalidInputError
from services.serving import settings as settings_module
from services.serving.settings import ServingSettings

pytestmark = pytest.mark.unit


def _read(**variables: str) -> ServingSettings:
    return ServingSettings.from_environment({"REASONCD_CHECKPOINT": "/models/mini", **variables})


def test_all_variables_are_read() -> None:
    read = _read(
        REASONCD_DEVICE="cuda:1",
        REASONCD_DTYPE="bfloat16",
        REASONCD_THREADS="2",
        REASONCD_CACHE_BYTES="3MiB",
        REASONCD_MAX_REQUESTS="5",
        REASONCD_BATCH_SIZE="1",
        REASONCD_BATCH_WAIT_MS="2.5",
        REASONCD_LOG_LEVEL="debug",
    )
    assert read == ServingSettings(
        checkpoint=Path("/models/mini"),
        device="cuda:1",
        dtype="bfloat16",
        threads=2,
        cache_bytes=3 * 2**20,
        max_requests=5,
        batch_size=1,
        batch_wait_s=0.0025,
        log_level="DEBUG",
    )


def test_what_is_not_set_or_empty_takes_its_default() -> None:
    assert _read(REASONCD_THREADS="", REASONCD_DTYPE=" ") == ServingSettings(checkpoint=Path("/models/mini"))


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("123", 123), ("2 KiB", 2048), ("1GiB", 2**30)])
def test_bytes_may_have_a_unit(text: str, size: int) -> None:
    assert _read(REASONCD_CACHE_BYTES=text).cache_bytes == size


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REASONCD_CHECKPOINT", ""),
        ("REASONCD_DEVICE", "gpu"),
        ("REASONCD_DEVICE", "cuda:x"),
        ("REASONCD_DTYPE", "float16"),
        ("REASONCD_THREADS", "0"),
        ("REASONCD_THREADS", "two"),
        ("REASONCD_CACHE_BYTES", "-1"),
        ("REASONCD_CACHE_BYTES", "1GB"),
        ("REASONCD_MAX_REQUESTS", "0"),
        ("REASONCD_BATCH_SIZE", "0"),
        ("REASONCD_BATCH_SIZE", "1.5"),
        ("REASONCD_BATCH_WAIT_MS", "soon"),
        ("REASONCD_BATCH_WAIT_MS", "-1"),
        ("REASONCD_BATCH_WAIT_MS", "nan"),
        ("REASONCD_BATCH_WAIT_MS", "1001"),
        ("REASONCD_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_refused_by_the_variables_name(variable: str, value: str) -> None:
    with pytest.raises(InvalidInputError, match=variable) as refused:
        _read(**{variable: value})
    assert "\n" not in refused.value.message


def test_the_modules_table_names_every_variable() -> None:
    documented = {line.split("`")[1] for line in str(settings_module.__doc__).splitlines() if "| `" in line}
    assert documented == {"REASONCD_CHECKPOINT", *settings_module._READ}
