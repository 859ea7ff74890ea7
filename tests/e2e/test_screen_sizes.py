"""The page in all sizes and both themes: what is on the first screen, columns, sizes of targets, clipped text, axe.

A page is loaded once per state and resized. axe checks the widest and the narrowest size: its structure in the light theme,
contrast in both.
"""

from __future__ import annotations

import pytest
from axe import violations
from conftest import laid_out, until
from playwright.sync_api import expect
from test_page import ask, pause, start, turns, wait_frames

DESKTOP, LAPTOP, TABLET, PHONE = (1440, 900), (1280, 720), (768, 1024), (390, 844)
SIZES = (DESKTOP, LAPTOP, TABLET, PHONE)
WITH_AXE = (DESKTOP, PHONE)
TABS = ["Why this answer", "Evictions", "Token history", "Explore", "Export"]

CLIPPED = """() => {
  const hides = (value) => value === 'hidden' || value === 'clip';
  const isCut = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    const text = range.getBoundingClientRect();
    for (let up = node; up && up !== document.body; up = up.parentElement) {
      const style = getComputedStyle(up), box = up.getBoundingClientRect();
      if (box.width <= 1 || box.height <= 1) return false; // for screen readers only
      const wide = text.right > box.right + 1 || text.left < box.left - 1;
      const high = text.bottom > box.bottom + 1 || text.top < box.top - 1;
      if ((wide && hides(style.overflowX)) || (high && hides(style.overflowY))) return !node.closest('[title]');
      if (style.overflowX === 'auto' || style.overflowY === 'auto') return false; // it scrolls
    }
    return false;
  };
  return [...document.querySelectorAll('.hl-head, .hl-player, .hl-quick, .hl-chat, .hl-board, .hl-lab')]
    .flatMap((part) => [...part.querySelectorAll('*')])
    .filter((node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()))
    .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.closest('select, textarea, .hl-hidden'))
    .filter(isCut).map((node) => `${node.className}: ${node.textContent.slice(0, 80)}`);
}"""
"""Texts that are cut off without a tooltip that shows them completely."""

SMALL = """() => [...document.querySelectorAll('.hl-head, .hl-player, .hl-quick, .hl-chat, .hl-memory, .hl-below, .hl-lab')]
  .flatMap((part) => [...part.querySelectorAll('button, summary, select, [role="radio"], input:not([type=file])')])
  .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.closest('.hl-hidden, p .hl-term'))
  .filter((node) => {
    const after = getComputedStyle(node, '::after');
    const grown = after.position === 'absolute' ? -2 * parseFloat(after.inset || 0) : 0;
    const box = (node.closest('label') ?? node).getBoundingClientRect();
    return box.width + grown < 28 || box.height + grown < 28;
  }).map((node) => node.outerHTML.slice(0, 120))"""
"""Targets that are too small for a finger; terms within a sentence are not counted."""

OUTSIDE = """(width) => [...document.querySelectorAll('button, canvas, input, textarea, h1, h2, h3, p, dd, li')]
  .filter((node) => node.checkVisibility() && !node.closest('.hl-hidden, .hl-source'))
  .filter((node) => {
    for (let up = node.parentElement; up; up = up.parentElement) {
      if (up.scrollWidth > up.clientWidth && getComputedStyle(up).overflowX === 'auto') return false;
    }
    return true;
  })
  .filter((node) => {
    const box = node.getBoundingClientRect();
    return box.width > 1 && (box.right > width + 1 || box.left < -1);
  }).map((node) => node.outerHTML.slice(0, 120))"""
"""Elements that reach beyond the window and are not in a part that scrolls sideways."""


def resize(page, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_function("([width, height]) => innerWidth === width && innerHeight === height", arg=list(size))
    laid_out(page)


def switch_theme(page):
    before = page.evaluate("document.body.classList.contains('dark')")
    page.get_by_role("button", name="Switch between light and dark").click()
    page.wait_for_function(
        """before => document.body.classList.contains('dark') !== before
        && !document.getAnimations().some((animation) => animation instanceof CSSTransition)""",
        arg=before,
    )


def assert_fits(page, size):
    """Nothing is wider than the window, too small for a finger on a phone, or cut off."""
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate(OUTSIDE, size[0]) == []
    assert page.evaluate(CLIPPED) == []
    if size == PHONE:
        assert page.evaluate(SMALL) == []


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
        "tabs": page.get_by_role("tablist", name="Details of the memory"),
    }


def boxes(page):
    found = {name: part.bounding_box() for name, part in parts(page).items()}
    for name, box in found.items():
        assert box, name
        assert box["width"] > 40, name
        assert box["height"] > 12, name
    return found


def assert_inside(box, size, name):
    assert box["x"] >= 0, name
    assert box["y"] >= 0, name
    assert box["x"] + box["width"] <= size[0], name
    assert box["y"] + box["height"] <= size[1], name


def assert_layout(page, size):
    """The places of stream, chat and memory: one screen on a desktop, two columns on a tablet, one column on a phone."""
    found = boxes(page)
    memory = page.get_by_role("region", name="Memory board").bounding_box()
    stream, chat = found["stream"], found["chat"]
    if size in (DESKTOP, LAPTOP):
        for name, box in found.items():
            if name != "tabs":
                assert_inside(box, size, name)
        for tab in page.get_by_role("tablist", name="Details of the memory").get_by_role("tab").all():
            assert_inside(tab.bounding_box(), size, "tab")
    elif size == TABLET:
        assert memory["x"] >= stream["x"] + stream["width"]
        assert memory["y"] == pytest.approx(stream["y"], abs=2)
        assert chat["x"] == pytest.approx(stream["x"], abs=2)
        assert chat["y"] >= stream["y"] + stream["height"]
    else:
        order = [found[name]["y"] for name in ("stream", "heatmap", "chat", "timeline", "tabs")]
        assert order == sorted(order)


def whole_turns(page):
    """Number of turns of the chat that are shown completely."""
    log = page.get_by_role("list", name="Questions and answers").bounding_box()
    shown = [turn.bounding_box() for turn in turns(page).all()]
    bottom = log["y"] + log["height"] + 1
    return sum(box["y"] >= log["y"] - 1 and box["y"] + box["height"] <= bottom for box in shown)


def test_a_recording_in_all_sizes(open_page):
    page = open_page(run="first-card-hermes&t=76")
    pause(page)
    expect(turns(page).nth(3)).to_be_attached()
    for size in SIZES:
        resize(page, size)
        assert_layout(page, size)
        assert_fits(page, size)
        assert size not in WITH_AXE or violations(page) == [], size
        if size in (DESKTOP, LAPTOP):
            until(page, lambda: whole_turns(page) >= 4, "the chat shows fewer than four turns")
    page.get_by_label("Your question").scroll_into_view_if_needed()  # on the phone
    page.mouse.wheel(0, 300)
    heatmap = parts(page)["heatmap"]
    expect(heatmap).to_be_in_viewport()
    until(page, lambda: heatmap.bounding_box()["y"] < 200, "the heatmap is too low")
    assert page.get_by_role("tab").filter(visible=True).all_inner_texts()[-len(TABS) :] == TABS
    for tab in reversed(TABS):
        page.get_by_role("tab", name=tab).click()
        laid_out(page)
        assert_fits(page, PHONE)
    menus = page.locator(".hl-figure:has(canvas)").evaluate_all(
        "figures => figures.map((figure) => figure.querySelectorAll('summary[aria-label^=\"Export: \"]').length)"
    )
    assert len(menus) >= 8
    assert set(menus) == {1}
    page.get_by_role("button", name="Compare", exact=True).wait_for()
    switch_theme(page)
    for size in WITH_AXE:
        resize(page, size)
        assert_fits(page, size)
        assert violations(page, contrast_only=True) == [], size


def below_heatmap(page, node):
    """Whether a node begins below the heatmap, which sticks to the top of a phone's window."""
    box, cover = node.bounding_box(), page.locator(".hl-memory > [data-view=layers]").bounding_box()
    return box["y"] >= cover["y"] + cover["height"]


def test_a_live_stream_in_all_sizes(open_page):
    page = open_page()
    for size in SIZES:  # before the start
        resize(page, size)
        assert_fits(page, size)
        assert size not in WITH_AXE or violations(page) == [], size
    resize(page, LAPTOP)
    start(page)
    wait_frames(page, 12)
    pause(page)
    ask(page, "What is shown now?")
    expect(turns(page).first).to_have_attribute("data-state", "done")
    for size in SIZES:
        resize(page, size)
        assert_layout(page, size)
        assert_fits(page, size)
        expect(page.get_by_role("button", name="Clear", exact=True)).to_be_visible()
        badge = page.locator(".hl-chat .hl-badge")
        assert badge.evaluate("(badge) => badge.scrollWidth <= badge.clientWidth"), f"the badge is cut off at {size}"
        assert size != PHONE or violations(page) == []
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(turns(page)).to_have_count(0)
    page.evaluate("scrollTo(0, 0)")
    ask(
        page, "What was the first card?"
    )  # on the phone: scrolls to the input, so that the heatmap would cover the turn
    expect(turns(page)).to_have_count(1)
    until(page, lambda: below_heatmap(page, turns(page).last), "the heatmap covers the answer")
    expect(turns(page).last).to_have_attribute("data-state", "done")
    switch_theme(page)
    assert violations(page, contrast_only=True) == []


def test_a_comparison_in_all_sizes(open_page):
    page = open_page(run=None, query="&lab=first-card-side-by-side&t=62")
    lab = page.get_by_role("region", name="Compare", exact=True)
    pause(lab)
    lab.get_by_role("table").wait_for()
    for dark in (False, True):
        for size in SIZES:
            resize(page, size)
            assert_fits(page, size)
            assert size not in WITH_AXE or violations(page, contrast_only=dark) == [], size
            cards = [
                card.bounding_box()
                for card in lab.get_by_role("list", name="Methods side by side").get_by_role("listitem").all()
            ]
            table = lab.get_by_role("group", name="Table of all questions").bounding_box()
            if size in (DESKTOP, LAPTOP):
                for box in (*cards, table):
                    assert_inside(box, size, "comparison")
            if size == PHONE:  # the results come first, other controls are folded
                assert cards[0]["y"] < 420
                expect(lab.get_by_role("radiogroup", name="Available comparisons")).to_be_hidden()
        if not dark:
            lab.get_by_role("button", name="More controls").click()
            expect(lab.get_by_role("radiogroup", name="Available comparisons")).to_be_visible()
            assert_fits(page, PHONE)
            lab.get_by_role("button", name="Fewer controls").click()
            switch_theme(page)
