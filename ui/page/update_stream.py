"""The update stream: one response per page, on which the server sends the player state and changes of the board.

The page posts what it shows (`UPDATES`), reads server-sent events until the response ends, then posts again. Within a
response the server assumes that an update is applied once it is sent; every new request reports what was really applied. A
response ends after `MAX_UPDATES` updates, which bounds the backlog of a slow connection, and after one update to a hidden
page, because a browser opens only six connections to a server for all its tabs. Meanwhile the page can post
changed needs, such as another mode of the board, to `REQUESTS`; the running response then sends an update immediately.

Gradio's queue is not used, because each poll through it costs a request, a subscription and several thread switches.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from starlette.datastructures import Headers

from ui.board.encoder import THUMBNAILS_A_MESSAGE
from ui.untrusted import finite_json
from ui.visitors.connections import visitor_key

logger = logging.getLogger(__name__)

UPDATES: Final = "hermes-live-updates"
REQUESTS: Final = "hermes-live-requests"
BUSY_SECONDS: Final = 0.25
"""Polling interval while the stream plays, answers or loads."""
IDLE_SECONDS: Final = 1.0
MORE_SECONDS: Final = 0.12
"""Polling interval after an update that did not contain all missing thumbnails."""
MIN_SECONDS: Final = 0.06
"""Minimum polling interval, also on request."""
LIFE_SECONDS: Final = 15.0
"""Maximum duration of a response. A silently lost connection is detected at its end."""
MAX_UPDATES: Final = 16
MAX_BYTES: Final = 16_384
"""Maximum size of a request body."""
THREADS: Final = 4

VARYING: Final = ("n", "frame", "poster", "restarted")
"""Fields of the player state that do not count as changes."""
SENT_ONCE: Final = frozenset(("frame", "poster"))
"""Pictures, which are sent until the page shows them."""

Data = dict[str, Any]
Poll = Callable[[Mapping[str, Any], str], tuple[Data, Data | None]]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),  # disables buffering in proxies
]


class _Page:
    """What a page shows as far as the server knows, and an event that signals new requests."""

    def __init__(self, shown: Data) -> None:
        self.shown = shown
        self.woken = asyncio.Event()
        self.over = False
        self.polling: asyncio.Lock = asyncio.Lock()
        """Held while a thread polls the stream, so that a visitor whose stream is slow occupies at most one thread."""

    def end(self) -> None:
        self.over = True
        self.woken.set()

    def ask(self, wanted: Data) -> None:
        """Update what the page needs. What it shows is known here, unless it failed to apply an update (`seq` is None)."""
        for name in ("board", "hidden", "open"):
            if name in wanted:
                self.shown[name] = wanted[name]
        if wanted.get("seq", 0) is None:
            self.shown["seq"] = None
        self.woken.set()

    def note(self, polled: Data, player: Data, board: Data | None) -> None:
        """Assume that an update is applied. It was built for a page that showed `polled`."""
        if self.shown.get("open") is polled.get("open"):
            self.shown["open"] = None
        if player.get("restarted"):
            self.shown["seq"] = None
        if "frame" in player:
            self.shown["frame"] = player["frame"]["index"]
        elif player.get("restarted") or not player.get("frames"):
            self.shown["frame"] = -1
        if "poster" in player:
            self.shown["poster"] = player["poster"]["n"]
        if board is not None:
            self.shown["seq"] = board["seq"]


class Updates:
    """ASGI middleware that serves the update streams and passes on all other requests."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], poll: Poll) -> None:
        """Wrap `app`.

        Args:
            app: Handles all other requests.
            poll: Returns the player state and the board message (None if nothing changed), given what a page shows and
                its key. Called in a thread.
        """
        self._app = app
        self._poll = poll
        self._pages: dict[str, _Page] = {}
        self._threads = ThreadPoolExecutor(THREADS, "updates")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        name = scope["path"].rpartition("/")[2] if scope["type"] == "http" else ""
        if name not in (UPDATES, REQUESTS):
            await self._app(scope, receive, send)
            return
        request = await accept(scope, receive, send)
        if request is None:
            return
        asked, key = request
        if name == UPDATES:
            await self._serve(key, _Page(asked), receive, send)
        else:
            if page := self._pages.get(
                key
            ):  # otherwise no response is running, and the next request contains everything
                page.ask(asked)
            await reply(send, 204)

    async def _serve(self, key: str, page: _Page, receive: Receive, send: Send) -> None:
        """Send one response. A newer response of the same page ends the previous one."""
        if before := self._pages.get(key):
            before.end()
            page.polling = before.polling
        self._pages[key] = page
        leaving = asyncio.create_task(_left(receive, page))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._send_updates(key, page, send)
            await send({"type": "http.response.body", "body": b""})
        except OSError:
            pass  # the page was closed
        finally:
            leaving.cancel()
            with suppress(asyncio.CancelledError):
                await leaving
            if self._pages.get(key) is page:
                del self._pages[key]

    async def _send_updates(self, key: str, page: _Page, send: Send) -> None:
        loop = asyncio.get_running_loop()
        due = began = loop.time()
        ahead = time.time() - due
        sent, before = 0, None
        while not page.over:
            page.woken.clear()
            try:
                async with page.polling:
                    if page.over:
                        return
                    polled = dict(page.shown)
                    # Opening a run waits for other actions of the visitor, so it does not occupy the threads for polls.
                    threads = self._threads if polled.get("open") is None else None
                    player, board = await loop.run_in_executor(threads, self._poll, polled, key)
            except Exception:
                logger.exception("Could not build an update")
                await asyncio.sleep(IDLE_SECONDS)
                return
            state = {name: value for name, value in player.items() if name not in VARYING}
            if state != before or board is not None or SENT_ONCE & player.keys() or player.get("restarted"):
                before = state
                page.note(polled, player, board)
                await send(
                    {"type": "http.response.body", "body": _event(due + ahead, player, board), "more_body": True}
                )
                sent += 1
            if sent >= MAX_UPDATES or loop.time() - began > LIFE_SECONDS or page.shown.get("hidden") is True:
                return
            due = max(due + pause(player, board), loop.time())
            due = await _wait(page, due)


def _event(due: float, player: Data, board: Data | None) -> bytes:
    """Encode an update as a server-sent event. `due` is the Unix time at which it was due, for measuring delays."""
    update = {"due": round(due, 4), "player": player, "board": board}
    return f"data: {json.dumps(update, separators=(',', ':'), allow_nan=False)}\n\n".encode()


def pause(player: Data, board: Data | None) -> float:
    """Return the seconds until the next poll."""
    if board is not None and len(board.get("thumbs", ())) >= THUMBNAILS_A_MESSAGE:
        return MORE_SECONDS
    moving = player.get("state") == "playing" or player.get("answering") or player.get("loading")
    return BUSY_SECONDS if moving else IDLE_SECONDS


async def _wait(page: _Page, due: float) -> float:
    """Wait until `due` or a request of the page. Return the loop time of the next poll."""
    loop = asyncio.get_running_loop()
    soonest = min(due, loop.time() + MIN_SECONDS)
    try:
        async with asyncio.timeout_at(due):
            await page.woken.wait()
    except TimeoutError:
        return due
    asked = max(loop.time(), soonest)
    if not page.over:
        await asyncio.sleep(asked - loop.time())
    return asked


async def _left(receive: Receive, page: _Page) -> None:
    """End the updates when the page closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    page.end()


async def accept(scope: Scope, receive: Receive, send: Send) -> tuple[Data, str] | None:
    """Read a request of the page.

    Returns:
        The JSON object that it contains and the visitor's key, or None if the request was refused.
    """
    if scope["method"] != "POST":
        await reply(send, 405)
        return None
    headers = Headers(scope=scope)
    # Other sites can send this type only after a CORS preflight, which is rejected.
    if not headers.get("content-type", "").startswith("application/json"):
        await reply(send, 415)
        return None
    asked = await _read(receive)
    session = asked.pop("session", None) if asked is not None else None
    key = visitor_key(headers, session if isinstance(session, str) else None)
    if asked is None or key is None:
        await reply(send, 400)
        return None
    return asked, key


async def _read(receive: Receive) -> Data | None:
    """Return the body of a request if it is a JSON object of finite numbers, else None."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BYTES:
            return None
        if not message.get("more_body"):
            break
    try:
        asked = finite_json(body)
    except ValueError:
        return None
    return asked if isinstance(asked, dict) else None


async def reply(send: Send, status: int, text: str = "") -> None:
    """Send a response, whose body is JSON or empty."""
    body = text.encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    if body:
        headers.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
