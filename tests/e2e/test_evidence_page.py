"""The evidence of an answer and the panel of settings in a browser, on the real engine with the bundled model."""

from __future__ import annotations

import json
import re

from conftest import ROOT, look
from playwright.sync_api import expect
from test_page import answered, ask, pause, start, turns, wait_frames

FIRST = "What was the first card?"


def evidence(page):
    return page.get_by_role("region", name="Why this answer was right or wrong")


def panel(page):
    return page.locator('[data-view="try"]')


def open_settings(page):
    page.get_by_role("button", name="Settings", exact=True).click()
    drawer = page.get_by_role("dialog", name="Settings")
    expect(drawer.get_by_role("button", name="Close the settings")).to_be_focused()
    page.wait_for_function("!document.getAnimations().some((animation) => animation instanceof CSSTransition)")


def choose_policy(page, title, budget=None):
    page.get_by_label("Policy", exact=True).select_option(label=title)
    expect(page.locator(".hl-about-policy")).to_contain_text(title)
    if budget is not None:
        controls = page.get_by_role("group", name="Memory of the stream")
        number = controls.get_by_role("spinbutton", name="Budget")
        number.fill(str(budget))
        number.press("Enter")
        expect(controls).to_have_attribute("data-budget", str(budget))


def watched_then_asked(page, question, least=60):
    start(page, speed="4×")
    wait_frames(page, least)
    pause(page)
    ask(page, question)
    answered(turns(page).last)


def test_a_right_answer_shows_that_its_evidence_was_held_and_attended(open_page):
    """The first card left the newest frames long ago; the memory still holds it, and the answer reads it there."""
    truth = json.loads((ROOT / "assets" / "clips" / "first-card.json").read_text("utf-8"))
    question = next(question for question in truth["questions"] if question["text"] == FIRST)
    page = open_page()
    watched_then_asked(page, FIRST)
    assert turns(page).last.locator(".hl-a").inner_text() == question["answer"]
    most = page.get_by_role("list", name="Most attended frames", exact=True).get_by_role("button").first
    at = float(re.search(r"0:(\d\d\.\d)$", most.inner_text())[1])
    assert question["evidence"][0] <= at <= question["evidence"][1] + 0.5
    section = evidence(page)
    expect(section.get_by_text("Right", exact=True)).to_be_visible()
    expect(section.get_by_text("Kept and used", exact=True)).to_be_visible()
    gates = section.get_by_role("list", name="Steps from the evidence to the answer").get_by_role("listitem")
    expect(gates).to_have_count(4)
    for gate in gates.all():
        expect(gate).to_have_attribute("data-state", "yes")
    frames = section.get_by_role("list", name="Frames that show the evidence").get_by_role("button")
    expect(frames).to_have_count(5)
    expect(frames.first.get_by_role("img")).to_be_visible()
    rows = section.get_by_role("row")
    expect(rows).to_have_count(4)  # a head and three tiers
    expect(rows.nth(3)).to_contain_text(
        re.compile(r"Long-term.*layers 7–9.*% of its tokens.*× a typical token", re.DOTALL)
    )
    turns(page).last.get_by_role("button", name="✓ Right · kept and used").click()  # scrolls to the reasons
    expect(section).to_be_in_viewport()
    frames.first.click()  # shows that moment on the board
    expect(page.locator('[data-view="filmstrip"]')).to_be_in_viewport()

    # Nothing is cut off on a phone, nor in the settings.
    look(page, 390, False)
    open_settings(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    outside = page.evaluate(
        """() => [...document.querySelectorAll('[data-view="evidence"] *, [data-view="try"] *')]
        .filter(node => node.checkVisibility() && !node.closest('.hl-hidden'))
        .filter(node => node.getBoundingClientRect().width > 1 && node.getBoundingClientRect().right > 391)
        .map(node => node.outerHTML.slice(0, 120))"""
    )
    assert outside == []


def test_a_wrong_answer_shows_where_its_evidence_got_lost(open_page):
    page = open_page()
    choose_policy(page, "Sliding window", 256)
    watched_then_asked(page, FIRST)
    section = evidence(page)
    expect(section.get_by_text("Wrong", exact=True)).to_be_visible()
    expect(section.get_by_text("Seen, then forgotten", exact=True)).to_be_visible()
    expect(section.get_by_text(re.compile("no layer still holds one token"))).to_be_visible()
    expect(section.get_by_text("correct: Red triangle.", exact=True)).to_be_visible()
    expect(section.get_by_role("row").last).to_contain_text("Deep layers")  # this policy has no tiers


def test_settings_of_a_policy_are_changed_and_put_back_and_an_answer_without_ground_truth_is_not_scored(open_page):
    page = open_page()
    choose_policy(page, "Random keep")
    box = panel(page)
    expect(box.locator(".hl-try-head")).to_contain_text("Random keep with the defaults")
    open_settings(page)
    box.get_by_label("Random draws", exact=True).select_option("at every eviction")
    expect(box.locator(".hl-try-head")).to_contain_text("1 of 3 changed")
    expect(box.get_by_text("ours: once a token")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Settings")).to_be_hidden()

    choose_policy(page, "HERMES")
    start(page)
    wait_frames(page, 4)
    expect(box.locator(".hl-try-head")).to_contain_text("HERMES with the defaults")
    badge = page.locator(".hl-about-policy")
    expect(badge).to_contain_text("original method, no training")
    open_settings(page)
    box.get_by_role("switch", name="Smoothing across layers").click()
    expect(box.locator(".hl-try-head")).to_contain_text("1 of 21 changed")
    expect(box.get_by_role("status")).to_have_text(
        "The change applies at the next eviction. Evicted tokens are not restored."
    )
    expect(badge).to_contain_text("1 setting changed")
    alpha = box.get_by_role("spinbutton", name="α sensory")
    alpha.fill("0.5")
    alpha.press("Enter")
    expect(box.locator(".hl-try-head")).to_contain_text("α sensory: 0.5")
    expect(box.get_by_text("paper: 1", exact=True).first).to_be_visible()
    alpha.fill("7")
    alpha.press("Enter")
    expect(box.get_by_role("status")).to_contain_text("at most 1")
    ask(page, "What is shown now?")
    answered(turns(page).last)
    expect(turns(page).last).to_contain_text("HERMES (Smoothing across layers off, α sensory 0.5)")
    box.get_by_role("button", name="Reset to the defaults").click()
    expect(box.locator(".hl-try-head")).to_contain_text("HERMES with the defaults")
    expect(box.get_by_role("switch", name="Smoothing across layers")).to_be_checked()
    expect(alpha).to_have_value("1")
    page.keyboard.press("Escape")

    wait_frames(page, 12)
    ask(page, "Tell me a joke.")
    answered(turns(page).last)
    section = evidence(page)
    expect(section.get_by_text("Not scored", exact=True)).to_be_visible()
    expect(section.get_by_text(re.compile("^No reference answer, so not scored"))).to_be_visible()
    expect(
        section.get_by_role("list", name="Most attended frames, long-term tier").get_by_role("listitem").first
    ).to_be_visible()
