"""The view Compare: methods side by side on a clip, one question to all; recorded, saved, opened again and pinned."""

from __future__ import annotations

import json
import re
import statistics
from functools import cache

from conftest import ROOT, started, tabs, until
from playwright.sync_api import expect
from test_explore_page import FIGURE
from test_page import pause, position
from test_screen_sizes import resize

from hermes import trace

RUNS = ROOT / "assets" / "runs"
LAB_ID = json.loads((RUNS / "index.json").read_text("utf-8"))["labs"][0]["id"]
QUESTION = "What was the first card?"


@cache  # not read by workers that run other tests
def recorded():
    """The bundled lab run."""
    return trace.read_lab(RUNS / f"{LAB_ID}.hermesrun")


def lab_of(page):
    return page.get_by_role("region", name="Compare", exact=True)


def lanes_of(lab):
    return lab.get_by_role("list", name="Methods side by side").get_by_role("listitem")


def open_live(page):
    """Show Compare in place of the stream, and its tab for live comparisons."""
    page.get_by_role("button", name="Compare", exact=True).click()
    lab = lab_of(page)
    if page.viewport_size["width"] <= 640:
        lab.get_by_role("button", name="More controls").click()
    lab.get_by_role("tab", name="Live").click()
    return lab


def run_live(lab, *more):
    """Run HERMES and a sliding window, and `more` methods, as fast as possible to the end of the clip."""
    for number, title in enumerate(("HERMES", "Sliding window", *more, "none", "none")[:4], 1):
        lab.get_by_label(f"Method {number}").select_option(label=title)
    lab.get_by_role("combobox", name="Speed").select_option(label="Max")
    lab.get_by_role("button", name="Run", exact=True).click()
    expect(lab.get_by_text(re.compile("Finished.* 80 frames"))).to_be_visible()


def ask(lab, question):
    lab.get_by_label("Question to all methods").fill(question)
    lab.get_by_role("button", name="Ask all").click()
    row = lab.get_by_role("row", name=re.compile(re.escape(question)))
    expect(row).to_be_visible()
    for number, lane in enumerate(lanes_of(lab).all(), 3):
        cell = row.get_by_role("cell").nth(number)
        expect(cell).to_have_text(re.compile("^[✓✗] "))
        expect(lane.locator(".hl-lab-answer")).to_have_text(cell.inner_text())


def costs(lane):
    """The costs on a card by name: (value, note)."""
    return {
        row.locator("dt").inner_text(): (row.locator("dd span").inner_text(), row.locator("dd small").text_content())
        for row in lane.locator("dl > div").all()
    }


def drawn(canvas):
    return canvas.evaluate(
        "node => node.getContext('2d').getImageData(0, 0, node.width, node.height).data.some(x => x)"
    )


def small_targets(page):
    """Targets of Compare that are too small for a finger."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.hl-head, .hl-lab')].flatMap((part) =>
        [...part.querySelectorAll('button, summary, select, label, [role="radio"]')])
        .filter(node => node.checkVisibility() && !node.closest('.hl-hidden'))
        .filter(node => node.getBoundingClientRect().width < 28 || node.getBoundingClientRect().height < 28)
        .map(node => node.outerHTML.slice(0, 120))"""
    )


def assert_on_first_screen(page):
    for part in (
        lab_of(page),
        *lanes_of(lab_of(page)).all(),
        lab_of(page).get_by_role("group", name="Table of all questions"),
    ):
        box = part.bounding_box()
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]
        assert box["y"] + box["height"] <= page.viewport_size["height"]


def test_three_methods_fit_the_first_screen_and_are_explored_and_pinned(open_page):
    page = open_page()
    lab = open_live(page)
    run_live(lab, "Full cache")
    lanes = lanes_of(lab)
    expect(lanes).to_have_count(3)
    ask(lab, "What is shown now?")
    for lane in lanes.all():
        until(page, lambda lane=lane: costs(lane)["First token"][1] == "one answer")
    ask(lab, QUESTION)
    row = lab.get_by_role("row", name=re.compile(re.escape(QUESTION))).get_by_role("cell")
    expect(row.nth(2)).to_have_text("Red circle.")
    for i, title in enumerate(("HERMES", "Sliding window", "Full cache")):
        lane = lanes.nth(i)
        expect(lane.get_by_role("heading")).to_have_text(title)
        message = lane.locator(".hl-lab-answer").inner_text()
        right = message.startswith("✓")
        assert right == ("Red circle." in message)
        expect(row.nth(3 + i)).to_have_text(message)
        until(page, lambda lane=lane: costs(lane)["First token"][1].endswith(" in 2 answers"))
        found = costs(lane)
        assert found["Tokens held"] == ("1,280" if title == "Full cache" else "128", "of 1,280")
        assert re.fullmatch(r"[\d.,]+ ms", found["First token"][0])
        assert re.fullmatch(r"[\d.,]+ to [\d.,]+ in 2 answers", found["First token"][1])
        assert "Archive" not in found, "no method of this comparison uses one"
        canvas = lane.get_by_role("img", name=re.compile(rf"^{title} holds \d+ % of all tokens"))
        until(page, lambda canvas=canvas: drawn(canvas), f"the memory of {title} is not drawn")
    expect(lanes.nth(1).locator(".hl-lab-verdict")).to_contain_text("Seen, then forgotten")
    expect(lab.get_by_role("row", name=re.compile("^ *correct"))).to_be_visible()
    lab.get_by_role("button", name="Table: what each layer holds").click()
    rows = lab.get_by_role("region", name="Table: what each layer holds").locator("tbody tr")
    expect(rows.last).to_contain_text("attended most to 0:")
    expect(rows.nth(2)).to_be_attached()
    first = rows.first.locator("td").all_inner_texts()
    assert re.fullmatch(r"\d+ %, from 0:\d\d on \(sensory\)", first[0])
    assert first[2] == "100 %, from 0:00 on"
    lab.get_by_role("button", name="Table: what each layer holds").click()
    for size in ((1440, 900), (1280, 720)):
        resize(page, size)
        assert_on_first_screen(page)  # with the table of questions; the verdicts are folded
    verdict = lanes.nth(1).locator(".hl-lab-verdict")
    expect(verdict.locator("p")).to_be_hidden()
    verdict.locator("summary").click()
    expect(verdict.locator("p")).to_be_visible()
    lab.get_by_role("button", name="Explore the figures of Sliding window").click()
    explore = page.get_by_role("region", name="Explore")
    expect(explore.get_by_text(re.compile("^Quick tour, Sliding window, at 0:39"))).to_be_visible()
    page.locator(FIGURE).first.wait_for()
    expect(explore.get_by_role("combobox", name="Memory")).to_have_value("lane-1")

    # The result is pinned, and a recorded comparison beside it.
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(lanes).to_have_count(3)
    held = lanes.first.locator("canvas").get_attribute("aria-label")
    message = lab.locator(".hl-lab-answer").all_inner_texts()
    verdicts = lab.locator(".hl-lab-verdict").all_text_contents()
    lab.get_by_role("button", name="Pin this result").click()
    first = lab.get_by_role("region", name="Quick tour")
    expect(first.locator(".hl-lab-question")).to_have_text(f"0:39 {QUESTION} Correct answer: Red circle.")
    expect(first.locator(".hl-lab-answer")).to_have_text(message)
    assert first.locator(".hl-lab-verdict").all_text_contents() == verdicts
    expect(first.locator("canvas").first).to_have_attribute("aria-label", held)
    until(page, lambda: drawn(first.locator("canvas").first), "the pinned memory is not drawn")
    pinned = costs(first.get_by_role("listitem").first)
    assert pinned["Tokens held"] == ("128", "of 1,280")
    lab.get_by_role("button", name="Pin the stream view").click()  # nothing runs there
    expect(lab.get_by_role("alert")).to_have_text(re.compile("nothing to pin yet"))
    lab.get_by_role("tab", name="Recorded").click()
    lab.get_by_role("radiogroup", name="Available comparisons").get_by_role("radio").first.click()
    expect(lanes).to_have_count(len(recorded().lanes))
    lab.get_by_role("button", name="Pin this result").click()
    second = lab.get_by_role("region", name=recorded().title)
    expect(second.get_by_role("listitem")).to_have_count(len(recorded().lanes))
    expect(first.get_by_role("listitem")).to_have_count(3)  # side by side with the first one
    pins = lab.get_by_role("list", name="Pinned results").get_by_role("listitem")
    pins.first.get_by_role("checkbox").uncheck()
    expect(first).to_be_hidden()
    expect(second).to_be_visible()
    resize(page, (390, 844))
    assert small_targets(page) == []
    lab.get_by_role("button", name="Remove all").click()
    expect(pins).to_have_count(0)
    page.wait_for_function("sessionStorage.getItem('hermes-pins') === null")


def test_the_opening_run_offers_the_comparison_and_back_returns_to_it(open_page):
    page = open_page(run=None)
    stream, lab = page.get_by_role("region", name="Stream", exact=True), lab_of(page)
    stream.get_by_role("radio", name="1×").click()
    expect(lab).to_be_hidden()
    stream.get_by_role("button", name="Compare methods").click()
    expect(stream).to_be_hidden()
    expect(lab.get_by_role("heading", name=recorded().title)).to_be_in_viewport()
    expect(lab.get_by_role("heading", name="Compare 2–4 methods on one video")).to_be_focused()
    expect(page).to_have_url(re.compile("view=compare"))
    page.wait_for_function("scrollY === 0")
    lab.get_by_role("button", name="Back to the stream").click()
    expect(lab).to_be_hidden()
    expect(stream.get_by_text("Playing", exact=True)).to_be_visible()  # as it was left
    expect(page.get_by_role("list", name="Questions and answers")).to_contain_text("Red triangle")
    expect(page).not_to_have_url(re.compile("view="))
    page.go_forward()
    expect(lab.get_by_text(re.compile("^Playing"))).to_be_visible()
    expect(stream).to_be_hidden()
    page.go_back()
    expect(stream).to_be_visible()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("button", name="Lessons", exact=True).click()
    expect(stream).to_be_visible()  # the lessons are about it


# Recorded comparisons ----------------------------------------------------------------------------------------------------


def slider(lab):
    return lab.get_by_role("slider", name="Position in the comparison")


def drawing(lane):
    return lane.locator("canvas").evaluate("node => node.toDataURL()")


def shows(lab, seconds):
    """Wait until the lab shows the answers of a moment of the bundled run, and check them against the file."""
    known = [turns for turns in recorded().questions if turns[0].done <= seconds]
    rows = lab.get_by_role("table").locator("tbody tr")
    expect(rows).to_have_count(len(known))
    for i, turn in enumerate(known[-1]):
        right = "✓" if turn.answer == turn.truth else "✗"
        expect(lanes_of(lab).nth(i).locator(".hl-lab-answer")).to_have_text(f"{right} {turn.answer}")
        expect(rows.last.get_by_role("cell").nth(3 + i)).to_have_text(f"{right} {turn.answer}")


def shows_from(lab, seconds):
    """Pause the comparison, and check that it is at a moment or somewhat later and shows the answers of its position."""
    pause(lab)
    at = position(lab)
    assert seconds <= at < recorded().seconds
    shows(lab, at)


def test_a_link_opens_a_recorded_lab_run_that_plays_and_its_pins_survive_a_reload(app, shared_context):
    with tabs(app, shared_context) as (open_page, troubles):
        play_and_reload(open_page, app)
    assert [one for one in troubles if "AbortError" not in one] == []  # of requests that the reload ended


def play_and_reload(open_page, app):
    third, fourth = recorded().questions[2][0].at, recorded().questions[3][0].at
    page = open_page(run=None, query=f"&lab={LAB_ID}&t={third + 1}")
    lab = lab_of(page)
    expect(lab.get_by_role("heading", name=recorded().title)).to_be_in_viewport()
    expect(lab.locator(".hl-run-badge")).to_have_text("Recorded")
    lab.get_by_text("About this recording").click()
    expect(lab.locator(".hl-run-label")).to_contain_text(recorded().head.machine)
    expect(lab.locator(".hl-run-label")).to_contain_text(recorded().head.created[:10])
    expect(page.get_by_text("Recorded run", exact=True)).to_be_hidden()  # nothing else plays
    expect(lab.get_by_text(re.compile(r"^Playing · \d+ frames seen"))).to_be_visible()
    shows_from(lab, third + 1)
    lab.get_by_role("button", name="Resume").click()
    lab.get_by_role("radio", name="30×").click()
    expect(lab.get_by_text("End of the recording")).to_be_visible()
    shows(lab, recorded().seconds)
    lab.get_by_role("radio", name="1×").click()
    expect(lab.get_by_role("radio", name="1×")).to_be_checked()
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
    lab.get_by_role("button", name="Pin this result").click()
    message = lab.get_by_role("region", name=recorded().title).locator(".hl-lab-answer").all_inner_texts()
    with page.expect_navigation():
        page.evaluate("location.reload()")
    started(page)
    lab.get_by_role("tab", name="Pinned (1)").click()
    pin = lab.get_by_role("region", name=recorded().title)
    expect(pin.get_by_role("listitem")).to_have_count(len(recorded().lanes))
    expect(pin.locator(".hl-lab-answer")).to_have_text(message)


def test_the_menu_opens_a_recorded_lab_run_and_seeking_draws_that_moment(open_page):
    page = open_page()
    page.get_by_role("button", name="Compare", exact=True).click()  # an empty view opens a recorded comparison
    lab = lab_of(page)
    expect(lanes_of(lab)).to_have_count(len(recorded().lanes))
    expect(lab.get_by_role("button", name="Run", exact=True)).to_be_hidden()
    lab.get_by_role("button", name="Pause").click()
    expect(lab.get_by_text(re.compile("^Paused"))).to_be_visible()
    lab.get_by_role("group", name="Questions of this comparison").get_by_role("button").last.click()
    at = recorded().questions[-1][0].at
    shows(lab, at)
    seen = recorded().lanes[0].view(at).snapshot
    held = (f"{seen.kept_per_layer.max():,}", f"of {seen.tokens_seen:,}")
    until(page, lambda: costs(lanes_of(lab).first)["Tokens held"] == held, lambda: f"{costs(lanes_of(lab).first)}")
    found = costs(lanes_of(lab).first)
    times = [turns[0].first_ms for turns in recorded().questions]
    assert found["First token"][0] == f"{statistics.median(times):.1f} ms"
    assert found["First token"][1].endswith(f"in {len(times)} answers")
    late = drawing(lanes_of(lab).first)
    slider(lab).fill("10")
    expect(lab.get_by_text("21 frames seen")).to_be_visible()
    shows(lab, 10)
    until(lab.page, lambda: drawing(lanes_of(lab).first) != late, "the drawing did not change")
    lab.get_by_role("button", name="Close").click()
    expect(lanes_of(lab)).to_have_count(0)
    lab.get_by_role("radiogroup", name="Available comparisons").get_by_role("radio").first.click()
    expect(lanes_of(lab)).to_have_count(len(recorded().lanes))


def test_a_method_of_a_recorded_comparison_is_opened_in_the_stream_view_and_all_run_live(open_page):
    page = open_page(run=None, query=f"&lab={LAB_ID}&t=62")
    lab = lab_of(page)
    expect(lanes_of(lab)).to_have_count(len(recorded().lanes))
    lab.get_by_role("button", name="Pause").click()
    expect(lab.get_by_text(re.compile("^Paused"))).to_be_visible()
    slider(lab).fill("62")
    expect(lab.get_by_text("125 frames seen")).to_be_visible()
    lab.get_by_role("button", name="Open Sliding window in the stream view").click()
    board = page.get_by_role("region", name="Memory board")
    expect(board.get_by_role("heading", name="What is still remembered")).to_be_in_viewport()
    expect(page.get_by_role("region", name="Stream").get_by_role("heading", name="Sliding window")).to_be_attached()
    expect(board.get_by_text(re.compile("^125 frames seen"))).to_be_visible()
    expect(page.get_by_role("tab", name="Recorded")).to_have_attribute("aria-selected", "true")
    checked = page.get_by_role("radiogroup", name="Recorded runs").get_by_role("radio", checked=True)
    expect(checked).to_have_count(0)  # it is none of the list
    expect(page.get_by_role("list", name="Questions and answers")).to_contain_text("White circle.")
    page.get_by_role("button", name="Compare", exact=True).click()
    lab.get_by_role("button", name="Open HERMES in the stream view").click()
    expect(page.get_by_role("region", name="Stream").get_by_role("heading", name="HERMES", exact=True)).to_be_attached()

    # The methods run again live.
    page.get_by_role("button", name="Compare", exact=True).click()
    lab.get_by_role("button", name="Run it live").click()
    expect(lab.get_by_text(re.compile(r"^Running · 0:\d\d of 1:30"))).to_be_visible()
    expect(lab.get_by_label("Budget")).to_have_value(str(recorded().head.settings.budget))
    expect(lanes_of(lab)).to_have_count(len(recorded().lanes))
    lab.get_by_role("button", name="End").click()
    expect(lanes_of(lab)).to_have_count(0)


def test_a_question_to_all_at_one_moment_is_recorded_and_opened_again(open_page, tmp_path):
    page = open_page(width=390, height=844, dark=True)
    lab = open_live(page)
    lab.get_by_label("Method 3").select_option(label="none")
    lab.get_by_role("combobox", name="Speed").select_option(label="1×")  # it must not end before it is paused
    lab.get_by_role("button", name="Run", exact=True).click()
    lab.get_by_role("button", name="Record", exact=True).click()
    expect(lab.get_by_text(re.compile(r"^Recording · \d+ moments?"))).to_be_visible()
    expect(lab.get_by_text(re.compile(r"of 0:40, ([89]|[1-7]\d) frames"))).to_be_visible()
    lab.get_by_role("button", name="Pause").click()
    expect(lab.get_by_text("Paused")).to_be_visible()
    ask(lab, QUESTION)
    assert lab.evaluate("node => document.documentElement.scrollWidth <= innerWidth")
    assert small_targets(page) == []
    message = [text.split(" ", 1)[1] for text in lab.locator(".hl-lab-answer").all_inner_texts()]
    with page.expect_download() as arriving:
        lab.get_by_role("button", name="Save recording").click()
    file = tmp_path / arriving.value.suggested_filename
    arriving.value.save_as(file)
    run = trace.read_lab(file)
    assert run.head.clip_id == "quick-tour"
    assert [[turn.answer for turn in turns] for turns in run.questions] == [message]
    lab.get_by_role("button", name="Resume").click()
    lab.get_by_role("button", name="End").click()
    expect(lanes_of(lab)).to_have_count(0)
    lab.get_by_label("Method 2").select_option(label="HERMES")
    lab.get_by_role("button", name="Run", exact=True).click()
    expect(lab.get_by_role("alert")).to_have_text("Choose at least two different methods.")

    page.set_viewport_size({"width": 1440, "height": 900})
    lab.get_by_role("button", name="Back to the stream").click()
    page.get_by_role("tab", name="Upload").click()
    page.locator("#hl-file").set_input_files(file)
    expect(lab.locator(".hl-run-badge")).to_be_in_viewport()
    slider(lab).fill(str(run.seconds))
    row = lab.get_by_role("row", name=re.compile(re.escape(QUESTION))).get_by_role("cell")
    expect(row).to_have_count(5)
    for number, answer in enumerate(message, 3):
        expect(row.nth(number)).to_have_text(re.compile(f"^[✓✗] {re.escape(answer)}$"))
    expect(lab.get_by_role("button", name="Copy link to this moment")).to_be_hidden()  # only this visitor has the file
    lab.get_by_role("button", name="Close").click()
    lab.get_by_label("Open a saved comparison").set_input_files(file)
    expect(lanes_of(lab)).to_have_count(2)
    expect(lab.get_by_text(run.title, exact=True)).to_be_visible()


def test_other_files_are_rejected_with_an_explanation(open_page):
    lab = lab_of(open_page(run=None, query="&lab=no-such-run"))
    expect(lab.get_by_role("alert")).to_have_text("The comparison in this link is not available here.")
    data = recorded().path.read_bytes()
    upload = lab.get_by_label("Open a saved comparison")
    for name, content, words in (
        ("broken.hermesrun", data[: len(data) // 2], "damaged"),
        ("single.hermesrun", (RUNS / "first-card-window.hermesrun").read_bytes(), "a run of one memory"),
    ):
        upload.set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})
        expect(lab.get_by_role("alert")).to_contain_text(words)
        expect(lab.get_by_role("alert")).to_contain_text(name)
    lab.get_by_role("tab", name="Live").click()
    expect(lab.get_by_role("button", name="Run", exact=True)).to_be_visible()
