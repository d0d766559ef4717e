"""What a reader does with the page: give images, ask, look, correct, download."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from gateway.pipeline import Pipeline
from gateway.server.page import BUILT
from tests.gateway.clicked_decoder import ClickedDecoder
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner
from tests.gateway.server.conftest import Served, scene, served
from tests.page.conftest import DESKTOP, PHONE, Watched
from tests.page.screen import Colour, eventually, is_marked, on_map, shown_at

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("page")]

AXE = BUILT.parent / "node_modules" / "axe-core" / "axe.min.js"
QUESTION = "new buildings"
# Of `scene`; its one box that became bright has 16 x 24 pixels from row 16 and column 24 on.
HEIGHT, WIDTH = 64, 96
SIZE = WIDTH, HEIGHT


def upload(page: Page, first: bytes, second: bytes, name: str = "png") -> None:
    for slot, data in (("t1", first), ("t2", second)):
        page.locator(f"#file-{slot}").set_input_files(
            {"name": f"{slot}.{name}", "mimeType": f"image/{name}", "buffer": data}
        )
    expect(page.get_by_role("slider", name="Swipe")).to_be_visible()


def ask(page: Page, question: str = QUESTION) -> None:
    page.get_by_label("Question in plain words").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".downloads")).to_be_visible()


def click_map(page: Page, x: float, y: float) -> None:
    page.mouse.click(*on_map(page, SIZE, x, y))


def colours(page: Page, x: float, y: float) -> Colour:
    return shown_at(page, SIZE, x, y)


def download(page: Page, button: str) -> bytes:
    with page.expect_download() as begun:
        page.get_by_role("button", name=button).click()
    return Path(begun.value.path()).read_bytes()


@pytest.fixture
def asked(watched: Watched) -> Watched:
    upload(watched.page, *scene())
    ask(watched.page)
    return watched


def test_an_uploaded_pair_is_asked_about(asked: Watched) -> None:
    page = asked.page
    expect(page.locator(".answer-text")).to_contain_text("New buildings: 1 place")
    expect(page.locator(".figures")).to_contain_text("Presence")
    eventually(lambda: is_marked(colours(page, 36, 20)), page)
    assert not is_marked(colours(page, 70, 50))
    asked.check()


def test_the_answer_is_written_as_it_comes(watched: Watched) -> None:
    """Pieces of the text are shown in order; the last of them is the answer that agrees with the map."""
    page = watched.page
    page.evaluate(
        """() => {
        window.seen = [];
        const text = document.querySelector('.answer-text');
        const see = () => window.seen.push(text.textContent);
        new MutationObserver(see).observe(text, {childList: true, characterData: true, subtree: true}) }"""
    )
    upload(page, *scene())
    ask(page)
    seen = page.evaluate("window.seen")
    assert "New buildings: " in seen
    assert seen[-1].startswith("New buildings: 1 place")
    watched.check()


def test_the_swipe_is_moved_by_keys_and_by_hand(asked: Watched) -> None:
    page = asked.page
    page.get_by_label("Opacity").fill("0")
    handle = page.get_by_role("slider", name="Swipe")
    handle.press("End")
    expect(handle).to_have_attribute("aria-valuenow", "100")
    # Left of the handle is the earlier image, where the box is not yet bright.
    eventually(lambda: colours(page, 36, 20)[0] < 100, page)
    handle.press("Home")
    eventually(lambda: colours(page, 36, 20)[0] > 150, page)
    handle.press("ArrowRight")
    expect(handle).to_have_attribute("aria-valuenow", "2")

    box = handle.bounding_box()
    ground = page.locator(".map-ground").bounding_box()
    assert box and ground
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(ground["x"] + ground["width"] * 0.75, box["y"] + 100, steps=4)
    page.mouse.up()
    expect(handle).to_have_attribute("aria-valuenow", "75")
    asked.check()


def test_threshold_and_opacity_act_without_asking_the_server(asked: Watched) -> None:
    page = asked.page
    eventually(lambda: is_marked(colours(page, 36, 20)), page)
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url))
    page.get_by_label("Threshold").fill("0.01")
    expect(page.locator(".figures")).to_contain_text("Changed at 0.01")
    expect(page.locator(".figures")).to_contain_text("100.0 %")
    eventually(lambda: is_marked(colours(page, 70, 50)), page)
    page.get_by_label("Threshold").fill("0.4")
    eventually(lambda: not is_marked(colours(page, 70, 50)), page)
    page.get_by_label("Opacity").fill("0")
    eventually(lambda: not is_marked(colours(page, 36, 20)), page)
    assert calls == []
    asked.check()


def test_a_place_tells_its_figures(asked: Watched) -> None:
    page = asked.page
    click_map(page, 36, 24)
    expect(page.locator(".place")).to_contain_text("384 pixels")
    expect(page.locator(".place")).to_contain_text("mean probability")
    click_map(page, 80, 60)
    expect(page.locator(".place")).to_have_text("Nothing is marked at this point.")
    asked.check()


def test_marks_correct_the_map(asked: Watched, decoder: ClickedDecoder) -> None:
    page = asked.page
    page.get_by_label("+ Changed").check()
    click_map(page, 80, 50)
    click_map(page, 10, 50)
    page.get_by_label("Unchanged").check()
    click_map(page, 30, 20)
    page.get_by_role("button", name="Undo mark").click()
    page.get_by_role("button", name="Correct with 2 marks").click()
    expect(page.locator(".badge", has_text="corrected")).to_be_visible()
    assert decoder.rounds, "the marks did not reach the decoder"
    points = {(round(x), round(y)) for clicked, _ in decoder.rounds for x, y in clicked}
    assert points
    # The decoder draws a square of 8 pixels about a mark that says "changed".
    eventually(lambda: is_marked(colours(page, 77, 47)), page)
    expect(page.locator(".history-item")).to_have_count(1)
    asked.check()


def test_questions_of_the_pair_are_shown_again(asked: Watched) -> None:
    page = asked.page
    ask(page, "lost buildings")
    expect(page.locator(".history-item")).to_have_count(2)
    expect(page.locator(".answer-text")).to_contain_text("no such change is seen")
    page.locator(".history-item", has_text="new buildings").click()
    expect(page.locator(".answer-text")).to_contain_text("1 place")
    eventually(lambda: is_marked(colours(page, 36, 20)), page)
    # Another pair has other questions.
    upload(page, *scene(seed=1))
    expect(page.locator(".history-item")).to_have_count(0)
    asked.check()


def test_everything_can_be_downloaded(asked: Watched) -> None:
    page = asked.page
    places: dict[str, Any] = json.loads(download(page, "GeoJSON"))
    assert [place["properties"]["area_px"] for place in places["features"]] == [384]
    change = np.asarray(Image.open(io.BytesIO(download(page, "Map (PNG)"))).convert("L"))
    assert change.shape == (HEIGHT, WIDTH)
    assert set(np.unique(change)) == {0, 255} and int((change == 255).sum()) == 384
    probability = np.asarray(Image.open(io.BytesIO(download(page, "Probability (PNG)"))).convert("L"))
    # The decoder's logit is -2 where nothing changed.
    assert set(np.unique(probability)) == {30, 255}

    # At another threshold the server draws the polygons anew, with the meaning it gave.
    page.get_by_label("Threshold").fill("0.01")
    places = json.loads(download(page, "GeoJSON"))
    assert [place["properties"]["area_px"] for place in places["features"]] == [HEIGHT * WIDTH]
    asked.check()


def test_the_sample_is_there_to_try(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("button", name="Try the sample").click()
    expect(page.get_by_role("slider", name="Swipe")).to_be_visible()
    page.get_by_role("button", name="Where are new buildings?").click()
    page.get_by_label("Question in plain words").press("Enter")
    expect(page.locator(".answer-text")).to_contain_text("New buildings")
    expect(page.locator(".downloads")).to_be_visible()
    watched.check()


def test_files_are_dropped(watched: Watched) -> None:
    """Both at once, on either place."""
    page = watched.page
    data = [list(data) for data in scene()]
    page.evaluate(
        """(files) => { const data = new DataTransfer();
        files.forEach((bytes, at) => data.items.add(
            new File([new Uint8Array(bytes)], `d${at + 1}.png`, {type: 'image/png'})));
        document.querySelector('label[for=file-t1]').dispatchEvent(
            new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})) }""",
        data,
    )
    expect(page.locator(".pair")).to_contain_text("d1.png")
    expect(page.locator(".pair")).to_contain_text("d2.png")
    ask(page)
    watched.check()


def test_a_tiff_is_shown_too(watched: Watched) -> None:
    page = watched.page
    images = []
    for data in scene():
        sink = io.BytesIO()
        Image.open(io.BytesIO(data)).save(sink, "TIFF", compression="tiff_deflate")
        images.append(sink.getvalue())
    upload(page, images[0], images[1], "tiff")
    page.get_by_role("slider", name="Swipe").press("Home")
    eventually(lambda: colours(page, 36, 20) == (200, 200, 200), page)
    ask(page)
    watched.check()


def test_mistakes_are_told_in_a_sentence(watched: Watched) -> None:
    page = watched.page
    for slot, data in (("t1", scene()[0]), ("t2", scene(96, 96)[1])):
        page.locator(f"#file-{slot}").set_input_files(
            {"name": f"{slot}.png", "mimeType": "image/png", "buffer": data}
        )
    expect(page.get_by_role("alert")).to_contain_text("give two images of one size")
    page.locator("#file-t2").set_input_files(
        {"name": "words.png", "mimeType": "image/png", "buffer": b"these are words"}
    )
    expect(page.get_by_role("alert")).to_contain_text("words.png")
    watched.check()
    # What the server refuses is shown in its words.
    upload(page, *(scene(8, 8)))
    page.get_by_label("Question in plain words").fill(QUESTION)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("16")
    assert watched.foreign == []


def test_a_gateway_with_tokens_asks_for_one(browser: Browser, built: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[token]]\nname = "analyst"\ntoken = "a-token-of-24-characters"\n')
    model = Pipeline(DifferenceEncoder(), WordReasoner(), SignDecoder())
    with served(model, tokens=tokens) as running:
        context = browser.new_context(viewport=DESKTOP)
        page = context.new_page()
        page.goto(running.addresses.http)
        dialog = page.get_by_role("dialog", name="Access token")
        expect(dialog).to_be_visible()
        page.get_by_label("Token", exact=True).fill("a-token-of-24-characters")
        page.get_by_label("Token", exact=True).press("Enter")
        expect(dialog).to_be_hidden()
        upload(page, *scene())
        ask(page)
        context.close()


def test_all_of_it_works_with_the_keyboard(watched: Watched) -> None:
    page = watched.page
    upload(page, *scene())
    page.get_by_label("Question in plain words").focus()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".downloads")).to_be_visible()
    ground = page.locator(".map-ground")
    ground.focus()
    for key in ("ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        page.wait_for_timeout(300)
    # Enter acts at the centre; the cross shows where that is.
    page.keyboard.press("Enter")
    expect(page.locator(".place")).to_contain_text("384 pixels")
    reached: set[str] = set()
    page.locator("header a").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.getAttribute('role') || document.activeElement.id || "
                "document.activeElement.textContent"
            )
        )
    assert {"application", "slider", "opacity", "threshold", "mode-look", "query", "GeoJSON"} <= reached
    watched.check()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_accessible_and_fits(
    browser: Browser, server: Served, scheme: Any, size: Any, tmp_path: Path
) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme)
    watched = Watched(context.new_page(), server.addresses.http)
    page = watched.page
    page.goto(server.addresses.http)
    upload(page, *scene())
    ask(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # Run past the page's own policy, which lets no script in that it did not bring.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "axe.run().then(r => r.violations.map(v => [v.impact, v.id, v.nodes.map(n => n.html)]))"
    )
    assert [one for one in found if one[0] in ("serious", "critical")] == []
    shown: Locator = page.get_by_role("button", name="Ask", exact=True)
    shown.scroll_into_view_if_needed()
    expect(shown).to_be_visible()
    watched.check()
    context.close()
