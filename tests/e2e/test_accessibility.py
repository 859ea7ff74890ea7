"""axe-core on every view of the page, light and dark, wide and narrow: no serious finding.

`test_screen_sizes.py` checks the first screen of a recording, a live stream and a comparison.
"""

from __future__ import annotations

import re

from axe import violations
from conftest import look
from playwright.sync_api import expect
from test_page import pause

DESKTOP = [(1440, False), (1440, True)]
PHONE = [(390, False), (390, True)]


def findings(page, looks, *within):
    """Serious and critical findings of axe-core in widths and themes.

    `within` selects the parts of the page that have changed since they were checked. The first look is checked by all rules,
    the others only for contrast.
    """
    lines = []
    for number, (width, dark) in enumerate(looks):
        look(page, width, dark)
        lines += [
            f"{width} {'dark' if dark else 'light'}: {line}"
            for line in violations(page, *within, contrast_only=number > 0)
            if "(serious)" in line or "(critical)" in line
        ]
    return lines


def open_tables(page):
    for menu in page.locator(".hl-board .hl-menu").filter(visible=True).all():
        menu.locator("summary").click()
        menu.get_by_role("button", name="Table: ").click()


def test_no_serious_finding_in_a_recorded_run_and_a_lesson(open_page):
    page = open_page(run=None)  # the page as it opens: a recorded run
    pause(page)  # a page that does not change is cheaper to check
    page.locator(".hl-board [data-view=evidence]").scroll_into_view_if_needed()
    page.get_by_role("button", name="Settings", exact=True).click()
    expect(page.get_by_role("dialog", name="Settings")).to_contain_text("For live streams only. This recording: HERMES")
    assert findings(page, DESKTOP, "[role=dialog]") == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Lessons", exact=True).click()
    lessons = page.get_by_role("complementary", name="Lessons")
    lessons.wait_for()
    assert findings(page, DESKTOP, ".hl-lessons") == []
    lessons.get_by_role("button").filter(has_text="KV cache").first.click()
    page.get_by_role("button", name="See what happens").wait_for()
    assert findings(page, DESKTOP, ".hl-lessons") == []

    # A guess and its reveal.
    lesson = page.get_by_role("complementary", name=re.compile("KV cache"))
    for number in (2, 3, 4):
        lesson.get_by_role("button", name="Next", exact=True).click()
        expect(lesson.get_by_text(re.compile(f"^Step {number} of"))).to_be_visible()
    lesson.get_by_role("radio").first.check()
    lesson.get_by_role("button", name="See what happens").click()
    expect(lesson.locator(".hl-lesson-outcome")).not_to_be_empty()
    assert findings(page, DESKTOP, ".hl-lessons") == []


def test_no_serious_finding_in_a_comparison_and_its_pins(open_page):
    page = open_page(width=390, run=None, query="&lab=first-card-side-by-side&t=62")
    lab = page.get_by_role("region", name="Compare", exact=True)
    pause(lab)
    lab.get_by_role("table").wait_for()
    lab.get_by_role("button", name="More controls").click()
    lab.get_by_role("button", name="Table: what each layer holds").click()
    assert findings(page, PHONE, ".hl-lab") == []
    lab.get_by_role("tab", name="Live").click()
    assert findings(page, DESKTOP, ".hl-lab") == []
    lab.get_by_role("button", name="Pin this result").click()
    lab.get_by_role("button", name="Remove all").wait_for()
    assert findings(page, PHONE, ".hl-lab") == []


def test_no_serious_finding_with_a_frame_opened_its_life_its_tables_and_settings_tried(open_page):
    page = open_page(run=None, width=390)
    pause(page)
    page.evaluate("HermesLive.boardView({ frame: 3, layer: 8, mode: 'guidance', view: 'life' })")
    expect(page.get_by_role("heading", name="Frame 4, seen at")).to_be_visible()
    expect(page.locator('[data-view="life"]')).to_contain_text("Frame 4 was seen at")
    open_tables(page)
    page.get_by_text("What do these terms mean?").click()
    assert findings(page, PHONE) == []
    page.get_by_role("tab", name="Evictions").click()
    assert findings(page, DESKTOP, "#hl-board") == []
    page.get_by_role("tab", name="Why this answer").click()
    page.get_by_label("Rows of the figure").select_option("8")  # heads of a layer
    assert findings(page, PHONE, "#hl-board") == []
    opener = page.get_by_role("button", name="Settings", exact=True)
    opener.click()
    drawer = page.get_by_role("dialog", name="Settings")
    expect(drawer.get_by_role("button", name="Close the settings")).to_be_focused()
    drawer.get_by_role("switch", name="Smoothing across layers").click()
    expect(drawer.get_by_role("region", name="Experiment")).to_contain_text("1 of 21 changed")
    # The theme is switched in the wide window, because the drawer covers the switch in the narrow one.
    assert findings(page, [(1440, True), (390, True), (1440, False)], "[role=dialog]") == []
    drawer.get_by_role("button", name="Close the settings").press("Escape")
    expect(drawer).not_to_be_visible()
    expect(opener).to_be_focused()


def test_no_serious_finding_in_the_other_runs_and_sources(open_page):
    page = open_page(run="first-card-window&t=61")  # a wrong answer, and why
    pause(page)
    expect(
        page.get_by_role("region", name="Why this answer was right or wrong").get_by_text("Wrong", exact=True)
    ).to_be_visible()
    assert findings(page, DESKTOP, ".hl-chat", ".hl-board") == []
    for tab in ("Upload", "Webcam", "Recorded"):
        page.get_by_role("tab", name=tab).click()
        assert findings(page, DESKTOP, "#hl-player") == [], tab
