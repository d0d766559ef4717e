"""Scenes as jobs, seen from the page: submitted, watched, cancelled, looked at, fetched, deleted."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from rasterio.transform import from_origin

from gateway.jobs.settings import JobSettings
from gateway.pipeline import Pipeline
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner
from tests.gateway.server.conftest import Held, Served, served
from tests.page.conftest import DESKTOP, Watched
from tests.page.screen import eventually, is_marked, on_map, shown_at

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("page")]

WIDTH, HEIGHT = 320, 240
LEFT, TOP, COLUMNS, ROWS = 208, 128, 48, 32
"""Of the one box that became bright."""


@pytest.fixture
def model() -> Held:
    """Answers at once, unless the test takes `go` back."""
    held = Held(Pipeline(DifferenceEncoder(), WordReasoner(), SignDecoder()))
    held.go.set()
    return held


@pytest.fixture
def server(model: Held, tmp_path: Path) -> Iterator[Served]:
    root = tmp_path / "scenes"
    root.mkdir()
    ground = np.full((3, HEIGHT, WIDTH), 65, dtype=np.uint8)
    later = ground.copy()
    later[:, TOP : TOP + ROWS, LEFT : LEFT + COLUMNS] = 200
    place = {"crs": "EPSG:32733", "transform": from_origin(600_000, 7_000_000, 2, 2)}
    for name, pixels in (("before.tif", ground), ("later.tif", later)):
        profile = {"driver": "GTiff", "count": 3, "height": HEIGHT, "width": WIDTH, "dtype": "uint8", **place}
        with rasterio.open(root / name, "w", **profile) as sink:
            sink.write(pixels)
    with served(model, jobs=JobSettings(folder=tmp_path / "jobs", scenes_root=root)) as running:
        yield running
        model.go.set()


@pytest.fixture
def watched(browser: Browser, server: Served) -> Iterator[Watched]:
    context = browser.new_context(viewport=DESKTOP, accept_downloads=True)
    seen = Watched(context.new_page(), server.addresses.http)
    seen.page.goto(server.addresses.http)
    yield seen
    context.close()


def submit(page: Page) -> None:
    page.get_by_text("Scenes on the server").click()
    page.get_by_label("Earlier scene").select_option("before.tif")
    page.get_by_label("Later scene").select_option("later.tif")
    page.get_by_role("button", name="Use these scenes").click()
    page.get_by_label("Question in plain words").fill("new buildings")
    page.get_by_role("button", name="Ask", exact=True).click()


def test_a_job_is_watched_looked_at_fetched_and_deleted(watched: Watched) -> None:
    page = watched.page
    submit(page)
    expect(page.locator('.job[data-state="done"]')).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Show: new buildings").click()
    expect(page.locator(".answer-text")).to_contain_text("New buildings: 1 place")
    size = WIDTH, HEIGHT
    middle = LEFT + COLUMNS / 2, TOP + ROWS / 2
    eventually(lambda: is_marked(shown_at(page, size, *middle)), page)
    assert not is_marked(shown_at(page, size, 40, 40))
    # The polygon lies where the box is: a click in its middle finds it, one beside it does not.
    page.mouse.click(*on_map(page, size, LEFT + 3, TOP + 3))
    expect(page.locator(".place")).to_contain_text("1536 pixels")
    # Of 2 m a side each; a projection's scale differs a little from the ground's.
    expect(page.locator(".place")).to_contain_text("m²")
    page.mouse.click(*on_map(page, size, LEFT - 6, TOP + 3))
    expect(page.locator(".place")).to_have_text("Nothing is marked at this point.")

    page.get_by_role("slider", name="Swipe").press("End")
    page.get_by_label("Opacity").fill("0")
    eventually(lambda: max(shown_at(page, size, *middle)) < 100, page)
    page.get_by_role("slider", name="Swipe").press("Home")
    eventually(lambda: min(shown_at(page, size, *middle)) > 150, page)

    page.get_by_text("Files (").click()
    with page.expect_download() as begun:
        page.get_by_role("button", name="change.tif").click()
    with rasterio.open(io.BytesIO(Path(begun.value.path()).read_bytes())) as change:
        assert change.crs.to_epsg() == 32733
        assert int((change.read(1) == 1).sum()) == ROWS * COLUMNS

    page.get_by_role("button", name="Delete: new buildings").click()
    expect(page.locator(".job")).to_have_count(0)
    watched.check()


def test_views_are_read_by_range_requests(watched: Watched) -> None:
    page = watched.page
    ranges: dict[str, list[str | None]] = {}

    def see(url: str, asked: str | None) -> None:
        if url.endswith(".tif"):
            ranges.setdefault(url.rpartition("/")[2], []).append(asked)

    page.on("request", lambda request: see(request.url, request.headers.get("range")))
    submit(page)
    expect(page.locator('.job[data-state="done"]')).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Show: new buildings").click()
    eventually(lambda: len(ranges) == 3, page)
    assert set(ranges) == {"t1_view.tif", "t2_view.tif", "probability.tif"}
    assert all(asked is not None for all_asked in ranges.values() for asked in all_asked)


def test_a_job_is_cancelled_while_it_runs(watched: Watched, model: Held) -> None:
    page = watched.page
    model.go.clear()
    submit(page)
    expect(page.locator('.job[data-state="running"]')).to_be_visible(timeout=30_000)
    expect(page.get_by_role("progressbar", name="Progress: new buildings")).to_be_visible()
    page.get_by_role("button", name="Cancel: new buildings").click()
    expect(page.locator('.job[data-state="cancelled"]')).to_be_visible(timeout=30_000)
    expect(page.get_by_role("button", name="Show: new buildings")).to_have_count(0)
    watched.check()


def test_jobs_are_still_listed_when_the_page_is_opened_again(watched: Watched) -> None:
    page = watched.page
    submit(page)
    expect(page.locator('.job[data-state="done"]')).to_be_visible(timeout=60_000)
    page.reload()
    expect(page.locator('.job[data-state="done"]')).to_contain_text("new buildings")
    watched.check()


def test_uploaded_geotiffs_can_be_a_job(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    for slot, name in (("t1", "before.tif"), ("t2", "later.tif")):
        page.locator(f"#file-{slot}").set_input_files(tmp_path / "scenes" / name)
    page.get_by_label("As a job").check()
    page.get_by_label("Question in plain words").fill("new buildings")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator('.job[data-state="done"]')).to_be_visible(timeout=60_000)
    watched.check()


def test_pictures_cannot_be_a_job(watched: Watched) -> None:
    page = watched.page
    sink = io.BytesIO()
    Image.new("RGB", (64, 64)).save(sink, "PNG")
    for slot in ("t1", "t2"):
        page.locator(f"#file-{slot}").set_input_files(
            {"name": "a.png", "mimeType": "image/png", "buffer": sink.getvalue()}
        )
    expect(page.get_by_label("As a job")).to_be_disabled()
    watched.check()
