"""Two visitors whose streams run on two actors of a Ray cluster, one of which is killed."""

from __future__ import annotations

import os
import re
import signal
from importlib.util import find_spec

import pytest
from conftest import App, until
from playwright.sync_api import expect
from test_connections import open_tab
from test_page import answered, ask, newest_frames, pause, start, turns, wait_frames

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the optional extra hermes-live[ray] is not installed")

QUESTION = "What is shown now?"


def test_the_visitor_of_a_killed_actor_continues_on_another_one(shared_context, tmp_path):
    folder = tmp_path / "saved"
    app = App(tmp_path, "--ray", "--replicas", "2", "--autosave", str(folder), "--model", "pocket")
    tabs = []
    try:
        app.wait()
        tabs = [open_tab(shared_context, app.url) for _ in range(2)]
        answers = []
        for page in tabs:
            start(page, clip=1, speed="1×")
            wait_frames(page, 4)
            pause(page)
            ask(page, QUESTION)
            answers.append(answered(turns(page).first))

        def is_saved():
            return sum('"question"' in path.read_text("utf-8") for path in folder.glob("*.json")) == len(tabs)

        until(tabs[0], is_saved)
        places = re.findall(r"A replica runs on \S+ in process (\d+)", app.log)
        assert len(set(places)) == len(tabs)
        os.kill(int(places[0]), signal.SIGKILL)
        offers = [page.get_by_text("The machine that ran your stream has failed.") for page in tabs]
        until(tabs[0], lambda: any(offer.is_visible() for offer in offers), "no visitor was notified")
        hurt = 0 if offers[0].is_visible() else 1
        page, other = tabs[hurt], tabs[1 - hurt]
        expect(offers[hurt]).to_contain_text("1 question")
        expect(page.get_by_text("Stopped by an error")).to_be_visible()
        expect(page.get_by_text("Start the stream again, or resume it")).to_be_visible()
        expect(offers[1 - hurt]).to_be_hidden()

        page.get_by_role("status").get_by_role("button", name="Resume").click()
        expect(offers[hurt]).to_be_hidden()
        expect(turns(page).first.locator(".hl-a")).to_have_text(answers[hurt])
        for tab, before in ((page, answers[hurt]), (other, answers[1 - hurt])):
            ask(tab, QUESTION)
            expect(turns(tab)).to_have_count(2)
            assert answered(turns(tab).last) == before
            seen = newest_frames(tab)
            tab.get_by_role("region", name="Stream").get_by_role("button", name="Resume").click()
            wait_frames(tab, seen + 2)
        until(page, lambda: len(re.findall("A replica runs on", app.log)) == 3, "the actor was not replaced")
    finally:
        for page in tabs:
            page.close()
        app.close()
