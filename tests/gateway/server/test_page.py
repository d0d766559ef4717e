"""What is served at `/`: the built page under a strict policy, and the samples; and nothing beside them."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from gateway.server.http_models import ERRORS, ErrorBodyModel
from gateway.server.page import NOT_BUILT, SamplesModel, add_page, page_paths
from gateway.server.settings import ServerSettings
from tests.gateway.server.conftest import Served, new_pipeline, served

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(new_pipeline()) as running:
        yield running


def app_with(built: Path) -> TestClient:
    app = FastAPI()
    add_page(app, ServerSettings(), errors=ERRORS, built=built)
    return TestClient(app)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "assets" / "index-1.js").write_text("export {}")
    return folder


def test_the_page_is_served_under_a_policy_that_lets_nothing_out(built: Path) -> None:
    web = app_with(built)
    page = web.get("/")
    assert page.status_code == 200 and "<title>page" in page.text
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "http" not in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-cache"


def test_files_whose_names_change_are_kept_for_ever(built: Path) -> None:
    script = app_with(built).get("/assets/index-1.js")
    assert "immutable" in script.headers["cache-control"]
    assert script.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path", ["/assets/../page.py", "/assets/..%2f..%2fpage.py", "/assets/%2e%2e/page.py", "/assets/none.js"]
)
def test_nothing_beside_the_page_is_served(server: Served, path: str) -> None:
    refused = httpx.get(server.addresses.http + path)
    assert refused.status_code == 404
    assert ErrorBodyModel.model_validate_json(refused.text).error.message


def test_without_a_built_page_it_says_how_to_build_one(tmp_path: Path) -> None:
    page = app_with(tmp_path / "none").get("/")
    assert (page.status_code, page.text) == (503, NOT_BUILT)
    assert "make page" in page.text


def test_all_files_of_the_page_are_uncounted(built: Path) -> None:
    assert page_paths(built) == {"/", "/page.json", "/index.html", "/icon.svg", "/assets/index-1.js"}


def test_samples_are_pairs_to_ask_about(server: Served) -> None:
    body = httpx.get(server.addresses.http + "/v1/samples").text
    samples = SamplesModel.model_validate_json(body).samples
    assert samples
    total = 0
    for sample in samples:
        files = [httpx.get(server.addresses.http + href) for href in (sample.t1, sample.t2)]
        total += sum(len(file.content) for file in files)
        first, second = (Image.open(io.BytesIO(file.content)) for file in files)
        assert first.size == second.size and first.mode == second.mode == "RGB"
        assert sample.questions
    assert total < 600_000


@pytest.mark.parametrize("path", ["new-buildings/t3.png", "none/t1.png", "new-buildings/..%2f..%2fpage.py"])
def test_other_files_are_no_samples(server: Served, path: str) -> None:
    refused = httpx.get(f"{server.addresses.http}/v1/samples/{path}")
    assert refused.status_code == 404
    assert ErrorBodyModel.model_validate_json(refused.text).error.message


def test_the_page_is_told_what_there_is(server: Served, tmp_path: Path) -> None:
    assert httpx.get(server.addresses.http + "/page.json").json() == {"jobs": False, "token": False}
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[token]]\nname = "analyst"\ntoken = "a-token-of-24-characters"\n')
    with served(new_pipeline(), tokens=tokens) as guarded:
        # The page and the samples tell nothing of anybody's images, so they need no token.
        assert httpx.get(guarded.addresses.http + "/page.json").json() == {"jobs": False, "token": True}
        assert httpx.get(guarded.addresses.http + "/v1/samples").status_code == 200


def test_an_installation_holds_the_page_and_the_samples() -> None:
    """As setuptools reads the project's own configuration; nothing is built here."""
    code = (
        "from setuptools import Distribution\n"
        "d = Distribution(); d.parse_config_files(['pyproject.toml'])\n"
        "c = d.get_command_obj('build_py'); c.ensure_finalized(); c.manifest_files = {}\n"
        "print(*c.find_data_files('gateway', 'gateway'), sep='\\n')\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    held = set(run.stdout.split())
    assert {
        "gateway/server/samples/new-buildings/t1.png",
        "gateway/server/samples/new-buildings/t2.png",
    } <= held
    assert not any("node_modules" in name for name in held)
    dist = ROOT / "gateway" / "page" / "dist"
    built = {f"gateway/page/dist/{path.relative_to(dist).as_posix()}" for path in dist.rglob("*.*")}
    assert built <= held
