"""The Explore tab in a browser: figures of a recorded run, of two moments, and of a live stream."""

from __future__ import annotations

import re

from axe import violations
from conftest import until
from playwright.sync_api import expect

FIGURE = ".hl-explore-stage.has-figure .main-svg"


def drawn(page):
    """The figure that plotly shows: type, z or y of its traces, background, title."""
    return page.evaluate(
        """() => { const plot = document.querySelector('.hl-explore-stage .js-plotly-plot');
        return plot?._fullLayout && { traces: plot._fullData.map(({ type, z, y }) => ({ type, rows: (z ?? y).length })),
          background: plot._fullLayout.paper_bgcolor, title: plot._fullLayout.title.text,
          height: plot._fullLayout.height }; }"""
    )


def top_of_what_follows(page):
    return page.locator(".hl-glossary").evaluate("node => node.getBoundingClientRect().top + scrollY")


def test_a_recorded_run_and_a_live_stream_are_explored(open_page):
    scripts = []

    def before(page):
        page.emulate_media(reduced_motion="reduce")  # the run opens paused
        page.on("request", lambda sent: scripts.append(sent.url))

    page = open_page(run="small-memory", query="&t=20", before=before)
    tab, explore = page.get_by_role("tab", name="Explore"), page.get_by_role("region", name="Explore")
    tab.wait_for()
    assert not [url for url in scripts if re.search("Plot[^/]*[.]js", url)]  # neither the component nor plotly
    tab.click()
    page.locator(FIGURE).first.wait_for()
    below = top_of_what_follows(page)
    until(page, lambda: drawn(page))
    assert drawn(page)["traces"] == [{"type": "heatmap", "rows": 10}]
    assert drawn(page)["title"].startswith("Tokens of each frame")

    explore.get_by_role("combobox", name="Colour").select_option("answer")
    until(page, lambda: drawn(page) and drawn(page)["title"].startswith("Attention of the last answer"))
    explore.get_by_role("combobox", name="Figure").select_option("history")
    expect(explore.get_by_role("spinbutton", name="Frame (0 is the first)")).to_be_visible()
    until(page, lambda: drawn(page) and drawn(page)["title"].startswith("Tokens of frame 0"))
    assert top_of_what_follows(page) == below  # nothing moves

    explore.get_by_text("Open in a notebook").click()
    code = explore.get_by_role("region", name="Python code of the figure")
    expect(code).to_contain_text("run = trace.read(assets.RUNS / 'small-memory.hermesrun')")
    expect(code).to_contain_text("plots.token_history(run.token_history(0, 20.0)")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    explore.get_by_role("button", name="Copy").click()
    expect(explore.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == code.text_content()

    explore.get_by_role("combobox", name="Figure").select_option("attention-layers")
    until(page, lambda: drawn(page) and len(drawn(page)["traces"]) == 4)
    explore.get_by_role("button", name="Pin this moment").click()
    expect(explore.get_by_text("Now go to another moment")).to_be_visible()
    page.get_by_role("slider", name="Position in the run").first.press("Home")
    expect(explore.locator(".hl-explore-hint")).to_contain_text("There is no answer at this moment")
    explore.get_by_role("combobox", name="Figure").select_option("retention")
    until(page, lambda: drawn(page) and len(drawn(page)["traces"]) == 6)  # three tiers at both moments
    light = drawn(page)["background"]
    page.get_by_role("button", name="Switch between light and dark").click()
    until(page, lambda: drawn(page) and drawn(page)["background"] != light)

    page.set_viewport_size({"width": 390, "height": 844})
    explore.get_by_role("button", name="Show this moment").click()
    until(page, lambda: drawn(page) and drawn(page)["height"] > 900)  # one below the other
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert violations(page, ".hl-explore") == []
    explore.get_by_role("button", name="Remove the pin").click()
    until(page, lambda: drawn(page) and len(drawn(page)["traces"]) == 3)

    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("tab", name="Clips").click()
    page.get_by_role("radio", name="Max").click()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("button", name="Play again")).to_be_visible()
    expect(code).to_contain_text(
        "# This stream is live. Press Record"
    )  # it ended: its figure appears without an action
    until(page, lambda: drawn(page) and len(drawn(page)["traces"]) == 3)
