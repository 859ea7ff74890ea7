"""The first screen: stream, chat and memory are visible together without scrolling, and one cursor links them."""

from __future__ import annotations

import re

import pytest
from conftest import until
from playwright.sync_api import expect
from test_page import ask, board, start, turns, wait_frames

SIZES = [(1440, 900), (1280, 720)]


def parts(page):
    return {
        "stream": page.get_by_role("region", name="Stream", exact=True),
        "chat": page.get_by_role("region", name="Chat", exact=True),
        "question": page.get_by_label("Your question"),
        "filmstrip": page.get_by_role("img", name="Filmstrip", exact=True),
        "heatmap": page.get_by_role("img", name="Layer heatmap", exact=True),
        "modes": page.get_by_role("radiogroup", name="What the cells show"),
        "timeline": page.get_by_role("img", name="Retention timeline", exact=True),
        "meters": page.locator(".hl-meters"),
        "controls": page.get_by_role("group", name="Memory of the stream"),
    }


def off_first_screen(page, width, height):
    """Names of the parts that are missing, too small, or not entirely on the first screen."""
    found = []
    for name, part in parts(page).items():
        box = part.bounding_box()
        inside = box and box["x"] >= 0 and box["y"] >= 0 and box["width"] > 40 and box["height"] > 12
        if not (inside and box["x"] + box["width"] <= width and box["y"] + box["height"] <= height):
            found.append((name, box))
    return found


def wait_until_it_fits(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    until(
        page,
        lambda: not off_first_screen(page, width, height),
        lambda: f"not on the first screen: {off_first_screen(page, width, height)}",
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_recording_fits_the_first_screen(open_page, dark):
    """It opens in one of the sizes and is changed to the other: both themes and both sizes are opened once."""
    opened, other = reversed(SIZES) if dark else SIZES
    page = open_page(run="first-card-hermes&t=76", width=opened[0], height=opened[1], dark=dark)
    page.get_by_role("button", name="Pause").click()
    expect(turns(page).nth(3)).to_be_attached()
    for width, height in (opened, other):
        wait_until_it_fits(page, width, height)
        until(page, lambda: whole_answers(page) >= 4, "fewer than four answers are in sight")


def whole_answers(page):
    """Number of questions and answers that are entirely in sight."""
    log = page.get_by_role("list", name="Questions and answers").bounding_box()
    shown = [turn.bounding_box() for turn in turns(page).all()]
    return sum(box["y"] >= log["y"] - 1 and box["y"] + box["height"] <= log["y"] + log["height"] + 1 for box in shown)


def test_a_live_stream_fits_the_first_screen(open_page):
    page = open_page(width=SIZES[1][0], height=SIZES[1][1])
    start(page)
    wait_frames(page, 12)
    ask(page, "What is shown now?")
    expect(turns(page).first).to_have_attribute("data-state", "done")
    for width, height in reversed(SIZES):
        wait_until_it_fits(page, width, height)


def test_a_tablet_shows_two_columns_and_a_phone_keeps_the_heatmap_above_the_chat(open_page):
    page = open_page(run="first-card-hermes&t=76", width=768, height=1024)
    page.get_by_role("button", name="Pause").click()
    stream, chat = (parts(page)[name].bounding_box() for name in ("stream", "chat"))
    memory = page.get_by_role("region", name="Memory board").bounding_box()
    assert memory["x"] >= stream["x"] + stream["width"]
    assert memory["y"] == pytest.approx(stream["y"], abs=2)
    assert chat["x"] == pytest.approx(stream["x"], abs=2)
    assert chat["y"] >= stream["y"] + stream["height"]

    page = open_page(run="first-card-hermes&t=76", width=390, height=844)
    page.get_by_role("button", name="Pause").click()
    order = [parts(page)[name].bounding_box()["y"] for name in ("stream", "heatmap", "chat", "timeline")]
    assert order == sorted(order)
    assert small_targets(page) == []
    page.get_by_label("Your question").scroll_into_view_if_needed()
    page.mouse.wheel(0, 300)
    heatmap = parts(page)["heatmap"]
    expect(heatmap).to_be_in_viewport()
    assert heatmap.bounding_box()["y"] < 200


def small_targets(page):
    """Targets that are too small for a finger."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.hl-player, .hl-quick, .hl-chat, .hl-memory')].flatMap((part) =>
        [...part.querySelectorAll('button, summary, select, [role="radio"]')])
        .filter(node => node.checkVisibility() && !node.closest('.hl-hidden'))
        .filter(node => {
          const after = getComputedStyle(node, '::after');
          const grown = after.position === 'absolute' ? -2 * parseFloat(after.inset || 0) : 0;
          const box = node.getBoundingClientRect();
          return box.width + grown < 28 || box.height + grown < 28;
        }).map(node => node.outerHTML.slice(0, 120))"""
    )


def test_one_cursor_links_figures_player_and_chat_and_an_answer_shows_what_it_read(open_page):
    page = open_page(run="first-card-hermes&t=76")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").wait_for()
    heatmap = board(page)
    box = heatmap.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.5)
    mark = page.locator(".hl-cursor")
    expect(mark).to_be_visible()
    at = mark.bounding_box()["x"]
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.5)
    assert mark.bounding_box()["x"] < at
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


def test_the_source_panel_covers_the_picture_and_closes(open_page):
    page = open_page()
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
