"""The board in a browser: filmstrip, layers by score, one opened frame, retention, token history, exports, keys."""

from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path

import pytest
from conftest import new_context, tabs, until
from playwright.sync_api import expect
from test_page import answered, ask, board, export, frames, pause, picture, redrawn, start, turns

CLIP_FRAMES = 180
"""Frames that a stream of the clip First card has seen at its end: 90 seconds, two frames each."""


def view(page, name):
    return page.locator(f'[data-view="{name}"]')


def film(page):
    return page.get_by_role("application", name=re.compile("^Filmstrip of memory"))


@pytest.fixture(scope="module")
def finished(app, shared_context):
    """A page whose clip ran to its end, past several evictions, and what it logged. The tests share its stream."""
    with tabs(app, shared_context) as (make, troubles):
        page = make()
        start(page, speed="Max")
        expect(page.get_by_text("Finished. You can still ask questions")).to_be_visible()
        until(page, lambda: frames(page) == CLIP_FRAMES, lambda: f"only {frames(page)} of {CLIP_FRAMES} frames")
        yield page, troubles


@pytest.fixture
def streamed(finished):
    """The page without what another test opened: the whole stream, the tokens kept, no frame and the first tab."""
    page, troubles = finished
    page.bring_to_front()
    page.locator('[aria-label="Close the frame"]').dispatch_event("click")  # it can be in a tab that is not shown
    page.get_by_role("button", name="Fit the whole stream").click()
    page.get_by_role("radio", name="Tokens kept").click()
    page.get_by_role("tab", name="Why this answer").click()
    yield page
    assert troubles == []


def test_the_filmstrip_zooms_from_the_whole_stream_to_one_frame_by_buttons_keys_and_wheel(streamed):
    page = streamed
    message = view(page, "filmstrip").locator(".hl-window")
    expect(message).to_have_text(
        re.compile(
            r"^Showing the whole stream\. Each picture represents \d+ frames and shows the one that is best preserved\.$"
        )
    )
    before = picture(film(page))
    for _ in range(12):
        page.get_by_role("button", name="Zoom in").click()
    expect(message).to_have_text(re.compile(r"^Showing frame \d+\.$"))
    redrawn(film(page), before)
    page.get_by_role("button", name="Fit the whole stream").click()
    expect(message).to_have_text(re.compile("^Showing the whole stream"))
    film(page).focus()
    page.keyboard.press("+")
    expect(message).not_to_have_text(re.compile("whole stream"))
    page.keyboard.press("0")
    expect(message).to_have_text(re.compile("^Showing the whole stream"))
    film(page).scroll_into_view_if_needed()
    box = film(page).bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 40)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    expect(message).to_have_text(re.compile(r"^Showing frames \d"))


def test_forgotten_patches_of_the_filmstrip_fade(streamed):
    """The table has the values of the figure: sensory memory evicts old frames and retains the newest completely."""
    page = streamed
    export(page, "Table", "What is still remembered")
    until(page, lambda: min(sensory_shares(page), default=100) < 50, "no old frame is shown to be forgotten")
    film(page).focus()
    page.keyboard.press("End")
    for _ in range(5):
        page.keyboard.press("+")
    until(page, lambda: sensory_shares(page)[-1:] == [100], "the newest frame is not whole")


def sensory_shares(page):
    """Percent of each picture that sensory memory holds. Pictures that have not arrived after zooming have no value."""
    rows = page.get_by_role("region", name="Table: What is still remembered").locator("tbody tr").all_inner_texts()
    cells = [text.split("\t") for text in rows]
    return [float(row[2].replace("under ", "").rstrip(" %")) for row in cells if len(row) > 2 and "%" in row[2]]


def test_layers_can_be_shown_by_every_score_and_say_their_scale(streamed):
    page = streamed
    ask(page, "What is shown now?")
    assert answered(turns(page).first)
    pictures = set()
    for name, unit in {
        "Tokens kept": "tokens of a frame", "Importance": "score at the last eviction", "Recency": "first part",
        "Guidance attention": "second part", "Answer attention": "last answer",
    }.items():  # fmt: skip
        page.get_by_role("radio", name=name).click()
        expect(page.get_by_role("radio", name=name)).to_have_attribute("aria-checked", "true")
        expect(view(page, "layers").locator(".hl-scale")).to_contain_text(unit)
        pictures.add(redrawn(board(page), *pictures))
    assert len(pictures) == 5


def test_a_click_opens_the_frame_as_the_layer_remembers_it(streamed):
    page = streamed
    page.evaluate("HermesLive.boardView({ frame: 6, layer: 9 })")
    panel = page.get_by_role("group", name="One frame")
    expect(panel.get_by_role("heading", name="Frame 7, seen at 0:03")).to_be_visible()
    expect(panel).to_contain_text(re.compile(r"Layer 9 · long-term holds \d+ of 16 patches through \d+ evictions"))
    canvas = panel.get_by_role("application", name=re.compile("^The frame with the patches"))
    canvas.hover(position={"x": 20, "y": 20})
    expect(page.locator(".hl-tip")).to_contain_text(re.compile(r"Patch in row 1, column 1.*(evicted|held since)"))
    first = picture(canvas)
    panel.get_by_label("Layer", exact=True).select_option("0")
    expect(panel).to_contain_text("Layer 0 · sensory holds")
    redrawn(canvas, first)
    panel.get_by_role("button", name="Close the frame").click()
    expect(panel).to_be_hidden()
    board(page).click(position={"x": 150, "y": 34})
    expect(panel).to_be_visible()


def test_the_token_history_of_a_frame(streamed):
    page = streamed
    page.get_by_role("tab", name="Token history").click()
    expect(view(page, "life")).to_contain_text(
        re.compile(r"Frame \d+ is shown because it is .*Click a picture or a cell")
    )
    expect(view(page, "life")).to_contain_text(re.compile(r"Frame \d+ was seen at"))
    page.evaluate("HermesLive.boardView({ frame: 4, layer: 8, view: 'life' })")
    history = view(page, "life")
    expect(history).not_to_contain_text("is shown because")
    expect(history).to_contain_text("Frame 5 was seen at 0:02.0 as 16 tokens in each of 10 layers.")
    expect(history).to_contain_text(re.compile(r"Layer \d+: \d+ tokens? merged into the summary token of 0:\d\d"))
    expect(history.get_by_role("img", name=re.compile("^Tokens of the frame held by each layer"))).to_be_visible()
    export(page, "Table", "Token history of one frame")
    table = page.get_by_role("region", name="Table: Token history of one frame")
    expect(table.get_by_role("row").nth(2)).to_be_attached()
    rows = table.get_by_role("row").all()
    held = [[int(cell.inner_text()) for cell in row.get_by_role("cell").all()[:10]] for row in rows[1:]]
    assert all(a >= b for one, two in itertools.pairwise(held) for a, b in zip(one, two, strict=True))
    assert sum(held[-1]) < 160


def test_every_figure_has_its_table_and_retention_shows_survival_and_evictions(open_page):
    page = open_page(run="first-card-hermes&t=30")  # few frames, so that the tables are short
    pause(page)
    page.evaluate("HermesLive.boardView({ frame: 8, layer: 8 })")
    expect(page.get_by_role("heading", name="Frame 9, seen at")).to_be_visible()
    expect(view(page, "life")).to_contain_text("Frame 9 was seen at")
    names = set()
    for tab, number in (("Why this answer", 4), ("Evictions", 8), ("Token history", 6)):
        page.get_by_role("tab", name=tab).click()
        figures = page.locator(".hl-board figure:has(canvas)").filter(visible=True)
        expect(figures).to_have_count(number)
        for figure in figures.all():
            title = figure.locator("summary").get_attribute("aria-label").removeprefix("Export: ")
            if title not in names:
                table_opens_and_closes(page, figure, title)
            names.add(title)
    assert len(names) == 12  # strip, layers, timeline; answer; five of retention; a frame twice, and its token history

    # Retention: what survives, and the evictions.
    page.get_by_role("tab", name="Evictions").click()
    export(page, "Table", "How much survives")
    rows = page.get_by_role("region", name="Table: How much survives").get_by_role("row")
    expect(rows.first).to_contain_text("Sensory: still held")
    expect(rows.nth(1)).to_contain_text("100 %")
    export(page, "Table", "Evictions")
    expect(page.get_by_role("region", name="Table: Evictions").get_by_role("row").nth(1)).to_contain_text("0:")


def table_opens_and_closes(page, figure, title):
    export(page, "Table", title, within=figure)
    region = page.get_by_role("region", name=f"Table: {title}", exact=True)
    expect(region.locator("table tr").nth(2), title).to_be_attached()
    expect(region.locator("table thead th").nth(1), title).to_be_attached()
    export(page, "Table", title, within=figure)
    expect(region).to_be_hidden()


def saved(page, name, folder: Path) -> Path:
    kind, _, title = name.partition(": ")
    with page.expect_download() as waiting:
        if title:
            export(page, kind, title)
        else:
            page.get_by_role("tab", name="Export").click()
            page.get_by_role("button", name=name).click()
    target = folder / waiting.value.suggested_filename
    waiting.value.save_as(target)
    return target


def test_exports_contain_the_shown_data(streamed, browser, tmp_path):
    page = streamed
    page.evaluate("HermesLive.boardView({ frame: 4, layer: 8 })")
    expect(page.get_by_role("heading", name="Frame 5, seen at")).to_be_visible()
    picture(board(page))
    png = saved(page, "PNG: Layer by layer", tmp_path).read_bytes()
    assert png.startswith(b"\x89PNG")
    svg = saved(page, "SVG: What is still remembered", tmp_path).read_text("utf-8")
    assert svg.startswith("<svg")
    assert "What is still remembered" in svg
    assert "Long-term" in svg
    rows = list(csv.reader(saved(page, "Save the retention table as CSV", tmp_path).open(encoding="utf-8")))
    assert rows[0][:4] == ["first_frame", "last_frame", "seconds", "tokens"]
    assert len(rows) - 1 == frames(page)
    assert rows[-1][4:] == ["16"] * 7 + rows[-1][11:]  # sensory and working layers hold the newest frame whole
    file = saved(page, "Save the board as a page that works offline", tmp_path)
    context = new_context(browser, viewport={"width": 1280, "height": 900}, offline=True)
    alone = context.new_page()
    troubles = []
    alone.on("pageerror", lambda error: troubles.append(str(error)))
    alone.goto(file.as_uri())
    expect(alone.get_by_text(re.compile(rf"^{frames(page)} frames seen, "))).to_be_visible()
    picture(board(alone))
    alone.get_by_role("radio", name="Importance").click()
    alone.evaluate("HermesLive.boardView({ frame: 4, layer: 8 })")
    expect(alone.get_by_role("heading", name="Frame 5, seen at")).to_be_visible()
    expect(alone.get_by_role("group", name="One frame")).to_contain_text("of 16 patches")
    assert troubles == []
    context.close()


def test_keys_open_and_steer_and_are_spoken(streamed):
    page = streamed
    board(page).focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Frame 1, seen at")).to_be_visible()
    spoken = page.locator('.hl-board [aria-live="polite"]').first
    expect(spoken).to_have_text(re.compile(r"Frame 1 opened, layer 1"))
    page.get_by_role("button", name="Next frame").click()
    expect(page.get_by_role("heading", name="Frame 2, seen at")).to_be_visible()
