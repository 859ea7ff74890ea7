"""The lab in a browser: memories side by side on a bundled clip, one question to all; recorded, saved and opened again."""

from __future__ import annotations

import json
import re

from conftest import LOOKS, ROOT, look, until
from playwright.sync_api import expect

from hermes import trace

RUNS = ROOT / "assets" / "runs"
LAB_ID = json.loads((RUNS / "index.json").read_text("utf-8"))["labs"][0]["id"]
RECORDED = trace.read_lab(RUNS / f"{LAB_ID}.hermesrun")
QUESTION = "What was the first card?"


def open_lab(page):
    lab = page.get_by_role("region", name="The lab")
    lab.get_by_text("Compare 2–4 methods on one video").click()
    return lab


def ask(lab, question):
    lab.get_by_label("Question to all memories").fill(question)
    lab.get_by_role("button", name="Ask all").click()
    expect(lab.get_by_role("row", name=re.compile(re.escape(question)))).to_be_visible()


def test_three_memories_side_by_side(open_page):
    lab = open_lab(open_page())
    lab.get_by_label("Memory 2").select_option(label="Sliding window")
    lab.get_by_label("Speed").select_option(label="Max")
    lab.get_by_role("button", name="Run", exact=True).click()
    expect(lab.get_by_text(re.compile("Finished.* 80 frames"))).to_be_visible()
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
    expect(lanes.nth(1).locator(".hl-lab-verdict")).to_contain_text("Seen, then forgotten")
    expect(lab.get_by_role("row", name=re.compile("^ *correct"))).to_be_visible()
    lab.get_by_role("button", name="Table: what each layer holds").click()
    rows = lab.get_by_role("region", name="Table: what each layer holds").locator("tbody tr")
    expect(rows.last).to_contain_text("attended most to 0:")
    assert rows.count() > 2
    first = rows.first.locator("td").all_inner_texts()
    assert re.fullmatch(r"\d+ %, from 0:\d\d on \(sensory\)", first[0])
    assert first[2] == "100 %, from 0:00 on"


def test_a_question_in_the_middle_is_asked_of_all_at_one_moment(open_page):
    lab = open_lab(open_page(width=390, height=844, dark=True))
    lab.get_by_role("button", name="Run", exact=True).click()
    expect(lab.get_by_text(re.compile(r"of 0:40, (1[6-9]|[2-7]\d) frames"))).to_be_visible()
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


# Recorded lab runs ----------------------------------------------------------------------------------------------------


def lab_of(page):
    return page.get_by_role("region", name="The lab")


def lanes_of(lab):
    return lab.get_by_role("list", name="Memories side by side").get_by_role("listitem")


def slider(lab):
    return lab.get_by_role("slider", name="Position in the lab run")


def drawing(lane):
    return lane.locator("canvas").evaluate("node => node.toDataURL()")


def shows(lab, seconds):
    """Wait until the lab shows the answers of a moment of the bundled run, and check them against the file."""
    known = [turns for turns in RECORDED.questions if turns[0].done <= seconds]
    rows = lab.get_by_role("table").locator("tbody tr")
    expect(rows).to_have_count(len(known))
    for i, turn in enumerate(known[-1]):
        right = "✓" if turn.answer == turn.truth else "✗"
        expect(lanes_of(lab).nth(i).locator(".hl-lab-answer")).to_have_text(f"{right} {turn.answer}")
        expect(rows.last.get_by_role("cell").nth(3 + i)).to_have_text(f"{right} {turn.answer}")


def test_a_link_opens_a_recorded_lab_run_that_plays(open_page, app):
    third, fourth = RECORDED.questions[2][0].at, RECORDED.questions[3][0].at
    page = open_page(run=None, query=f"&lab={LAB_ID}&t={third + 1}")
    lab = lab_of(page)
    expect(lab.get_by_role("heading", name=RECORDED.title)).to_be_in_viewport()
    expect(lab.get_by_text("Recorded lab run", exact=True)).to_be_visible()
    expect(lab.locator(".hl-run-label")).to_contain_text(RECORDED.head.machine)
    expect(lab.locator(".hl-run-label")).to_contain_text(RECORDED.head.created[:10])
    expect(page.get_by_text("Recorded run", exact=True)).to_be_hidden()  # nothing else plays
    expect(lab.get_by_text(re.compile(r"^Playing · \d+ frames seen"))).to_be_visible()
    shows(lab, third + 1)
    lab.get_by_role("radio", name="30×").click()
    expect(lab.get_by_text("End of the recording")).to_be_visible()
    shows(lab, RECORDED.seconds)
    lab.get_by_role("button", name="Play again").click()
    expect(lab.get_by_text(re.compile("^Playing"))).to_be_visible()
    lab.get_by_role("button", name="Pause").click()
    expect(lab.get_by_text(re.compile("^Paused"))).to_be_visible()
    slider(lab).fill(str(fourth))
    shows(lab, fourth)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lab.get_by_role("button", name="Copy link to this moment").click()
    expect(lab.get_by_text("Copied.")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(app.url)
    assert f"lab={LAB_ID}&t={fourth:g}" in link
    assert "run=" not in link


def test_the_menu_opens_a_recorded_lab_run_and_seeking_draws_that_moment(open_page):
    lab = open_lab(open_page())
    lab.get_by_role("radiogroup", name="Available lab runs").get_by_role("radio").first.click()
    expect(lanes_of(lab)).to_have_count(len(RECORDED.lanes))
    expect(lab.get_by_role("button", name="Run", exact=True)).to_be_hidden()
    lab.get_by_role("button", name="Pause").click()
    expect(lab.get_by_text(re.compile("^Paused"))).to_be_visible()
    lab.get_by_role("group", name="Questions of this run").get_by_role("button").last.click()
    at = RECORDED.questions[-1][0].at
    shows(lab, at)
    seen = RECORDED.lanes[0].view(at).snapshot
    figures = lanes_of(lab).first.locator("dd").all_inner_texts()
    assert figures[0] == f"{seen.kept_per_layer.max():,} of {seen.tokens_seen:,}"
    late = drawing(lanes_of(lab).first)
    slider(lab).fill("10")
    expect(lab.get_by_text("21 frames seen")).to_be_visible()
    shows(lab, 10)
    until(lab.page, lambda: drawing(lanes_of(lab).first) != late, "the drawing did not change")
    lab.get_by_role("button", name="Close").click()
    expect(lanes_of(lab)).to_have_count(0)
    expect(lab.get_by_role("button", name="Run", exact=True)).to_be_visible()


def test_a_memory_of_a_recorded_lab_run_is_opened_on_the_board(open_page):
    page = open_page(run=None, query=f"&lab={LAB_ID}&t=62")
    lab = lab_of(page)
    expect(lanes_of(lab)).to_have_count(len(RECORDED.lanes))
    lab.get_by_role("button", name="Pause").click()
    expect(lab.get_by_text(re.compile("^Paused"))).to_be_visible()
    lab.get_by_role("button", name="Show Sliding window on the board").click()
    board = page.get_by_role("region", name="Memory board")
    expect(board.get_by_role("heading", name="What is still remembered")).to_be_in_viewport()
    expect(page.get_by_role("region", name="Stream").get_by_role("heading", name="Sliding window")).to_be_attached()
    expect(board.get_by_text(re.compile("^12[0-9] frames seen|^13[0-9] frames seen"))).to_be_visible()
    expect(page.get_by_role("tab", name="Recorded")).to_have_attribute("aria-selected", "true")
    recorded = page.get_by_role("radiogroup", name="Recorded runs").get_by_role("radio", checked=True)
    expect(recorded).to_have_count(0)  # it is none of the list
    expect(page.get_by_role("list", name="Questions and answers")).to_contain_text("White circle.")
    lab.get_by_role("button", name="Show HERMES on the board").click()
    expect(page.get_by_role("region", name="Stream").get_by_role("heading", name="HERMES", exact=True)).to_be_attached()


def test_the_memories_of_a_recorded_lab_run_run_again_live(open_page):
    lab = lab_of(open_page(run=None, query=f"&lab={LAB_ID}&t=3"))
    lab.get_by_role("button", name="Run this comparison live").click()
    expect(lab.get_by_text(re.compile(r"^Running · 0:\d\d of 1:30"))).to_be_visible()
    expect(lab.get_by_label("Budget")).to_have_value(str(RECORDED.head.settings.budget))
    expect(lanes_of(lab)).to_have_count(len(RECORDED.lanes))
    lab.get_by_role("button", name="End").click()
    expect(lanes_of(lab)).to_have_count(0)


def test_record_a_lab_run_and_open_it_again(open_page, tmp_path):
    page = open_page()
    lab = open_lab(page)
    lab.get_by_label("Memory 3").select_option(label="none")
    lab.get_by_role("button", name="Run", exact=True).click()
    lab.get_by_role("button", name="Record", exact=True).click()
    expect(lab.get_by_text(re.compile(r"^Recording · \d+ moments?"))).to_be_visible()
    expect(lab.get_by_text(re.compile(r"of 0:40, ([2-7]\d) frames"))).to_be_visible()
    ask(lab, QUESTION)
    said = [text.split(" ", 1)[1] for text in lab.locator(".hl-lab-answer").all_inner_texts()]
    with page.expect_download() as arriving:
        lab.get_by_role("button", name="Save recording").click()
    file = tmp_path / arriving.value.suggested_filename
    arriving.value.save_as(file)
    run = trace.read_lab(file)
    assert run.head.clip_id == "quick-tour"
    assert [[turn.answer for turn in turns] for turns in run.questions] == [said]
    page.get_by_role("tab", name="Upload").click()
    page.locator("#hl-file").set_input_files(file)
    expect(page.get_by_text("It opens in the lab")).to_be_visible()
    expect(lab.get_by_text("Recorded lab run", exact=True)).to_be_in_viewport()
    slider(lab).fill(str(run.seconds))
    row = lab.get_by_role("row", name=re.compile(re.escape(QUESTION))).get_by_role("cell")
    expect(row).to_have_count(5)
    assert [text.split(" ", 1)[1] for text in row.all_inner_texts()[3:]] == said
    expect(lab.get_by_role("button", name="Copy link to this moment")).to_be_hidden()  # only this visitor has the file
    lab.get_by_role("button", name="Close").click()
    lab.get_by_label("Open a saved lab run").set_input_files(file)
    expect(lanes_of(lab)).to_have_count(2)
    expect(lab.get_by_text(run.title, exact=True)).to_be_visible()


def test_other_files_are_rejected_with_an_explanation(open_page):
    lab = lab_of(open_page(run=None, query="&lab=no-such-run"))
    expect(lab.get_by_role("alert")).to_have_text("The lab run in this link is not available here.")
    data = RECORDED.path.read_bytes()
    upload = lab.get_by_label("Open a saved lab run")
    for name, content, words in (
        ("broken.hermesrun", data[: len(data) // 2], "damaged"),
        ("single.hermesrun", (RUNS / "first-card-window.hermesrun").read_bytes(), "a run of one memory"),
    ):
        upload.set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})
        expect(lab.get_by_role("alert")).to_contain_text(words)
        expect(lab.get_by_role("alert")).to_contain_text(name)
    expect(lab.get_by_role("button", name="Run", exact=True)).to_be_visible()


def test_a_recorded_lab_run_fits_the_screen(open_page):
    page = open_page(run=None, query=f"&lab={LAB_ID}&t=62", width=390, height=844)
    lab = lab_of(page)
    expect(lanes_of(lab)).to_have_count(len(RECORDED.lanes))
    for width, dark in LOOKS:
        look(page, width, dark)
        until(page, lambda width=width: page.evaluate("document.documentElement.scrollWidth") <= width)
        for name in ("Pause", "Restart", "Close", "Copy link to this moment", "Run this comparison live"):
            box = lab.get_by_role("button", name=name).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
