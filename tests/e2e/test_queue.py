"""Two visitors and one live slot, and a live stream on paper and with changed settings."""

from __future__ import annotations

import re

import pytest
from conftest import App, tabs, until
from playwright.sync_api import expect
from test_page import HALF_HOUR, answered, ask, start, turns, wait_frames
from test_runs_page import BLANK, DRAWN


@pytest.fixture
def two_pages(tmp_path, shared_context):
    """Opens pages of a server with one live slot."""
    app = App(tmp_path, "--streams", "1").wait()
    with tabs(app, shared_context) as (make, troubles):
        yield make
    app.close()
    assert troubles == []


def test_the_second_visitor_starts_when_the_first_stream_ends(two_pages):
    first = two_pages()
    start(first, clip=HALF_HOUR, speed="4×")
    wait_frames(first, 8)
    second = two_pages(width=1280, height=720)
    second.get_by_role("button", name="Start", exact=True).click()
    waiting = second.get_by_role("status").filter(has_text="All live slots are busy; recordings still work.")
    expect(waiting).to_contain_text("You are next. Your stream starts automatically when it is your turn.")
    inside = waiting.bounding_box()
    screen = second.locator(".hl-screen").bounding_box()
    assert inside["x"] >= screen["x"]
    assert inside["y"] + inside["height"] <= screen["y"] + screen["height"], "the notice moves nothing"

    # A change of the settings is marked, and every figure of the live board is printed.
    budget = first.get_by_role("spinbutton", name="Budget")
    budget.fill("64")
    budget.press("Enter")
    expect(first.get_by_role("group", name="Memory of the stream")).to_have_attribute("data-budget", "64")
    timeline = first.get_by_role("img", name="Retention timeline")
    until(first, lambda: "Changed here: budget 512 → 64" in tip_over(first, timeline), "no change is marked")
    ask(first, "What is shown now?")
    answered(turns(first).first)
    until(first, lambda: first.evaluate(BLANK) == 0, "a figure on the screen is empty")
    first.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert first.evaluate(DRAWN) > 5
    assert first.evaluate(BLANK) == 0
    first.evaluate("dispatchEvent(new Event('afterprint'))")

    second.get_by_role("tab", name="Recorded").click()
    second.get_by_role("radio").first.click()
    expect(second.get_by_text("Recorded run", exact=True)).to_be_visible()
    expect(waiting).to_be_visible()
    first.get_by_role("button", name="Stop", exact=True).click()
    expect(first.get_by_role("button", name="Play again")).to_be_visible()
    expect(second.get_by_role("alert")).to_contain_text("Your stream has started")
    expect(second.get_by_role("tab", name="Clips")).to_have_attribute("aria-selected", "true")
    expect(waiting).to_be_hidden()
    wait_frames(second, 2)
    ask(first, "What was shown before?")
    expect(turns(first).last).to_have_attribute("data-state", re.compile("done"))
    second.close()  # a closed page frees the slot
    first.get_by_role("button", name="Play again").click()
    expect(first.get_by_role("button", name="Pause")).to_be_visible()


def tip_over(page, figure):
    """Text of the tooltip, moving the pointer along a figure from right to left until it names a change."""
    box = figure.bounding_box()
    for x in range(int(box["width"]) - 60, 20, -4):
        page.mouse.move(box["x"] + x, box["y"] + box["height"] / 3)
        text = page.locator(".hl-tip").first.text_content() or ""
        if "Changed here" in text:
            return text
    return ""
