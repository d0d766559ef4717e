"""`tensor.proto` and `reasoncd/tensors.py` say the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from reasoncd.tensors import ITEM_SIZE, Tensor
from tests.contract.conftest import Buf

pytestmark = pytest.mark.contract

PROTOS = Path(__file__).resolve().parents[2] / "protos"


@pytest.fixture(scope="module")
def descriptor(buf: Buf) -> dict[str, Any]:
    built = buf("build", "--as-file-descriptor-set", "-o", "-#format=json", folder=PROTOS)
    assert built.returncode == 0, built.stderr
    files = json.loads(built.stdout)["file"]
    (file,) = [file for file in files if file["name"] == "reasoncd/v1/tensor.proto"]
    return dict(file)


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
