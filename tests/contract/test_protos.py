"""The contract keeps its promises: stubs are those of the protos, and what was released stays as it was."""

import runpy
import shutil
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from tests.contract.conftest import Buf

pytestmark = pytest.mark.contract

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
RELEASED = PROTOS / "released" / "v1.binpb"


def test_stubs_are_what_the_protos_say(tmp_path: Path) -> None:
    runpy.run_path(str(PROTOS / "generate.py"))["generate"](tmp_path)
    made = {path.name: path.read_text() for path in (tmp_path / "reasoncd" / "v1").iterdir()}
    kept = {
        path.name: path.read_text()
        for path in (ROOT / "reasoncd" / "v1").iterdir()
        if path.is_file() and path.name != "__init__.py"
    }
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == [], "run `make stubs`"


def test_protos_are_clean(buf: Buf) -> None:
    for arguments in (["lint"], ["format", "--diff", "--exit-code"]):
        result = buf(*arguments, folder=PROTOS)
        assert result.returncode == 0, result.stdout


def test_nothing_released_was_broken(buf: Buf) -> None:
    result = buf("breaking", "--against", RELEASED, folder=PROTOS)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_release_holds_every_service() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(RELEASED.read_bytes()).file
    assert {service.name for file in files for service in file.service} == {
        "ChangeDetection",
        "MaskDecoder",
        "Reasoner",
        "VisionEncoder",
    }


def _edited(target: Path, file: str, old: str, new: str) -> Path:
    """A copy of the protos with one edit."""
    shutil.copytree(PROTOS, target)
    path = target / "reasoncd" / "v1" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return target


BREAKS = {
    "a field renumbered": ("tensor.proto", "bytes data = 3;", "bytes data = 4;"),
    "two fields exchanged": (
        "gateway.proto",
        "int32 query = 1;\n  // The piece.\n  string text = 2;",
        "int32 query = 2;\n  // The piece.\n  string text = 1;",
    ),
    "a field removed": ("gateway.proto", "  string model_answer = 3;\n", ""),
    "a field removed, its number kept free": ("gateway.proto", "string model_answer = 3;", "reserved 3;"),
    "a field renamed": ("reasoner.proto", "string query = 2;", "string question = 2;"),
    "a field of another type": (
        "gateway.proto",
        "double changed_fraction = 10;",
        "float changed_fraction = 10;",
    ),
    "a list for one": ("reasoner.proto", "string query = 2;", "repeated string query = 2;"),
    "presence lost": ("gateway.proto", "optional double confidence = 7;", "double confidence = 7;"),
    "a field out of its oneof": (
        "mask_decoder.proto",
        "    DecodedMasks masks = 2;\n  }",
        "  }\n  DecodedMasks masks = 2;",
    ),
    "a message renamed": ("gateway.proto", "DetectDone", "DetectEnd"),
    "a call removed": (
        "gateway.proto",
        "  rpc Detect(DetectRequest) returns (DetectResponse);\n",
        "",
    ),
    "a call with another answer": (
        "mask_decoder.proto",
        "rpc Decode(DecodeRequest) returns (DecodeResponse);",
        "rpc Decode(DecodeRequest) returns (DecodedMasks);",
    ),
    "a stream made unary": (
        "reasoner.proto",
        "rpc Reason(ReasonRequest) returns (stream ReasonResponse);",
        "rpc Reason(ReasonRequest) returns (ReasonResponse);",
    ),
    "a service renamed": ("gateway.proto", "service ChangeDetection {", "service ChangeDetector {"),
    "an enum's value removed": ("tensor.proto", "  DATA_TYPE_INT64 = 4;\n", ""),
    "an enum's value renumbered": ("reasoner.proto", "MODE_EXPLAINED = 2;", "MODE_EXPLAINED = 3;"),
}


@pytest.mark.parametrize("what", BREAKS)
def test_what_would_break_a_caller_is_refused(buf: Buf, tmp_path: Path, what: str) -> None:
    copy = _edited(tmp_path / "protos", *BREAKS[what])
    # Nothing else is wrong with it.
    assert buf("build", folder=copy).returncode == 0
    result = buf("breaking", "--against", RELEASED, folder=copy)
    assert result.returncode != 0, f"{what} was taken"
    assert BREAKS[what][0] in result.stdout


ADDITIONS = {
    "a field": ("gateway.proto", "string model_answer = 3;", "string model_answer = 3;\n  string hint = 99;"),
    "a way to answer": (
        "mask_decoder.proto",
        "DecodedMasks masks = 2;",
        "DecodedMasks masks = 2;\n    DescribeRequest other = 4;",
    ),
    "a call": (
        "reasoner.proto",
        "service Reasoner {",
        "service Reasoner {\n  rpc Rest(DescribeRequest) returns (DescribeResponse);",
    ),
    "an enum's value": (
        "reasoner.proto",
        "MODE_EXPLAINED = 2;",
        "MODE_EXPLAINED = 2;\n  MODE_LONG = 3;",
    ),
    "a message": ("tensor.proto", "message Tensor {", "message Extra {}\n\nmessage Tensor {"),
    "words": ("tensor.proto", "// What one element is.", "// What an element is."),
}


@pytest.mark.parametrize("what", ADDITIONS)
def test_what_only_adds_is_taken(buf: Buf, tmp_path: Path, what: str) -> None:
    copy = _edited(tmp_path / "protos", *ADDITIONS[what])
    result = buf("breaking", "--against", RELEASED, folder=copy)
    assert result.returncode == 0, result.stdout + result.stderr
