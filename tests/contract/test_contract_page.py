"""`docs/contract.md` and its examples: what they show runs, and what they list is all there is."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gateway.pipeline import Pipeline
from gateway.remote.calls import APPLICATION_KEY
from gateway.remote.config import Application
from reasoncd.errors import Code
from reasoncd.rpc.guard import TIMEOUT_KEY
from reasoncd.rpc.scope import REQUEST_ID_KEY
from reasoncd.rpc.status import ERROR_TRAILER, RETRY_TRAILER
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner
from tests.gateway.served import served

pytestmark = pytest.mark.contract

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "docs" / "examples"
BOX = "New buildings: 1 place, 5.0 % of the area."


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with served(Pipeline(DifferenceEncoder(), WordReasoner(), SignDecoder())) as target:
        yield target


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with `t1.png` and `t2.png`, 96 x 80 with a new box of 24 x 16."""
    pixels: NDArray[np.uint8] = np.full((80, 96, 3), 65, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "t1.png")
    pixels[32:48, 40:64] = 200
    Image.fromarray(pixels).save(tmp_path / "t2.png")
    return tmp_path


def _run(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=work, env=environment, capture_output=True, text=True, check=False
    )


def test_the_example_with_stubs(gateway: str, work: Path) -> None:
    script = str(EXAMPLES / "ask_with_stubs.py")
    done = _run(work, script, gateway, "t1.png", "t2.png", "map.png", "Where are new buildings?")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == BOX
    change = np.asarray(Image.open(work / "map.png"))
    assert change[32:48, 40:64].all()
    assert np.count_nonzero(change) == 16 * 24
    (work / "t2.png").write_bytes(b"no image")
    done = _run(work, script, gateway, "t1.png", "t2.png", "map.png", "Where are new buildings?")
    assert done.returncode == 1
    assert done.stderr.startswith("INVALID_ARGUMENT (INVALID_ARGUMENT): image_t2 is not a PNG")


def test_the_example_over_reflection_alone(gateway: str, work: Path) -> None:
    script = EXAMPLES / "ask_by_reflection.py"
    assert "import reasoncd" not in script.read_text()
    assert "from reasoncd" not in script.read_text()
    # Isolated, so that nothing of this repository can be found by accident.
    done = _run(work, "-I", str(script), gateway, "t1.png", "t2.png", "new buildings", "how is the weather?")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "encode 1/1" in lines
    assert f"0: Roofs stand on what were fields. {BOX}" in lines
    assert any(line.startswith("1: This question is not about a change") for line in lines)


def test_the_page_shows_python_that_runs(gateway: str, work: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    done = _run(work, "-c", block.replace("localhost:50051", gateway))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{BOX} (80, 96) FeatureCollection" in done.stdout


def test_every_call_is_listed() -> None:
    calls = [
        (service.name, call.name)
        for proto in sorted((ROOT / "protos" / "reasoncd" / "v1").glob("*.proto"))
        for service in import_module(f"reasoncd.v1.{proto.stem}_pb2").DESCRIPTOR.services_by_name.values()
        for call in service.methods
    ]
    listed: list[tuple[str, str]] = []
    service = ""
    for first, call in re.findall(r"^\| (`\w+`)? ?\| `(\w+)` \|", PAGE, flags=re.MULTILINE):
        service = first.strip("`") or service
        listed.append((service, call))
    assert sorted(listed) == sorted(calls)
    assert all(f"application `{name}`" in PAGE for name in Application.__args__)  # type: ignore[attr-defined]


def test_every_metadata_key_is_listed() -> None:
    listed = set(re.findall(r"^\| `([a-z-]+)` \| (?:caller|trailer) \|", PAGE, flags=re.MULTILINE))
    ours = {REQUEST_ID_KEY, TIMEOUT_KEY, APPLICATION_KEY, ERROR_TRAILER, RETRY_TRAILER}
    assert listed == ours | {"authorization", "traceparent"}


def test_every_status_is_listed() -> None:
    table = PAGE.partition("| status |")[2].partition("\n\n")[0]
    assert set(re.findall(r"\b[A-Z]{3,}(?:_[A-Z]+)?\b", table)) == {code.value for code in Code}


def test_the_digest_is_as_described() -> None:
    import hashlib

    from reasoncd.tensors import Tensor

    for shape in ((2, 3), (6,)):
        tensor = Tensor(dtype="bfloat16", shape=shape, data=bytes(range(12)))
        text = f"bfloat16({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
        assert hashlib.sha256(text.encode("ascii") + tensor.data).hexdigest() == tensor.digest


def test_the_client_needs_only_its_extra(gateway: str, work: Path) -> None:
    """Neither torch nor what else a server needs is loaded by asking with files."""
    code = f"""
import sys
from reasoncd.client import ReasonCDClient
with ReasonCDClient("{gateway}") as client:
    client.detect("t1.png", "t2.png", "new buildings")
extra = {{"torch", "PIL", "rasterio", "opentelemetry", "prometheus_client", "ray", "gateway", "services"}}
raise SystemExit(f"loaded: {{sorted(extra & set(sys.modules))}}" if extra & set(sys.modules) else 0)
"""
    done = _run(work, "-c", code)
    assert done.returncode == 0, done.stderr
