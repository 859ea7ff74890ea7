"""Fixtures of the browser tests: the app in a separate process, and headless Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Error, expect, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests"))  # for scripts that use `App` without pytest

import preloaded

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--process-per-site",  # one process for all tabs of a context, see `shared_context`
]
CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
ENDED_STREAM = ("BodyStreamBuffer was aborted", "Connection errored out", "AbortError: signal is aborted")
"""What Gradio's client logs on a busy machine when it ends the stream of its queue while another event starts, or when the
page is left."""
PATIENCE = 120.0
"""Seconds for which a test waits for an event before it fails: a deadline, not a duration; busy machines need it."""
POLL = 150
"""Milliseconds between two looks at a condition: each costs the browser, its driver and the test a few milliseconds."""
expect.set_options(timeout=PATIENCE * 1000)
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Programs to look for. The headless shell opens a page with a third less CPU time than the complete browser."""


def find_browser() -> str | None:
    """Path of a Chromium: HERMES_CHROMIUM, else one on the path; None: playwright's own."""
    named = os.environ.get("HERMES_CHROMIUM")
    if named:
        if not shutil.which(named):
            pytest.fail(f"HERMES_CHROMIUM names {named}, which cannot be run.", pytrace=False)
        return named
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def pytest_collection_modifyitems(items):
    """A browser test consists of many waits, so it may take longer than another test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))


def until(page, condition, complaint="it did not happen"):
    """Wait until a condition holds; the page's events are handled meanwhile."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, complaint() if callable(complaint) else complaint
        page.wait_for_timeout(POLL)


def laid_out(page):
    """Wait until the page has reacted to a change of its size and has drawn it."""
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
    )


def settle(page):
    """Watch the page for a second, to check that something does not change. Use `until` for expected changes."""
    page.wait_for_timeout(1000)


def started(page):
    """Wait until Gradio has taken over the parts of the page; until then some elements exist twice."""
    page.locator(".hl-player, .hl-lab").filter(visible=True).first.wait_for()  # the stream, or Compare in its place
    page.wait_for_function("!document.querySelector('.hl-opening-page')", polling=POLL)


def steady(page, read):
    """Wait until something that is read from the page stays the same for a second; returns it."""
    end = time.monotonic() + PATIENCE
    before = read()
    while True:
        settle(page)
        now = read()
        if now == before:
            return now
        assert time.monotonic() < end, f"it does not come to rest: {before}, then {now}"
        before = now


def new_context(browser, **settings):
    """A browser context whose actions wait as long as expectations do."""
    context = browser.new_context(**settings)
    context.set_default_timeout(PATIENCE * 1000)
    return context


NEW_TAB = """try {
    if (!sessionStorage.getItem("test-tab")) {
        localStorage.clear();
        sessionStorage.setItem("test-tab", "1");
    }
} catch {}"""  # a document without an origin has no storage
"""Clears what an earlier page of the same context has stored. A reload keeps what its own tab has stored."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class App:
    """The app in a separate process. `log` is its output."""

    def __init__(self, folder: Path, *flags: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.log_path = folder / "app.log"
        environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(folder / "uploads")}
        given = ("--port", str(self.port), *flags)
        self.process = preloaded.start(ROOT / "app.py", *given, folder=folder, out=self.log_path, **environment)

    def wait(self) -> App:
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            if not self.process.is_alive():
                break
            try:
                with urllib.request.urlopen(self.url, timeout=PATIENCE):
                    return self
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        pytest.fail(f"The app did not start:\n{self.log}", pytrace=False)

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def close(self) -> None:
        if self.process.is_alive():
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.join(30)
        if self.process.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def app(tmp_path_factory):
    running = App(tmp_path_factory.mktemp("app"))
    yield running.wait()
    running.close()


@pytest.fixture(scope="session")
def playwright():
    with sync_playwright() as running:
        yield running


def launch(playwright, *flags: str):
    try:
        return playwright.chromium.launch(executable_path=find_browser(), args=[*QUIET, *flags])
    except Error as problem:
        pytest.fail(
            "The browser tests need Chromium and none could be started. Install one (Debian: apt-get install "
            "chromium-headless-shell; else: python -m playwright install chromium) or name it in HERMES_CHROMIUM.\n"
            f"{problem}",
            pytrace=False,
        )


@pytest.fixture(scope="session")
def browser(playwright):
    running = launch(playwright, *CAMERA)
    yield running
    running.close()


@pytest.fixture(scope="session")
def shared_context(app, browser):
    """A browser context with a cache, and with a tab that keeps its process alive.

    Gradio's program is loaded and compiled once for all tests: a page opens with about a fifth less CPU time.
    """
    context = new_context(browser)
    context.add_init_script(NEW_TAB)
    assert context.new_page().goto(f"{app.url}robots.txt").ok
    yield context
    context.close()


@contextmanager
def tabs(app, shared_context):
    """Opens pages in tabs of their own, and lists errors that they log and requests to other machines."""
    troubles, opened = [], []

    def note(message):
        if message.type in ("error", "warning") and not any(text in message.text for text in ENDED_STREAM):
            troubles.append(f"{message.type}: {message.text}")

    def other(request):
        if not request.url.startswith((app.url, "data:", "blob:")):
            troubles.append(f"asked {request.url}")

    def make(*, run="none", query="", width=1440, height=900, dark=False, within=None, before=None):
        context = new_context(within) if within else shared_context
        page = context.new_page()
        opened.append(context if within else page)
        page.set_viewport_size({"width": width, "height": height})
        page.on("console", note)
        page.on("pageerror", lambda error: troubles.append(f"uncaught: {error}"))
        page.on("request", other)
        if before:
            before(page)
        page.goto(f"{app.url}?__theme={'dark' if dark else 'light'}{f'&run={run}' if run is not None else ''}{query}")
        if before is None:
            started(page)
        else:
            page.get_by_role("tab", name="Clips").wait_for()
        return page

    try:
        yield make, troubles
    finally:
        for one in opened:
            one.close()
        shared_context.clear_permissions()


@pytest.fixture
def open_page(app, shared_context):
    """Opens the page in a new tab; at the end no tab may have logged an error or sent a request to another machine."""
    with tabs(app, shared_context) as (make, troubles):
        yield make
    assert troubles == []


def look(page, width, dark):
    """Give a page another width and theme, and wait until it has changed."""
    page.set_viewport_size({"width": width, "height": 844})
    if page.evaluate("document.body.classList.contains('dark')") != dark:
        page.get_by_role("button", name="Switch between light and dark").click()
    page.wait_for_function(
        """([width, dark]) => innerWidth === width && document.body.classList.contains('dark') === dark
        && !document.getAnimations().some((animation) => animation instanceof CSSTransition)""",
        arg=[width, dark],
    )
