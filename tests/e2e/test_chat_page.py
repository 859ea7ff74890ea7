"""The chat in a browser: words of an answer, waiting questions, and what happens when the stream changes."""

from __future__ import annotations

import re

from conftest import PATIENCE, steady, until
from playwright.sync_api import expect
from test_page import answered, ask, board, frames, pause, picture, redrawn, start, turns, wait_frames

FIRST = "What was the first card?"


def test_words_show_their_attention_and_questions_wait(open_page):
    page = open_page()
    start(page, speed="4×")
    wait_frames(page, 30)
    pause(page)
    for question in (FIRST, "What is shown now?", "Was there a white cross?"):
        ask(page, question)
        expect(page.get_by_label("Your question")).to_have_value("")
    expect(turns(page)).to_have_count(3)
    answers = [answered(turns(page).nth(i)) for i in range(3)]
    assert all(answers)
    expect(page.get_by_role("button", name="Stop the answer")).to_be_hidden()

    # Only the board's answer links to its reasons; a negative answer has none.
    expect(turns(page).last.locator(".hl-a")).to_have_text("No.")
    expect(turns(page).last.locator(".hl-why")).to_have_text("✓ Right")
    expect(turns(page).last.locator(".hl-why")).to_be_disabled()

    # Words: by pointer, pinned by a click, and by keyboard.
    turn = turns(page).first
    words = turn.locator(".hl-word")
    until(page, lambda: " ".join(words.all_inner_texts()) == answers[0], "the answer is not divided into its words")
    heatmap, note = board(page), page.locator(".hl-word-note")
    expect(page.get_by_role("region", name="Why this answer was right or wrong")).to_contain_text(
        "Was there a white cross?"
    )
    kept = steady(page, lambda: picture(heatmap))  # the outline of its evidence may be drawn later
    words.last.hover()
    expect(note).to_have_text(f"While “{answers[0].split()[-1]}” was written")
    last = redrawn(heatmap, kept)
    page.mouse.move(5, 5)
    expect(note).to_be_hidden()
    until(page, lambda: picture(heatmap) == kept, "the figure does not return to the whole answer")
    words.first.focus()
    page.keyboard.press("Enter")
    expect(words.first).to_have_attribute("aria-pressed", "true")
    redrawn(heatmap, kept, last)
    page.keyboard.press("ArrowRight")
    expect(words.nth(1)).to_be_focused()
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    until(page, lambda: picture(heatmap) == kept, "the figure does not return to the whole answer")

    # After a restart, earlier answers stay as text without links to the new stream.
    words.first.click()
    expect(note).to_be_visible()
    page.get_by_role("button", name="Restart").click()
    expect(page.locator(".hl-divider:visible")).to_have_text("Stream restarted: Remember the first card")
    expect(note).to_be_hidden()
    expect(page.locator(".hl-word")).to_have_count(0)
    expect(turn.get_by_role("button", name=re.compile("of an earlier stream"))).to_be_disabled()
    assert answered(turn) == answers[0]
    expect(page.get_by_text("Ask a question. This shows whether the answer is correct")).to_be_visible()
    wait_frames(page, 2)
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(turns(page)).to_have_count(0)
    expect(page.get_by_role("button", name="Clear", exact=True)).to_be_hidden()
    ask(page, "Was there a pink star?")
    answered(turns(page).first)
    expect(page.locator(".hl-divider:visible")).to_have_count(0)

    # A recording shows its own chat, and the webcam what its model knows, or a note that the chosen model does not know it.
    page.get_by_role("tab", name="Recorded").click()
    page.get_by_role("radiogroup", name="Recorded runs").get_by_role("radio").first.click()
    expect(turns(page).filter(has_text=FIRST).first).to_be_visible()
    expect(turns(page).filter(has_text="pink star")).to_have_count(0)
    pause(page)
    recorded = turns(page).filter(has_text=FIRST).first.locator(".hl-word").last
    recorded.hover()
    expect(note).to_have_text(f"While “{recorded.inner_text()}” was written")
    expect(page.locator(".hl-layers-note").filter(has_text="one line per head")).to_be_visible()
    seen = frames(page)
    page.get_by_role("tab", name="Webcam").click()
    page.get_by_role("button", name="Start", exact=True).click()
    until(page, lambda: 0 < frames(page) < seen, "the page does not show the webcam's frames")
    advice = page.get_by_role("note")
    expect(advice).to_contain_text("HERMES things knows 121 everyday objects", timeout=2000 * PATIENCE)
    page.get_by_role("button", name="Settings", exact=True).click()
    model = page.get_by_label("Model", exact=True)
    model.fill("pocket")
    model.press("Enter")
    expect(advice).to_contain_text("HERMES pocket only knows coloured cards", timeout=2000 * PATIENCE)
    page.keyboard.press("Escape")
    expect(page.locator(".hl-chat .hl-chip")).to_have_count(0)
    wait_frames(page, 1)
    ask(page, FIRST)
    expect(turns(page).last).to_contain_text("watch the memory, not this answer")
    answered(turns(page).last)
    advice.get_by_role("button", name="Choose another model").click()
    expect(model).to_be_focused()
