"""ASGI middleware that serves only the routes of the page, limits bodies, and tracks connections, closed tabs and uploads.

A session of Gradio, which its events and messages belong to, can be used only by the visitor that used it first.

Gradio has other routes, some of which store files or decode videos for any client.
Long-lived requests of a page (Gradio's heartbeat and event stream, the update stream) are its connections. `LEAVE` is the
beacon that the page sends when its tab is closed. Uploads are stored by `ui.page.uploads`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request

from hermes.errors import HermesError
from ui.page.event_checks import RefusedEventError, check_inputs, check_room, parse_event
from ui.page.uploads import Uploads
from ui.visitors.connections import SessionOwners, key_of_token, visitor_key
from ui.visitors.registry import Sessions

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LEAVE: Final = "hermes-live-leave"
LONGEST_TOKEN: Final = 200
LONGEST_SESSION: Final = 64
"""Characters of the name of a session."""
REFUSED_SESSION: Final = "This session belongs to another page, or its name is too long."
_CONNECTION: Final = re.compile(r"/gradio_api/(?:heartbeat/([\w-]+)|queue/data)/?$|/hermes-live-updates$")
_EVENT: Final = re.compile(r"/gradio_api/(?:queue/join|cancel|reset)/?$")
_UPLOAD: Final = re.compile(r"/gradio_api/upload/?$")
_SERVED: Final = {
    "GET": re.compile(
        r"(?!.*/gradio_api/|.*/monitoring).*/(?:|config/?|theme\.css|favicon\.ico|manifest\.json|robots\.txt|pwa_icon"
        r"|props|hermes-live-\w+|(?:assets|static|svelte)/.+)$"
        r"|.*/gradio_api/(?:heartbeat/[\w-]+|queue/data|startup-events|app_id|info|theme\.css|user|token"
        r"|custom_component/.+|file=(?!\w{2,}:).+)/?$"
    ),
    "POST": re.compile(r".*/(?:gradio_api/(?:queue/join|upload|cancel|reset)/?|hermes-live-\w+)$"),
}
"""What is served, by method. HEAD counts as GET; other methods are refused."""
MAX_BYTES: Final = 4_000_000
"""Largest body of a request other than an upload; the largest that the page sends is a camera picture."""
FORM_BYTES: Final = 65_536
"""Maximum size of an upload's form data without the file."""
BODY_SECONDS: Final = 30.0
"""Longest wait for the next part of a body. A body may also take this long, and longer at `SLOWEST`."""
SLOWEST: Final = 4000
"""Bytes per second below which a body is refused after `BODY_SECONDS`."""


class PageTraffic:
    """Reports connections, closed tabs and uploads to the registry of visitors."""

    def __init__(self, app: App, sessions: Sessions) -> None:
        """Wrap `app`."""
        self._app = app
        self._sessions = sessions
        self._uploads = Uploads(sessions, sessions.upload_root)
        self._owners = SessionOwners()
        self._leaving: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        served = _SERVED.get("GET" if method == "HEAD" else method)
        if served is None or not served.match(path):
            await reply(send, 404)
            return
        try:
            await self._answer(path, scope, receive, send)
        except HTTPException as error:
            await reply(send, error.status_code, error.detail)

    async def _answer(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if not (_UPLOAD.search(path) and scope["method"] == "POST"):
            receive = limited(receive, MAX_BYTES)
        if path.endswith(f"/{LEAVE}"):
            await self._leave(scope, receive, send)
        elif _UPLOAD.search(path) and scope["method"] == "POST":
            await self._upload(scope, receive, send)
        elif connection := _CONNECTION.search(path):
            await self._connection(connection[1], scope, receive, send)
        elif _EVENT.search(path) and scope["method"] == "POST":
            await self._event(path, scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request. Two errors that any client can cause end the response, and are not logged."""
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except RuntimeError as error:
            # The event stream of a session without events; and a file that was deleted after Gradio looked for it.
            if started and isinstance(error.__cause__, HTTPException):
                await send({"type": "http.response.body", "body": b""})
            elif not started and "/gradio_api/file=" in scope["path"]:
                await reply(send, 404)
            else:
                raise

    async def _event(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on an event, unless it is malformed, names the session or a file of another visitor, or is one too many."""
        body = await whole_body(receive)
        if body is None:
            return
        key = visitor_key(Headers(scope=scope), None)
        try:
            data = parse_event(body, self._sessions.uploads(key))
            session = data.get("session_hash") if isinstance(data, dict) else None
            blocks = scope["app"].get_blocks()
            if path.rstrip("/").endswith("/join"):
                check_inputs(blocks.fns, data)
            check_room(blocks._queue, session)  # noqa: SLF001 - Gradio has no option for it
            self._check_session(scope, session)
        except RefusedEventError as error:
            logger.warning("An event was refused: %s", error)
            await reply(send, error.status, json.dumps({"detail": str(error)}), "application/json")
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)

    def _check_session(self, scope: Scope, session: object) -> None:
        """Check that an event may name a session.

        Raises:
            RefusedEventError: It may not.
        """
        if not self._may_use(scope, session):
            raise RefusedEventError(403, REFUSED_SESSION)

    def _may_use(self, scope: Scope, session: object) -> bool:
        """Return whether a request may name a session. Gradio rejects those that are no text."""
        if not isinstance(session, str):
            return True
        if len(session) > LONGEST_SESSION:  # the server stores it
            return False
        return self._owners.claim(session, visitor_key(Headers(scope=scope), session) or "")

    async def _connection(self, session: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a long-lived request. The visitor is connected while it lasts."""
        if session is None:
            named = QueryParams(scope["query_string"]).getlist("session_hash")
            if len(named) > 1:  # Gradio uses one of them, which must be the one that is checked
                raise HTTPException(400, "The request names several sessions.")
            session = next(iter(named), None)
        if not self._may_use(scope, session):
            await reply(send, 403, REFUSED_SESSION)
            return
        key = visitor_key(Headers(scope=scope), session)
        connections = self._sessions.connections
        if key is None or connections is None:
            await self._pass_on(scope, receive, send)
            return
        client = scope.get("client")
        connections.opened(key, client[0] if client else "")
        try:
            await asyncio.to_thread(self._sessions.connected, key)
            await self._pass_on(scope, receive, send)
        finally:
            if connections.closed(key):
                # In a separate thread, because this task may be cancelled.
                asyncio.get_running_loop().run_in_executor(None, self._sessions.disconnected, key)

    async def _leave(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close a visitor soon, if its page was closed and not reloaded.

        The body is the token of the page, because a beacon cannot set headers.
        """
        body, more = b"", scope["method"] == "POST"
        while more and len(body) <= LONGEST_TOKEN:
            message = await receive()
            body += message.get("body", b"")
            more = message["type"] == "http.request" and message.get("more_body", False)
        key = key_of_token(body.decode("latin-1"))
        if key is not None:
            since = await asyncio.to_thread(self._sessions.left, key)
            task = asyncio.create_task(self._close_unless_back(key, since))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        await reply(send, 204 if key is not None else 400)

    async def _close_unless_back(self, key: str, since: float | None) -> None:
        await asyncio.sleep(self._sessions.quota.reload_seconds)
        await asyncio.to_thread(self._sessions.close_unless_back, key, since)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Store the files of an upload, and answer with their paths as JSON, as Gradio does."""
        key = visitor_key(Headers(scope=scope), None)
        try:  # an upload may arrive before the first poll of its page, which takes the place
            await asyncio.to_thread(self._sessions.own, key)
        except HermesError as error:
            raise HTTPException(403, str(error)) from error
        assert key is not None  # noqa: S101 - `own` refuses None
        most = self._sessions.quota.upload_mb * 1024**2 + FORM_BYTES
        with self._uploads.running(key):
            paths = await self._uploads.store(key, Request(scope, limited(receive, most)))
        await reply(send, 200, json.dumps(paths), "application/json")


def limited(receive: Receive, most: int) -> Receive:
    """Limit the body of a request: its size, the time until its next part, and its duration.

    Args:
        receive: Receives the request. The returned function raises an HTTPException instead of receiving too much.
        most: Bytes.
    """
    size, complete, began = 0, False, time.monotonic()

    async def limited() -> Message:
        nonlocal size, complete
        if complete:
            return await receive()
        left = BODY_SECONDS + size / SLOWEST - (time.monotonic() - began)
        try:
            async with asyncio.timeout(min(left, BODY_SECONDS)):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "The request was not completed in time.") from None
        size += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        if size > most:
            raise HTTPException(413, f"The request exceeds the maximum allowed size of {most:,} bytes.")
        return message

    return limited


async def whole_body(receive: Receive) -> bytes | None:
    """Return the body of a request; None if its connection was closed. The caller limits its size."""
    body = bytearray()  # appending many small parts to bytes would take quadratic time
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def reply(send: Send, status: int, text: str = "", kind: str = "") -> None:
    """Send a complete response; `kind` is its content type if it is not plain text."""
    body = text.encode()
    headers = [
        (b"content-type", (kind or "text/plain; charset=utf-8").encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers if status != 204 else []})
    await send({"type": "http.response.body", "body": body if status != 204 else b""})
