"""The first screen: one cursor links figures, player and chat; answers lead to the board; the list of sources."""

from __future__ import annotations

import re

from conftest import started, steady, until
from playwright.sync_api import expect
from test_page import board, pause, turns


def test_one_cursor_links_figures_player_and_chat_and_an_answer_shows_what_it_read(open_page):
    page = open_page(run="first-card-hermes&t=76")
    pause(page)
    heatmap = board(page)
    box = heatmap.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.5)
    mark = page.locator(".hl-cursor")
    expect(mark).to_be_visible()
    at = mark.bounding_box()["x"]
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.5)
    until(page, lambda: mark.bounding_box()["x"] < at, "the cursor does not follow the pointer")
    slider = page.get_by_role("slider", name="Position in the run").bounding_box()
    page.mouse.move(slider["x"] + slider["width"] * 0.3, slider["y"] + slider["height"] / 2)
    marked = """(() => {
        const overlay = document.querySelector('[data-view=timeline] .hl-overlay');
        const blank = Object.assign(document.createElement('canvas'), { width: overlay.width, height: overlay.height });
        return overlay.toDataURL() !== blank.toDataURL();
    })()"""
    page.wait_for_function(marked)
    page.mouse.move(5, 5)
    page.wait_for_function(f"!({marked})")
    expect(mark).to_be_hidden()

    # An answer shows what it read.
    turns(page).get_by_role("button", name=re.compile("^Why")).last.click()
    expect(page.get_by_role("tab", name="Why this answer")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("region", name="Why this answer was right or wrong")).to_be_in_viewport()
    turns(page).nth(1).get_by_role(
        "button", name="What it read"
    ).click()  # an earlier answer: the run goes to its moment
    expect(page.locator(".hl-clock")).to_contain_text("0:20")
    expect(page.get_by_role("radio", name="Answer attention")).to_be_checked()
    why = page.get_by_role("region", name="Why this answer was right or wrong")
    expect(why).to_contain_text("What was the first card?")
    expect(page.locator(".hl-run-look")).to_contain_text(
        "tokens per frame of the red triangle (0:01–0:04), and the last answer used it"
    )


COUNT_FRAMES = """window.frames_requested = 0;
const request = window.requestAnimationFrame;
window.requestAnimationFrame = (callback) => {
    window.frames_requested += 1;
    return request.call(window, callback);
};"""
"""Counts the animation frames that scripts request."""


def test_the_source_panel_covers_the_picture_and_closes_and_an_idle_page_draws_nothing(open_page):
    page = open_page(before=lambda page: page.add_init_script(COUNT_FRAMES))
    started(page)
    panel = page.locator("#hl-source")
    expect(panel).to_be_hidden()
    opener = page.locator(".hl-current")
    opener.click()
    expect(panel).to_be_visible()
    page.get_by_role("radiogroup", name="Clips").get_by_role("radio").nth(1).click()
    expect(panel).to_be_hidden()
    expect(opener).to_have_attribute("aria-expanded", "false")
    page.get_by_role("tab", name="Clips").click()
    page.get_by_role("radiogroup", name="Clips").get_by_role("radio").nth(1).focus()
    page.keyboard.press("ArrowDown")
    expect(panel).to_be_visible()  # arrow keys move through the list
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(opener).to_be_focused()
    assert steady(page, lambda: page.evaluate("frames_requested")) > 0
