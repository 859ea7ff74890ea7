"""Reconnecting: a lost connection, a restarted server, a closed tab, and a visitor next to one with a hostile file."""

from __future__ import annotations

import contextlib
import re
import socket
import threading

import httpx
import pytest
from conftest import PATIENCE, ROOT, App, free_port, new_context, started, steady, until
from playwright.sync_api import expect
from test_page import HALF_HOUR, answered, ask, frames, newest_frames, start, turns, wait_frames


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


def open_tab(context, url):
    page = context.new_page()
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{url}?__theme=light&run=none")
    started(page)
    return page


@pytest.fixture
def own_context(browser):
    """A browser context of this test's own, whose connection can be cut."""
    context = new_context(browser)
    yield context
    context.close()


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


def uploads(folder):
    """Names of the files that visitors uploaded to an app of a folder."""
    return [path.name for path in (folder / "uploads").rglob("*") if path.is_file()]


def test_a_dropped_connection_and_an_offline_browser_resume_with_stream_memory_and_chat(app, own_context):
    line = Line(app.port)
    page = open_tab(own_context, line.url)
    try:
        start(page, clip=HALF_HOUR, speed="4×")
        wait_frames(page, 4)
        ask(page, "What is shown now?")
        answer = answered(turns(page).first)
        seen = frames(page)
        line.cut()
        expect(page.get_by_text("Connection lost. Your stream")).to_be_visible()
        line.restore()
        expect(page.get_by_text("Connection lost. Your stream")).to_be_hidden()
        expect(turns(page)).to_have_count(1)
        expect(turns(page).first.locator(".hl-a")).to_have_text(answer)
        expect(page.get_by_role("button", name=re.compile("Pause|Play again"))).to_be_visible()
        wait_frames(page, seen + 2)

        # The browser is offline for a while.
        page.context.set_offline(True)
        expect(page.get_by_text("Connection lost. Your stream")).to_be_visible()
        seen = steady(page, lambda: frames(page))
        page.context.set_offline(False)
        expect(page.get_by_text("Connection lost. Your stream")).to_be_hidden()
        expect(page.get_by_text("The server was restarted")).to_be_hidden()
        expect(turns(page)).to_have_count(1)
        expect(turns(page).first.locator(".hl-a")).to_have_text(answer)
        wait_frames(page, seen + 2)
        ask(page, "What was shown first?")
        expect(turns(page)).to_have_count(2)
        assert answered(turns(page).last)
    finally:
        line.close()


def test_an_upload_that_the_server_refuses_shows_its_reason(app, shared_context):
    """Three uploads of the same tab have not ended."""
    page = open_tab(shared_context, app.url)
    film = ROOT / "tests" / "data" / "variable_rate.mp4"
    token = page.evaluate("sessionStorage.getItem('hermes-tab')")
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nx-hermes-tab: {token}\r\nContent-Length: 1000000\r\n"
        'Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: form-data; name="files"; '
        'filename="a.mp4"\r\n\r\n'
    )

    def full():
        """Whether the server refuses another upload of this tab, before it looks at the form (this one has no file)."""
        address = f"http://127.0.0.1:{app.port}/gradio_api/upload"
        status = httpx.post(address, files={"field": (None, b"x")}, headers={"x-hermes-tab": token}).status_code
        assert status in (400, 429)
        return status == 429

    try:
        page.get_by_role("tab", name="Upload").click()
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", app.port)))
                connection.sendall(head.encode() + bytes(200_000))
            until(page, full)
            page.locator("#hl-file").set_input_files(film)
            reason = (
                "variable_rate.mp4 could not be uploaded. 3 files are being uploaded already. Wait for one of them."
            )
            expect(page.get_by_text(reason)).to_be_visible()
        until(page, lambda: not full())
        page.locator("#hl-file").set_input_files(film)
        expect(page.locator(".hl-drop")).to_contain_text("variable_rate.mp4")
        page.get_by_role("button", name="Start", exact=True).click()
        wait_frames(page, 2)
    finally:
        page.close()


def test_a_killed_server_resumes_the_saved_stream_and_a_stopped_one_deletes_files(own_app, own_context, tmp_path):
    app = own_app()
    page = open_tab(own_context, app.url)
    question = "What is shown now?"
    start(page, clip=1, speed="4×")
    wait_frames(page, 12)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    held = newest_frames(page)
    ask(page, question)
    before = answered(turns(page).first)
    folder = tmp_path / "saved"
    until(page, lambda: any(path.read_text("utf-8").count('"question"') for path in folder.glob("*.json")))
    app.process.kill()
    app.process.join(PATIENCE)
    expect(page.get_by_text("Connection lost. Your stream")).to_be_visible()
    app = own_app()
    offer = page.get_by_text("The server was restarted. Your stream")
    expect(offer).to_be_visible()
    expect(offer).to_contain_text("1 question")
    page.get_by_role("status").get_by_role("button", name="Resume").click()
    expect(offer).to_be_hidden()
    expect(turns(page).first.locator(".hl-a")).to_have_text(before)
    expect(page.get_by_role("img", name=re.compile(r"^Frame \d+ as the model has seen it"))).to_be_visible()
    ask(page, question)
    expect(turns(page)).to_have_count(2)
    assert answered(turns(page).last) == before
    until(page, lambda: frames(page) == held, lambda: f"{frames(page)} frames instead of {held}")
    page.get_by_role("region", name="Stream").get_by_role("button", name="Resume").click()
    wait_frames(page, held + 2)
    page.close(run_before_unload=True)
    other = open_tab(own_context, app.url)
    until(other, lambda: not list(folder.iterdir()), "the saved stream of the closed page was not deleted")
    other.get_by_role("tab", name="Upload").click()
    other.locator("#hl-file").set_input_files(ROOT / "tests" / "data" / "variable_rate.mp4")
    until(other, lambda: "variable_rate.mp4" in uploads(tmp_path))
    own_context.set_offline(True)  # a server that is stopped waits for open connections
    app.process.terminate()
    app.process.join(PATIENCE)
    assert app.process.exitcode == 0, app.log
    assert "Traceback" not in app.log
    assert "variable_rate.mp4" not in uploads(tmp_path), "a server that is stopped deletes the files of its visitors"


def test_hostile_files_of_one_visitor_leave_another_unaffected_and_a_reload_keeps_the_stream(app, shared_context):
    page = open_tab(shared_context, app.url)
    opened = [page]
    try:
        start(page, clip=HALF_HOUR, speed="4×")
        wait_frames(page, 4)
        for name in ("c18-interlaced-h264.mp4", "c35-encrypted.mp4"):
            other = open_tab(shared_context, app.url)
            opened.append(other)
            other.get_by_role("tab", name="Upload").click()
            other.locator("#hl-file").set_input_files(ROOT / "tests" / "data" / name)
            drop = other.locator(".hl-drop")  # hidden as soon as the file has been uploaded
            expect(drop).to_contain_text(name)
            expect(drop).not_to_contain_text("Uploading")
            other.get_by_role("button", name="Start", exact=True).click()
            stream = other.get_by_role("region", name="Stream")
            status = stream.get_by_text(re.compile("^(Streaming|Finished|Stopped by)")).or_(stream.get_by_role("alert"))
            expect(status.first).to_be_visible()  # it plays, or the page shows the reason why it does not
            seen, asked = frames(page), turns(page).count()
            ask(page, "What is shown now?")
            expect(turns(page)).to_have_count(asked + 1)
            assert answered(turns(page).last)
            wait_frames(page, seen + 4)
            expect(page.get_by_text("Stopped by an error")).to_have_count(0)
            other.close()  # the browser opens six connections to a server: the streams of three tabs would occupy them

        # The browser reloads the page.
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        ask(page, "What is shown now?")
        expect(turns(page)).to_have_count(3)
        before, seen = answered(turns(page).last), newest_frames(page)
        page.reload()
        expect(turns(page)).to_have_count(3)
        expect(turns(page).last.locator(".hl-a")).to_have_text(before)
        until(page, lambda: frames(page) == seen, "the memory is another one")
    finally:
        for tab in opened:
            tab.close()


HIDDEN = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
"""Makes a page behave as in a tab that is not shown; all pages of a headless browser are shown."""


def test_hidden_tabs_leave_connections_for_another(app, browser):
    with contextlib.closing(new_context(browser)) as context:
        pages = []
        for _ in range(4):
            pages.append(context.new_page())
            pages[-1].goto(f"{app.url}?run=none")
            started(pages[-1])
            if len(pages) < 4:
                pages[-1].evaluate(HIDDEN, True)
        start(pages[-1], clip=1, speed="4×")
        wait_frames(pages[-1], 4)
        pages[-1].get_by_role("button", name="Pause").click()
        pages[-1].evaluate(HIDDEN, True)
        pages[0].evaluate(HIDDEN, False)
        start(pages[0], clip=1, speed="4×")
        wait_frames(pages[0], 4)
