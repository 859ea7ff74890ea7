"""Coming back: a dropped connection, a restarted server, a closed tab, and a visitor beside one with a hostile file."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading

import pytest
from conftest import App, free_port
from playwright.sync_api import expect
from test_page import SLOW, answered, ask, frames, start, turns, wait_frames


class Line:
    """A TCP line between the browser and the server that can be cut and restored."""

    def __init__(self, target):
        self._target = target
        self._open = []
        self._cut = False
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", free_port()))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                if self._cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass_on(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        with self._lock:
            self._cut = True
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def restore(self):
        with self._lock:
            self._cut = False

    def close(self):
        self.cut()
        self._server.close()


def open_tab(browser, url, **more):
    context = browser.new_context(viewport={"width": 1440, "height": 900}, **more)
    page = context.new_page()
    page.goto(f"{url}?__theme=light&run=none")
    page.get_by_role("tab", name="Clips").wait_for()
    return page


@pytest.fixture
def own_app(tmp_path):
    """An app of this test's own, with saved streams: `own_app()` starts it, also again after it was killed."""
    running = []
    port = free_port()

    def begin(*flags):
        app = App(tmp_path, "--autosave", str(tmp_path / "saved"), *flags, port=port)
        running.append(app)
        return app.wait()

    yield begin
    for app in running:
        app.close()


def wait_for_files(folder, pattern, page):
    """Wait until the server has written a file; the page shows nothing of it."""
    for _ in range(300):
        if found := sorted(folder.glob(pattern)):
            return found
        page.wait_for_timeout(100)
    pytest.fail(f"there is no {pattern} in {folder}")


def test_a_dropped_connection_resumes_with_stream_memory_and_chat(app, browser):
    line = Line(app.port)
    page = open_tab(browser, line.url)
    try:
        start(page, clip=1, speed="1×")
        wait_frames(page, 12)
        ask(page, "What is shown now?")
        answer = answered(turns(page).first)
        seen = frames(page)
        line.cut()
        expect(page.get_by_text("Connection lost. Your stream")).to_be_visible(timeout=SLOW)
        line.restore()
        expect(page.get_by_text("Connection lost. Your stream")).to_be_hidden(timeout=SLOW)
        expect(turns(page)).to_have_count(1, timeout=SLOW)
        expect(turns(page).first.locator(".hl-a")).to_have_text(answer)
        expect(page.get_by_role("button", name=re.compile("Pause|Play again"))).to_be_visible(timeout=SLOW)
        wait_frames(page, seen + 2)
    finally:
        page.context.close()
        line.close()


def test_a_killed_server_resumes_the_saved_stream(own_app, browser, tmp_path):
    app = own_app()
    page = open_tab(browser, app.url)
    question = "What is shown now?"
    try:
        start(page, clip=1, speed="1×")
        wait_frames(page, 12)
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        ask(page, question)
        before = answered(turns(page).first)
        (told,) = wait_for_files(tmp_path / "saved", "*.json", page)
        wait_saved(told, 1, page)
        assert told.stat().st_mode & 0o777 == 0o600
        app.process.send_signal(signal.SIGKILL)
        app.process.wait()
        expect(page.get_by_text("Connection lost. Your stream")).to_be_visible(timeout=SLOW)
        app = own_app()
        offer = page.get_by_text("The server was restarted. Your stream")
        expect(offer).to_be_visible(timeout=SLOW)
        expect(offer).to_contain_text("1 question")
        page.get_by_role("status").get_by_role("button", name="Resume").click()
        expect(offer).to_be_hidden(timeout=SLOW)
        expect(turns(page).first.locator(".hl-a")).to_have_text(before, timeout=SLOW)
        ask(page, question)
        expect(turns(page)).to_have_count(2, timeout=SLOW)
        assert answered(turns(page).last) == before
        seen = frames(page)
        page.get_by_role("region", name="Stream").get_by_role("button", name="Resume").click()
        wait_frames(page, seen + 2)
        page.close(run_before_unload=True)
        for _ in range(300):
            if not list((tmp_path / "saved").iterdir()):
                break
            threading.Event().wait(0.1)
        assert list((tmp_path / "saved").iterdir()) == []
    finally:
        page.context.close()


def wait_saved(path, questions, page):
    """Wait until the saved conversation has so many questions."""
    for _ in range(300):
        if path.read_text("utf-8").count('"question"') >= questions:
            return
        page.wait_for_timeout(100)
    pytest.fail("the answer was not saved")
