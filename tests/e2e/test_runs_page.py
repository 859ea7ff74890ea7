"""Recorded runs in a browser: the page opens on one, it plays, it can be linked to, and a recording can be opened again."""

from __future__ import annotations

import json
import re
from functools import cache

import pytest
from conftest import ROOT, laid_out, steady, until
from playwright.sync_api import expect
from test_page import ask, board, frames, pause, picture, position, redrawn, start, turns, wait_frames, wait_position

from hermes import trace

RUNS = ROOT / "assets" / "runs"
BLANK = """[...document.querySelectorAll('.hl-board canvas:first-of-type')].filter((canvas) => {
    if (!canvas.checkVisibility() || !canvas.width || !canvas.height) return false;
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    return !copy.getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value);
}).length"""
"""Number of visible figures without content."""
DRAWN = "[...document.querySelectorAll('.hl-board canvas:first-of-type')].filter((c) => c.checkVisibility()).length"


@cache  # not read by workers that run other tests
def runs():
    """The bundled runs, in their order on the page."""
    listed = json.loads((RUNS / "index.json").read_text("utf-8"))["runs"]
    return [trace.read(RUNS / f"{entry['id']}.hermesrun") for entry in listed]


def first():
    """The run on which the page opens."""
    return runs()[0]


def slider(page):
    return page.get_by_role("slider", name="Position in the run")


def test_the_page_opens_on_a_run_that_plays_and_prints(open_page):
    known = first()  # read before the page opens, because the run plays for half a minute only
    opened = json.loads((RUNS / "index.json").read_text("utf-8"))["runs"][0]["open_at"]
    page = open_page(run=None)
    wait_position(page, opened + 2)
    wait_frames(page, known.view(opened).snapshot.frames_seen + 1)
    pause(page)
    expect(page.get_by_role("img", name=re.compile(r"^Frame \d+ as the model has seen it"))).to_be_visible()
    expect(page.get_by_text("Recorded run", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name=known.title)).to_be_visible()
    expect(page.locator(".hl-run-label")).to_contain_text(known.head.model["title"])
    expect(page.locator(".hl-run-label")).to_contain_text(f"{known.settings.budget:,} tokens per layer")
    expect(page.locator(".hl-run-label")).to_contain_text(known.head.machine)
    page.get_by_role("tab", name="Recorded").click()
    expect(page.get_by_role("radiogroup", name="Recorded runs").get_by_role("radio")).to_have_count(len(runs()))
    page.keyboard.press("Escape")

    # All figures are on paper.
    expect(page.get_by_role("region", name="Why this answer was right or wrong").get_by_role("table")).to_be_attached()
    until(page, lambda: page.evaluate(BLANK) == 0, "a figure on the screen is empty")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(DRAWN) > 5
    assert page.evaluate(BLANK) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    laid_out(page)
    until(page, lambda: page.evaluate(BLANK) == 0, "a figure on the screen is empty")


def test_the_newest_answer_of_a_moment_is_in_sight_and_questions_come_at_their_times_with_the_truth(open_page):
    known = first().chat
    page = open_page(run=f"{first().id}&t={known[4].at + 0.2}", width=390, height=844)  # the log is short there
    pause(page)
    expect(turns(page)).to_have_count(5)
    log = page.get_by_role("list", name="Questions and answers")
    assert log.evaluate("node => node.scrollHeight > node.clientHeight + 60")  # else this shows nothing
    rest = "node => node.scrollHeight - node.scrollTop - node.clientHeight"
    until(page, lambda: log.evaluate(rest) < 60, "the newest answer is out of sight")

    slider(page).fill(str(known[1].at - 1))
    expect(turns(page)).to_have_count(1)
    expect(turns(page).first.locator(".hl-a")).to_have_text(known[0].answer)
    expect(turns(page).first.locator(".hl-foot")).to_contain_text("right")
    page.get_by_role("button", name="Resume").click()
    expect(turns(page)).to_have_count(2)
    expect(turns(page).nth(1).locator(".hl-a")).to_have_text(known[1].answer)
    page.get_by_role("group", name="Suggested questions").get_by_role("button").last.click()
    expect(turns(page)).to_have_count(len(known))


def test_a_wrong_link_is_explained_and_the_run_can_be_paused_and_sought_but_not_asked(open_page):
    page = open_page(run="..%2F..%2F%3Cscript%3E&t=-5&layer=999")
    expect(page.get_by_role("alert")).to_contain_text("not available here")
    expect(page.get_by_role("heading", name=first().title)).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    held = position(page)
    assert steady(page, lambda: position(page)) == held, "the run was not paused"
    slider(page).fill("60")
    until(page, lambda: position(page) == 60, lambda: f"at {position(page)} instead of 60 s")  # it may come from later
    until(page, lambda: frames(page) == first().view(60).snapshot.frames_seen, "the board is at another moment")
    far = picture(board(page))
    slider(page).focus()
    page.keyboard.press("Home")
    expect(page.get_by_label("Stream clock")).to_contain_text("0:00.0")
    expect(page.get_by_text(re.compile(r"^1 frame seen, "))).to_be_visible()
    redrawn(board(page), far)
    page.get_by_role("radio", name="8×").click()
    page.get_by_role("button", name="Resume").click()
    wait_position(page, 12)
    page.get_by_role("radio", name="1×").click()
    slider(page).fill(str(first().seconds))
    expect(page.get_by_text("End of the recording")).to_be_visible()
    page.get_by_role("button", name="Play again").click()
    expect(page.get_by_text("Playing", exact=True)).to_be_visible()
    until(page, lambda: position(page) < first().seconds / 2, "it does not play from the start")

    expect(page.get_by_text("Recorded run", exact=True)).to_be_visible()
    ask(page, "What is shown now?")
    expect(page.get_by_text("Run it live to ask your own questions")).to_be_visible()
    expect(page.get_by_label("Your question")).to_have_value("What is shown now?")
    page.get_by_role("button", name="Run it live").click()
    expect(page.get_by_role("region", name="Stream").get_by_text(re.compile("^Streaming"))).to_be_visible()
    expect(page.get_by_text("Recorded run", exact=True)).to_be_hidden()
    wait_frames(page, 2)
    expect(turns(page)).to_have_count(0)
    ask(page, "What is shown now?")
    expect(turns(page).first).to_have_attribute("data-state", "done")


def test_a_link_opens_a_moment_and_a_layer(open_page, app):
    longest = max(runs(), key=lambda run: run.seconds)
    page = open_page(run=f"{longest.id}&t=1200&layer=2")
    expect(page.get_by_role("heading", name=longest.title)).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()  # until then it continues
    assert 1200 <= position(page) < longest.seconds
    expect(page.get_by_role("group", name="One frame").get_by_label("Layer", exact=True)).to_have_value("2")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    at = position(page)
    page.get_by_role("button", name="Copy link to this moment").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(app.url)
    assert f"run={longest.id}" in link
    assert "layer=2" in link
    assert float(re.search(r"[?&]t=([\d.]+)", link)[1]) == pytest.approx(at, abs=0.6)


def test_record_and_open_the_file_again_and_a_damaged_one(open_page, tmp_path):
    page = open_page()
    start(page)
    wait_frames(page, 6)
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_text(re.compile(r"^Recording · \d+ moments?"))).to_be_visible()
    seen = frames(page)
    wait_frames(page, seen + 8)
    ask(page, "What is shown now?")
    expect(turns(page).first).to_have_attribute("data-state", "done")
    message = turns(page).first.locator(".hl-a").inner_text()
    wait_frames(page, frames(page) + 4)
    with page.expect_download() as arriving:
        page.get_by_role("button", name="Save recording").click()
    file = tmp_path / arriving.value.suggested_filename
    arriving.value.save_as(file)
    run = trace.read(file)
    assert run.clip_id == "first-card"
    assert [turn.answer for turn in run.chat] == [message]
    assert run.view(run.seconds).snapshot.answer.answer == message
    page.get_by_role("tab", name="Upload").click()
    page.locator("#hl-file").set_input_files(file)
    expect(page.get_by_text("Recorded run", exact=True)).to_be_visible()
    slider(page).fill(str(run.seconds))
    expect(turns(page).first.locator(".hl-a")).to_have_text(message)
    until(page, lambda: frames(page) == run.frames, lambda: f"{frames(page)} of {run.frames} frames")
    expect(page.get_by_role("button", name="Copy link to this moment")).to_be_hidden()  # only this visitor has the file

    data = (RUNS / f"{first().id}.hermesrun").read_bytes()
    page.get_by_role("tab", name="Upload").click()
    page.locator("#hl-file").set_input_files(
        {"name": "broken.hermesrun", "mimeType": "application/octet-stream", "buffer": data[: len(data) // 2]}
    )
    expect(page.get_by_role("alert")).to_contain_text("broken.hermesrun")
    expect(page.get_by_role("alert")).to_contain_text("damaged")
