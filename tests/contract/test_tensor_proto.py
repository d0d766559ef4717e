"""`tensor.proto` and `reasoncd/tensors.py` say the same."""

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from reasoncd.tensors import ITEM_SIZE, Tensor

pytestmark = pytest.mark.contract

PROTOS = Path(__file__).resolve().parents[2] / "protos"


def _buf() -> str:
    found = shutil.which("buf", path=sysconfig.get_path("scripts")) or shutil.which("buf")
    if found is None:
        pytest.skip("buf is not installed; run `make tools`")
    return found


@pytest.fixture(scope="module")
def descriptor() -> dict[str, Any]:
    command = [_buf(), "build", "--as-file-descriptor-set", "-o", "-#format=json"]
    built = subprocess.run(command, cwd=PROTOS, capture_output=True, text=True, check=True)
    files = json.loads(built.stdout)["file"]
    (file,) = [file for file in files if file["name"] == "reasoncd/v1/tensor.proto"]
    return dict(file)


def test_protos_pass_buf_lint() -> None:
    result = subprocess.run([_buf(), "lint"], cwd=PROTOS, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_same_dtypes(descriptor: dict[str, Any]) -> None:
    (enum,) = descriptor["enumType"]
    names = [value["name"].removeprefix("DATA_TYPE_").lower() for value in enum["value"]]
    assert names[0] == "unspecified"
    assert set(names[1:]) == set(ITEM_SIZE)


def test_same_fields(descriptor: dict[str, Any]) -> None:
    (message,) = descriptor["messageType"]
    fields = {field["name"]: (field["number"], field["type"], field["label"]) for field in message["field"]}
    assert set(fields) == set(Tensor.__dataclass_fields__)
    # Numbers and types are for ever: what was written once must stay readable.
    assert fields == {
        "dtype": (1, "TYPE_ENUM", "LABEL_OPTIONAL"),
        "shape": (2, "TYPE_INT64", "LABEL_REPEATED"),
        "data": (3, "TYPE_BYTES", "LABEL_OPTIONAL"),
    }
