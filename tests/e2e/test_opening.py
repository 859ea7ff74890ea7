"""The page before Gradio has started: it shows the opening moment, and its parts are moved into Gradio's components."""

from __future__ import annotations

import re

import pytest
from conftest import settle, steady
from playwright.sync_api import expect
from test_page import frames, picture, turns, wait_frames

PROGRAM = re.compile(r"/assets/index-[^/]*\.js")


class Gate:
    """Holds Gradio's program back until it is opened."""

    def __init__(self):
        self.held = []
        self.open = False

    def __call__(self, route):
        if self.open:
            route.continue_()
        else:
            self.held.append(route)

    def lift(self):
        self.open = True
        for route in self.held:
            route.continue_()


@pytest.fixture
def gate():
    return Gate()


def without_gradio(open_page, gate, *, clock=False, **more):
    """Open the page without Gradio; `clock`: its time can be advanced."""

    def prepare(page):
        page.route(PROGRAM, gate)
        if clock:
            page.clock.install()

    page = open_page(run=None, before=prepare, **more)
    expect(page.locator("#hl-opening")).to_be_attached()
    expect(page.locator("gradio-app > *")).to_have_count(0)
    return page


def shows_the_moment(page, width):
    """Check that the opening moment is shown, without Gradio."""
    expect(page.get_by_role("img", name=re.compile(r"^Frame \d+ as the model has seen it"))).to_be_visible()
    expect(page.get_by_role("heading", name="HERMES Live")).to_be_visible()
    expect(turns(page).first).to_contain_text("What is shown now?")
    wait_frames(page, 101)
    film = page.get_by_role("application", name=re.compile("^Filmstrip of memory"))
    picture(film)  # it is drawn
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_lessons_that_are_asked_for_early_open(open_page, gate):
    page = without_gradio(open_page, gate, width=390)
    shows_the_moment(page, 390)
    page.get_by_role("button", name="Lessons", exact=True).click()
    gate.lift()
    expect(page.get_by_role("complementary", name="Lessons")).to_be_visible()


def test_gradio_takes_the_parts_over_as_they_are(open_page, gate):
    page = without_gradio(open_page, gate, width=1440)
    shows_the_moment(page, 1440)
    board = page.get_by_role("region", name="Memory board")
    nodes = "[...document.querySelectorAll('.hl-player, .hl-board, .hl-board canvas')]"
    page.evaluate(f"{nodes}.forEach((node) => {{ node.kept = 1; }})")
    places = """['.hl-head h1', '.hl-player', '.hl-quick', '.hl-chat', '.hl-memory', '.hl-below']
        .map((name) => document.querySelector(name).getBoundingClientRect().top)"""
    page.evaluate(
        "document.fonts.load('1em \"Inter Variable\"').then(() => document.fonts.ready)"
    )  # another font breaks lines elsewhere
    before, seen = page.evaluate(places), frames(page)
    page.get_by_role("button", name="Pause").click()  # applied when the server opens the run
    page.get_by_role("button", name="Settings", exact=True).click()  # the drawer does not exist yet
    question = page.get_by_label("Your question")
    question.fill("What was")
    gate.lift()
    expect(page.locator("#hl-opening")).not_to_be_attached()
    assert page.evaluate(places) == pytest.approx(before, abs=2)
    expect(question).to_have_value("What was")
    close = page.get_by_role("button", name="Close the settings")
    expect(close).to_be_visible()
    settle(page)
    expect(question).to_be_focused()  # the drawer that has opened does not take the focus
    close.click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(board).to_have_count(1)
    assert page.evaluate(f"{nodes}.every((node) => node.kept)")
    assert steady(page, lambda: frames(page)) == seen, "the run was not paused"
    expect(turns(page).first.get_by_role("button").first).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(board.get_by_text(re.compile("^1[2-9][0-9] frames seen"))).to_be_visible()  # it continues


SHIFTS = """() => new Promise((done) => {
    let sum = 0;
    const add = (list) => list.getEntries().forEach((entry) => { sum += entry.hadRecentInput ? 0 : entry.value; });
    new PerformanceObserver(add).observe({ type: 'layout-shift', buffered: true });
    requestAnimationFrame(() => setTimeout(() => done(sum), 100));
})"""
"""Sum of the layout shifts since the page was opened."""


def test_the_way_to_the_reasons_and_the_chosen_theme_stay(open_page, gate):
    page = without_gradio(open_page, gate)
    why = turns(page).get_by_role("button", name=re.compile("^Why"))
    expect(why.first).to_be_visible()
    page.get_by_role("button", name="Switch between light and dark").click()
    gate.lift()
    expect(page.locator("#hl-opening")).not_to_be_attached()
    settle(page)
    expect(why.first).to_be_visible()
    assert page.evaluate("document.body.classList.contains('dark')")
    assert page.evaluate(SHIFTS) < 0.02


def test_a_file_that_is_chosen_early_is_uploaded_when_the_server_can_take_it(open_page, gate):
    page = without_gradio(open_page, gate)
    page.get_by_role("tab", name="Upload").click()
    page.locator("#hl-file").set_input_files("tests/data/variable_rate.mp4")
    expect(page.locator(".hl-drop")).to_contain_text("Uploading variable_rate.mp4")
    gate.lift()
    expect(page.locator("#hl-opening")).not_to_be_attached()
    expect(page.locator(".hl-drop")).not_to_contain_text("Uploading")
    expect(page.locator(".hl-drop")).to_contain_text("variable_rate.mp4")
    settle(page)  # the server's first update must not select another source
    expect(page.get_by_role("tab", name="Upload")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_token_history_of_a_frame_that_is_opened_before_gradio_starts(open_page, gate, browser):
    page = without_gradio(open_page, gate, clock=True, within=browser)  # the clock is that of all pages of a context
    page.evaluate("HermesLive.boardView({ frame: 3, layer: 8, view: 'life' })")
    page.clock.run_for(9000)  # longer than a question to the server may stay without an answer
    gate.lift()
    expect(page.locator('[data-view="life"]')).to_contain_text("Frame 4 was seen at")
