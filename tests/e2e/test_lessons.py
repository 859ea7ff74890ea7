"""Lessons in the browser, on the real engine: each is walked through once; links, glossary, keyboard, and coming back."""

from __future__ import annotations

import json
import re

import pytest
from conftest import ROOT, until
from playwright.sync_api import expect
from test_page import wait_frames

WALKED = "eviction"
"""The lesson that is walked through, with a clip, questions and a recorded run. The others differ only in content;
`tests/unit/page/test_lesson_controller.py` walks through them without a browser."""
SIZES = [(390, 844), (768, 1024), (1280, 720), (1440, 900)]
LESSONS = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "assets" / "lessons").glob("*.json"))
}


def panel(page):
    return page.get_by_role("complementary", name=re.compile("Lessons|^[0-9]"))


def follow(open_page, address, **more):
    """Open a link to a lesson in a new tab."""
    page = open_page(query=f"&{address}", **more)
    expect(panel(page)).to_be_visible()
    return page


def clock_of(seconds):
    return f"{seconds // 60}:{seconds % 60:02}"


def act(page, action):
    """Do an action of the step; a clip or a run is then at the moment that the step is about."""
    button = panel(page).get_by_role("button", name=action["label"])
    turns = page.get_by_role("list", name="Questions and answers").get_by_role("listitem")
    asked = turns.count()  # questions about earlier streams stay
    button.click()
    stream = page.get_by_role("region", name="Stream")
    if action["do"] == "play":
        expect(button).to_be_enabled()  # the clip has begun, with an empty memory
        expect(page.locator(".hl-clock")).to_contain_text(clock_of(action["until"]))
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
    elif action["do"] == "run":
        expect(stream.get_by_text("Recorded run")).to_be_visible()
    elif action["do"] == "ask":
        expect(turns).to_have_count(asked + 1)
        expect(turns.last).to_contain_text(action["question"])
        expect(turns.last).to_have_attribute("data-state", "done")


def guess(page, step):
    """Make a prediction and reveal the result; return the text of the lesson."""
    see = panel(page).get_by_role("button", name="See what happens")
    expect(see).to_be_disabled()
    panel(page).get_by_role("radio", name=step["predict"]["choices"][0]["text"], exact=True).check()
    see.click()
    outcome = panel(page).locator(".hl-lesson-outcome")
    expect(outcome).to_have_text(re.compile("^(Correct|Not quite)"))
    return outcome.inner_text()


def test_a_lesson_from_its_link_to_its_end(open_page):
    page = follow(open_page, f"lesson={WALKED}")
    steps = LESSONS[WALKED]["steps"]
    for number, step in enumerate(steps, 1):
        expect(panel(page).get_by_role("heading", name=step["title"], exact=True)).to_be_focused()
        expect(panel(page).get_by_text(f"Step {number} of {len(steps)}")).to_be_visible()
        for action in step.get("do", ()):
            act(page, action)
        if "predict" in step:
            message = guess(page, step)
            assert "{" not in message
            assert "nothing to measure" not in message
        panel(page).get_by_role("button", name="Finish" if number == len(steps) else "Next", exact=True).click()
    expect(panel(page).get_by_role("heading", name="Done")).to_be_visible()
    expect(page).not_to_have_url(re.compile("lesson="))
    assert json.loads(page.evaluate("localStorage.getItem('hermes-lessons')"))[WALKED]["done"]
    panel(page).get_by_role("button", name=re.compile("^Next: ")).click()
    expect(panel(page).get_by_text(re.compile("^Step 1 of"))).to_be_visible()
    panel(page).get_by_role("button", name="All lessons").click()
    expect(panel(page).get_by_role("button", name=re.compile(re.escape(LESSONS[WALKED]["title"])))).to_be_visible()


def memory_in_view(page, width, height):
    heatmap = page.get_by_role("img", name="Layer heatmap", exact=True).bounding_box()
    sheet = panel(page).bounding_box()
    beside = sheet["y"] == 0
    bottom, right = (height, sheet["x"]) if beside else (sheet["y"], width)
    inside = (
        heatmap["y"] >= 0 and heatmap["y"] + heatmap["height"] <= bottom and heatmap["x"] + heatmap["width"] <= right
    )
    return inside and page.evaluate("scrollY") == 0


def test_a_lesson_is_finished_only_after_a_result(open_page):
    page = follow(open_page, "lesson=eviction&step=5")
    panel(page).get_by_role("button", name="Finish").click()
    expect(panel(page).get_by_text("Step 1 of 5")).to_be_visible()
    note = panel(page).get_by_role("status").filter(has_text=re.compile("."))
    expect(note).to_contain_text("You have not revealed a result yet.")
    step = LESSONS["eviction"]["steps"][0]
    panel(page).get_by_role("radio", name=step["predict"]["choices"][2]["text"], exact=True).check()
    panel(page).get_by_role("button", name="See what happens").click()  # without the button of the step
    expect(panel(page).get_by_text("Correct.", exact=True)).to_be_visible()
    expect(page.locator(".hl-clock")).to_contain_text("1:00")
    for width, height in SIZES:  # the memory is beside or above the lesson, without scrolling
        page.set_viewport_size({"width": width, "height": height})
        until(
            page,
            lambda width=width, height=height: memory_in_view(page, width, height),
            f"not in view at {width} pixels",
        )
    for _ in range(4):
        panel(page).get_by_role("button", name="Next", exact=True).click()
    panel(page).get_by_role("button", name="Finish").click()
    expect(panel(page)).to_contain_text("You revealed 1 of 5 results.")


def test_the_open_stream_is_restored(open_page):
    page = open_page()
    page.get_by_role("tab", name="Clips").click()
    page.get_by_role("radiogroup", name="Clips").get_by_role("radio").nth(2).click()
    page.get_by_role("button", name="Start", exact=True).click()
    wait_frames(page, 4)
    policy = page.get_by_label("Policy", exact=True)
    expect(policy).to_have_value("hermes")
    page.get_by_label("Your question").fill("What is shown now?")
    page.keyboard.press("Enter")
    turns = page.get_by_role("list", name="Questions and answers").get_by_role("listitem")
    expect(turns.first).to_have_attribute("data-state", "done")
    page.get_by_role("button", name="Lessons", exact=True).click()
    panel(page).get_by_role("button", name=re.compile("Eviction, and what is lost")).click()
    act(page, LESSONS["eviction"]["steps"][0]["do"][0])
    expect(policy).to_have_value("sliding-window")
    expect(turns).to_have_count(0)
    page.get_by_role("button", name="Close the lessons").click()
    expect(policy).to_have_value("hermes")
    expect(turns).to_have_count(1)
    expect(page.get_by_role("button", name="Pause")).to_be_visible()  # it continues from the same position
    expect(page.get_by_role("button", name="Lessons", exact=True)).to_be_focused()
    page.get_by_role("tab", name="Clips").click()
    expect(page.get_by_role("radiogroup", name="Clips").get_by_role("radio").nth(2)).to_be_checked()


def is_sheet(box):
    """Whether a part is a sheet at the bottom of a phone's screen, 390 x 844, that covers up to 60 % of it."""
    return (
        (box["x"], box["width"]) == (0, 390)
        and box["y"] > 844 * 0.4
        and box["y"] + box["height"] == pytest.approx(844, abs=1)
    )


def test_terms_the_calculator_and_the_place_on_a_phone(open_page):
    page = follow(open_page, "lesson=kv-cache&step=2")
    word = panel(page).get_by_role("button", name="KV cache")
    word.focus()
    tip = page.get_by_role("tooltip")
    expect(tip).to_contain_text("It is the model’s memory of the video")
    expect(word).to_have_attribute("aria-describedby", "hl-term-tip")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    expect(panel(page)).to_be_visible()
    word.hover()
    expect(tip).to_be_visible()
    tip.hover()  # what it says can be pointed at
    page.wait_for_timeout(400)  # longer than it takes to hide where nothing points at it
    expect(tip).to_be_visible()
    page.mouse.move(5, 5)
    page.keyboard.press("Escape")  # the word is focused still
    expect(tip).to_be_hidden()

    # On a phone, the lesson is below the part that it highlights.
    page.set_viewport_size({"width": 390, "height": 844})
    until(page, lambda: is_sheet(panel(page).bounding_box()), lambda: f"the lesson is at {panel(page).bounding_box()}")
    sheet = panel(page).bounding_box()
    panel(page).get_by_role("button", name="Show me where").click()
    shown = page.locator(".hl-pointed")
    until(page, lambda: 0 <= shown.bounding_box()["y"] < sheet["y"], "it was not scrolled into view")

    page.set_viewport_size({"width": 1440, "height": 900})
    for _ in range(3):
        panel(page).get_by_role("button", name="Next", exact=True).click()
    group = panel(page).get_by_role("group", name="Cache calculator")
    expect(group).to_contain_text("40.5 GB")
    group.get_by_label("Frames per second").fill("2")
    expect(group).to_contain_text("80.9 GB")
    group.get_by_label("Model").select_option("llava-onevision-0.5b")
    expect(group).to_contain_text("17.3 GB")

    page.set_viewport_size({"width": 390, "height": 844})
    panel(page).get_by_role("button", name="Minimise the lesson").click()
    until(page, lambda: panel(page).bounding_box()["height"] < 90, "the lesson is not minimised")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_captions_and_settings_explain_their_words(open_page):
    page = open_page(run=None)  # a recorded run, so that the board shows something
    page.get_by_role("button", name="About: Layer by layer").click()
    caption = page.get_by_role("region", name="Layer by layer").get_by_role("button", name="layer", exact=True)
    caption.click()
    expect(page.get_by_role("tooltip")).to_contain_text("Each layer has its own cache")
