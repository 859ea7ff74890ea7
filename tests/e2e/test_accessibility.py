"""axe-core on every view of the page, light and dark, wide and narrow: no serious finding."""

from __future__ import annotations

import re
from importlib import resources

from conftest import look
from playwright.sync_api import expect
from test_page import answered, ask, start, turns, wait_frames

DESKTOP = [(1440, False), (1440, True)]
LIGHT_PHONE = [(390, False), (1440, True)]
DARK_PHONE = [(390, True), (1440, False)]
"""Widths of the window with a theme each: colours depend on the theme, and the structure depends on the width."""
AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


ROWS = 24
"""Rows that stay in each table: enough for it to scroll."""
CHECKED_ROWS = 4
"""Rows whose cells are checked: the others have the same elements and styles, and axe needs a millisecond for each cell."""


def findings(page, looks, *, within="body"):
    """Serious and critical findings of axe-core in widths and themes, as readable lines.

    `within` selects the part of the page that has changed since it was checked in the same test. Where a width is checked in
    both themes, the second check is only that of contrast: the other rules do not depend on colours.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    lines, widths = [], set()
    for width, dark in looks:
        look(page, width, dark)
        rules = "runOnly: ['color-contrast'], " if width in widths else ""
        widths.add(width)
        page.evaluate(f"""document.querySelectorAll('tbody').forEach((body) => {{
            [...body.rows].slice({ROWS}).forEach((row) => row.remove());
        }})""")
        options = (
            f"{{ {rules}resultTypes: ['violations'], preload: false }}"  # preloading is for style sheets elsewhere
        )
        context = {"include": [within], "exclude": [f"tbody tr:nth-child(n + {CHECKED_ROWS + 1})"]}
        result = page.evaluate(f"context => axe.run(context, {options})", context)
        lines += [
            f"{width} {'dark' if dark else 'light'}: {rule['id']} ({rule['impact']}): "
            f"{node['html'][:160]} {node['failureSummary'][:200]}"
            for rule in result["violations"]
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"][:4]
        ]
    return lines


def open_tables(page):
    for menu in page.locator(".hl-board .hl-menu").filter(visible=True).all():
        menu.locator("summary").click()
        menu.get_by_role("button", name="Table: ").click()


def test_no_serious_finding_before_and_while_a_stream_runs(open_page):
    page = open_page(width=390)
    assert findings(page, LIGHT_PHONE) == []
    start(page)
    wait_frames(page, 12)
    ask(page, "What is shown now?")
    answered(turns(page).first)
    page.get_by_role("button", name="Pause").click()
    page.evaluate("HermesLive.boardView({ frame: 3, layer: 2, mode: 'importance' })")
    page.get_by_role("heading", name="Frame 4, seen at").wait_for()
    open_tables(page)
    page.get_by_text("What do these terms mean?").click()
    assert findings(page, DARK_PHONE) == []


def test_no_serious_finding_in_a_recorded_run_and_a_lesson(open_page):
    page = open_page(run=None)  # the page as it opens: a recorded run
    page.locator(".hl-board [data-view=fate]").scroll_into_view_if_needed()
    page.get_by_role("button", name="Settings", exact=True).click()
    expect(page.get_by_role("dialog", name="Settings")).to_contain_text("For live streams only. This recording: HERMES")
    assert findings(page, DESKTOP, within="[role=dialog]") == []  # the run itself: test_screen_sizes.py
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Lessons", exact=True).click()
    lessons = page.get_by_role("complementary", name="Lessons")
    lessons.wait_for()
    assert findings(page, DESKTOP, within=".hl-lessons") == []
    lessons.get_by_role("button").filter(has_text="KV cache").first.click()
    page.get_by_role("button", name="See what happens").wait_for()
    assert findings(page, DESKTOP, within=".hl-lessons") == []

    # A guess and its reveal.
    lesson = page.get_by_role("complementary", name=re.compile("KV cache"))
    for _ in range(3):
        lesson.get_by_role("button", name="Next", exact=True).click()
    lesson.get_by_role("radio").first.check()
    lesson.get_by_role("button", name="See what happens").click()
    expect(lesson.locator(".hl-lesson-outcome")).not_to_be_empty()
    assert findings(page, DESKTOP, within=".hl-lessons") == []


def test_no_serious_finding_in_a_comparison_and_its_pins(open_page):
    page = open_page(width=390, run=None, query="&lab=first-card-side-by-side&t=62")
    lab = page.get_by_role("region", name="Compare", exact=True)
    lab.get_by_role("table").wait_for()
    lab.get_by_role("button", name="More controls").click()
    lab.get_by_role("button", name="Table: what each layer holds").click()
    assert findings(page, LIGHT_PHONE, within=".hl-lab") == []  # the comparison itself: test_screen_sizes.py
    lab.get_by_role("tab", name="Live").click()
    assert findings(page, DESKTOP, within=".hl-lab") == []
    lab.get_by_role("button", name="Pin this result").click()
    lab.get_by_role("button", name="Remove all").wait_for()
    assert findings(page, DARK_PHONE, within=".hl-lab") == []


def test_no_serious_finding_with_a_frame_opened_its_life_its_tables_and_settings_tried(open_page):
    page = open_page(run=None, width=390)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.evaluate("HermesLive.boardView({ frame: 3, layer: 8, mode: 'guidance', view: 'life' })")
    expect(page.get_by_role("heading", name="Frame 4, seen at")).to_be_visible()
    expect(page.locator('[data-view="life"]')).to_contain_text("Frame 4 was seen at")
    open_tables(page)
    assert findings(page, LIGHT_PHONE) == []
    page.get_by_role("tab", name="Evictions").click()
    assert findings(page, DARK_PHONE, within="#hl-board") == []
    page.get_by_role("tab", name="Why this answer").click()
    page.get_by_label("Rows of the figure").select_option("8")  # heads of a layer
    assert findings(page, LIGHT_PHONE, within="#hl-board") == []
    opener = page.get_by_role("button", name="Settings", exact=True)
    opener.click()
    drawer = page.get_by_role("dialog", name="Settings")
    expect(drawer.get_by_role("button", name="Close the settings")).to_be_focused()
    drawer.get_by_role("switch", name="Smoothing across layers").click()
    expect(drawer.get_by_role("region", name="Experiment")).to_contain_text("1 of 21 changed")
    # The theme is switched in the wide window, because the drawer covers the switch in the narrow one.
    assert findings(page, [(1440, True), (390, True), (1440, False), (390, False)], within="[role=dialog]") == []
    drawer.get_by_role("button", name="Close the settings").press("Escape")
    expect(drawer).not_to_be_visible()
    expect(opener).to_be_focused()


def test_no_serious_finding_in_the_other_runs_and_sources(open_page):
    page = open_page(run="first-card-window&t=61")  # a wrong answer, and why
    page.get_by_role("button", name="Pause").click()
    expect(
        page.get_by_role("region", name="Why this answer was right or wrong").get_by_text("Wrong", exact=True)
    ).to_be_visible()
    assert findings(page, DESKTOP) == []
    for tab in ("Upload", "Webcam", "Recorded"):
        page.get_by_role("tab", name=tab).click()
        assert findings(page, DESKTOP, within="#hl-player") == [], tab
