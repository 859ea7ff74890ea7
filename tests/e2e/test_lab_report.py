"""The lab report in a browser: its figures are drawn without a network, and its tables are readable without JavaScript."""

from pathlib import Path

import pytest
from conftest import PATIENCE

REPORT = Path(__file__).parents[2] / "assets" / "lab" / "hermes-plus" / "lab.html"


@pytest.fixture
def open_report(browser):
    contexts = []

    def make(**options):
        context = browser.new_context(viewport={"width": 1100, "height": 900}, offline=True, **options)
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
    dark = page.evaluate(PAPER)
    assert dark == page.evaluate(BODY)
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"{PAPER} === {BODY}", timeout=PATIENCE * 1000)
    assert page.evaluate(PAPER) != dark
    assert faults == []


def test_without_javascript_the_tables_remain(open_report):
    page, _ = open_report(java_script_enabled=False)
    assert page.get_by_text("JavaScript is off").is_visible()
    assert not page.locator("[data-figure]").first.is_visible()
    page.locator("summary").first.click()
    assert page.locator("details td").first.is_visible()
