"""Clip mode in a browser, as on ZeroGPU: a clip and its questions in one call, with the model that ships."""

from __future__ import annotations

import re

import pytest
from conftest import App, tabs, until
from playwright.sync_api import expect
from test_lab_page import LAB_ID, lab_of, lanes_of, recorded, shows_from


@pytest.fixture(scope="module")
def clip_app(tmp_path_factory):
    running = App(tmp_path_factory.mktemp("clip-app"), "--clip-mode")
    yield running.wait()
    running.close()


@pytest.fixture
def open_page(clip_app, shared_context):
    with tabs(clip_app, shared_context) as (make, troubles):
        yield make
    assert troubles == []


def test_the_webcam_is_unavailable_and_a_clip_is_run_with_its_questions(open_page):
    page = open_page()
    run = page.get_by_role("button", name="Run", exact=True)

    def is_chosen():
        page.get_by_role("tab", name="Clips").click()
        return run.is_visible()

    until(page, is_chosen, "the clips cannot be run")
    page.get_by_role("tab", name="Webcam").first.click()
    expect(page.get_by_text("The webcam is not available here")).to_be_visible()
    run.click()
    expect(page.get_by_role("alert").get_by_text("Choose a clip or upload a video")).to_be_visible()

    page.get_by_role("tab", name="Clips").click()
    plan = page.get_by_role("region", name="Questions of this run")
    expect(plan.get_by_label("Question", exact=True)).to_have_count(3)
    plan.get_by_role("button", name="Remove this question").first.click()
    expect(plan.get_by_label("Question", exact=True)).to_have_count(2)
    plan.get_by_role("button", name="Add a question").click()
    expect(plan.get_by_label("Question", exact=True)).to_have_count(3)
    plan.get_by_label("Question", exact=True).last.fill("What is shown now?")
    plan.get_by_label("Seconds into the clip; empty: at its end").last.fill("10")
    run.click()
    turns = page.get_by_role("list", name="Questions and answers").get_by_role("listitem")
    expect(turns).to_have_count(3)
    expect(run).to_be_visible()
    expect(turns.first).to_contain_text("What is shown now?")
    for turn in turns.all():
        expect(turn).to_have_attribute("data-state", "done")
    expect(page.get_by_role("region", name="Memory board").get_by_text(re.compile(r"^\d+ frames seen"))).to_be_visible()
    expect(page.get_by_label("Stream clock")).to_have_text(re.compile(r"^0:\d\d\.\d / 0:\d\d$"))


def test_where_a_gpu_is_lent_the_lab_shows_recorded_runs(open_page):
    page = open_page(run=None, query=f"&lab={LAB_ID}&t=62")
    lab = lab_of(page)
    expect(lanes_of(lab)).to_have_count(len(recorded().lanes))
    expect(lab.get_by_text(re.compile("^Playing"))).to_be_visible()
    shows_from(lab, 62)
    expect(lab.get_by_role("button", name="Run it live")).to_be_hidden()
    expect(lab.get_by_label("Method 1")).to_have_count(0)
    lab.get_by_role("button", name="Close").click()
    expect(lanes_of(lab)).to_have_count(0)
