"""The built page in a real browser, before a real gateway over small engines."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from gateway.pipeline import Pipeline
from gateway.server.page import BUILT
from tests.gateway.clicked_decoder import ClickedDecoder
from tests.gateway.conftest import DifferenceEncoder, WordReasoner
from tests.gateway.server.conftest import Served, served

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 360, "height": 740}


def chromium() -> str | None:
    """Where the browser is: Debian's, or the one that REASONCD_CHROMIUM names."""
    return os.environ.get("REASONCD_CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="session")
def built() -> Path:
    if not (BUILT / "index.html").is_file():
        pytest.fail("the page is not built; run `make page`, which needs Node")
    return BUILT


@pytest.fixture(scope="module")
def browser(built: Path) -> Iterator[Browser]:
    """Of a module, not of the session: while Playwright runs, no other test can start an event loop."""
    path = chromium()
    if path is None:
        pytest.fail("chromium is not installed; run `make tools` as root, or install it")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def decoder() -> ClickedDecoder:
    return ClickedDecoder()


@pytest.fixture
def server(decoder: ClickedDecoder) -> Iterator[Served]:
    with served(Pipeline(DifferenceEncoder(), WordReasoner(), decoder)) as running:
        yield running


class Watched:
    """A page and what it complained about."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._see(request.url))

    def _see(self, url: str) -> None:
        if not url.startswith((self.url, "blob:", "data:")):
            self.foreign.append(url)

    def check(self) -> None:
        """No error in the console, and no request that leaves the server."""
        assert (self.errors, self.foreign) == ([], [])


@pytest.fixture
def watched(browser: Browser, server: Served) -> Iterator[Watched]:
    """The page as it is opened, on a desktop."""
    context = browser.new_context(viewport=DESKTOP, accept_downloads=True)
    seen = Watched(context.new_page(), server.addresses.http)
    seen.page.goto(server.addresses.http)
    yield seen
    context.close()
