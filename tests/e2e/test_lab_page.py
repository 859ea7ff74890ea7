"""The lab in a browser: three memories side by side on a bundled clip, one question to all."""

from __future__ import annotations

import re

from playwright.sync_api import expect

SLOW = 60_000
QUESTION = "What was the first card?"


def open_lab(page):
    lab = page.get_by_role("region", name="The lab")
    lab.get_by_text("Two to four memories on the same frames").click()
    return lab


def ask(lab, question):
    lab.get_by_label("Question to all memories").fill(question)
    lab.get_by_role("button", name="Ask all").click()
    expect(lab.get_by_role("row", name=re.compile(re.escape(question)))).to_be_visible(timeout=SLOW)


def test_three_memories_side_by_side(open_page):
    lab = open_lab(open_page())
    lab.get_by_label("Memory 2").select_option(label="Sliding window")
    lab.get_by_label("Speed").select_option(label="Max")
    lab.get_by_role("button", name="Run", exact=True).click()
    expect(lab.get_by_text(re.compile("The clip is over.* 80 frames"))).to_be_visible(timeout=SLOW)
    lanes = lab.get_by_role("list", name="Memories side by side").get_by_role("listitem")
    expect(lanes).to_have_count(3)
    ask(lab, QUESTION)
    row = lab.get_by_role("row", name=re.compile(re.escape(QUESTION))).get_by_role("cell")
    expect(row.nth(2)).to_have_text("Red circle.")
    for i, title in enumerate(("HERMES", "Sliding window", "Full cache")):
        lane = lanes.nth(i)
        expect(lane.get_by_role("heading")).to_have_text(title)
        said = lane.locator(".hl-lab-answer").inner_text()
        right = said.startswith("✓")
        assert right == ("Red circle." in said)
        expect(row.nth(3 + i)).to_have_text(said)
        figures = dict(zip(lane.locator("dt").all_inner_texts(), lane.locator("dd").all_inner_texts(), strict=True))
        held = int(figures["Tokens held"].split()[0].replace(",", ""))
        assert held == (1280 if title == "Full cache" else 128)
        assert re.fullmatch(r"[\d.,]+ ms", figures["First token"])
        assert (figures["Archive"], figures["Moved"]) == ("0 B", "0 B")
        share = lane.get_by_role("img", name=re.compile(rf"^{title} holds \d+ % of all tokens"))
        assert share.evaluate(
            "node => node.getContext('2d').getImageData(0, 0, node.width, node.height).data.some(x => x)"
        )
    expect(lanes.nth(1).locator(".hl-lab-verdict")).to_contain_text("evicted")
    expect(lab.get_by_role("row", name=re.compile("^ *right"))).to_be_visible()


def test_a_question_in_the_middle_is_asked_of_all_at_one_moment(open_page):
    lab = open_lab(open_page(width=390, height=844, dark=True))
    lab.get_by_role("button", name="Run", exact=True).click()
    expect(lab.get_by_text(re.compile(r"of 0:40, (1[6-9]|[2-7]\d) frames"))).to_be_visible(timeout=SLOW)
    lab.get_by_role("button", name="Pause").click()
    expect(lab.get_by_text("Paused")).to_be_visible()
    ask(lab, "What is shown now?")
    assert lab.evaluate("node => document.documentElement.scrollWidth <= innerWidth")
    lab.get_by_role("button", name="Resume").click()
    lab.get_by_role("button", name="End").click()
    expect(lab.get_by_role("list", name="Memories side by side").get_by_role("listitem")).to_have_count(0)


def test_the_same_memory_twice_is_refused_in_words(open_page):
    lab = open_lab(open_page())
    lab.get_by_label("Memory 2").select_option(label="HERMES")
    lab.get_by_label("Memory 3").select_option(label="none")
    lab.get_by_role("button", name="Run", exact=True).click()
    expect(lab.get_by_role("alert")).to_have_text("Choose at least two different memories.")
