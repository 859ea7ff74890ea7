"""The lab report in a browser: its figures are drawn without a network, and its tables are readable without JavaScript."""

from pathlib import Path

import pytest
from conftest import new_context
from playwright.sync_api import expect

REPORT = Path(__file__).parents[2] / "assets" / "lab" / "hermes-plus" / "lab.html"


@pytest.fixture
def open_report(browser):
    contexts = []

    def make(**options):
        context = new_context(browser, viewport={"width": 1100, "height": 900}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith("file:") else faults.append(request.url))
        page.goto(REPORT.as_uri())
        return page, faults

    yield make
    for context in contexts:
        context.close()


PAPER = "getComputedStyle(document.querySelector('.main-svg')).backgroundColor"
BODY = "getComputedStyle(document.body).backgroundColor"


def test_figures_are_drawn_offline_in_the_reader_s_colours(open_report):
    page, faults = open_report(color_scheme="dark")
    plots = page.locator("[data-figure]")
    page.wait_for_function(
        "[...document.querySelectorAll('[data-figure]')].every((box) => box.querySelector('.main-svg'))"
    )
    assert plots.count() > 5
    page.wait_for_function(f"{PAPER} === {BODY}")
    dark = page.evaluate(PAPER)
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"dark => {PAPER} !== dark && {PAPER} === {BODY}", arg=dark)
    assert faults == []


def test_without_javascript_the_tables_remain(open_report):
    page, _ = open_report(java_script_enabled=False)
    expect(page.get_by_text("JavaScript is off")).to_be_visible()
    expect(page.locator("[data-figure]").first).to_be_hidden()
    page.locator("summary").first.click()
    expect(page.locator("details td").first).to_be_visible()
