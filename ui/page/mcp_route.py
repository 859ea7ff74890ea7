"""ASGI middleware that serves the tools of MCP at `/mcp`, and takes uploads for them at `/mcp/upload`.

Only POST requests without an `Origin` header are answered: programs send none, and browsers send one with every POST. So a
web page cannot use a server on its visitor's machine.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from hermes.errors import HermesError
from ui.api.mcp_tools import McpTools
from ui.page.traffic import App, Message, Receive, Scope, Send, limited, reply, whole_body
from ui.visitors.connections import TAB_HEADER
from ui.visitors.registry import Sessions

PATH: Final = "/mcp"
UPLOAD_PATH: Final = "/mcp/upload"
MAX_BYTES: Final = 200_000
"""Largest body of a call."""


class McpRoute:
    """Serves MCP next to the page."""

    def __init__(self, app: App, tools: McpTools, sessions: Sessions) -> None:
        """Wrap `app`, which also receives the uploads as those of a page."""
        self._app = app
        self._tools = tools
        self._sessions = sessions
        self._server = tools.server()
        self._calls = self._server.streamable_http_app(
            streamable_http_path=PATH,
            stateless_http=True,
            # The Host header is that of the proxy, if there is one. Requests of browsers are refused below.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            async with self._server.session_manager.run():
                await self._app(scope, receive, send)
            return
        path = scope["path"].rstrip("/") if scope["type"] == "http" else ""
        if path not in (PATH, UPLOAD_PATH):
            await self._app(scope, receive, send)
        elif scope["method"] != "POST":
            await reply(send, 405)
        elif "origin" in Headers(scope=scope):
            await reply(send, 403, "Web pages cannot use this address.")
        elif path == UPLOAD_PATH:
            await self._upload(scope, receive, send)
        else:
            await self._call({**scope, "path": PATH, "raw_path": PATH.encode()}, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a call completely, then pass it to the tools."""
        receive = limited(receive, MAX_BYTES)
        try:
            body = await whole_body(receive)
        except HTTPException as error:
            await reply(send, error.status_code, error.detail)
            return
        if body is None:
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._calls(scope, replay, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Store a file for a new visitor, and answer with the visitor's handle. The limits are those of a page's uploads."""
        client = scope.get("client")
        try:
            handle, key = await asyncio.to_thread(self._tools.open, client[0] if client else "")
        except HermesError as error:
            await reply(send, 503, str(error))
            return
        status, body = 500, b""

        async def keep(message: Message) -> None:
            nonlocal status, body
            status = message.get("status", status)
            body += message.get("body", b"")

        try:
            await self._app(_as_page_upload(scope, handle), receive, keep)
            stored = status == 200 and bool(json.loads(body))
        except BaseException:
            self._close(key)
            raise
        if stored:
            await reply(send, 200, json.dumps({"upload": handle}), "application/json")
            return
        self._close(key)
        await reply(
            send, status if status != 200 else 400, body.decode("utf-8", "replace") if status != 200 else "No file."
        )

    def _close(self, key: str) -> None:
        """Close a visitor in a separate thread, because this task may be cancelled."""
        asyncio.get_running_loop().run_in_executor(None, self._sessions.close, key)


def _as_page_upload(scope: Scope, handle: str) -> dict[str, Any]:
    """Return the request as an upload of the page of the visitor with this handle."""
    name = TAB_HEADER.encode()
    headers = [header for header in scope["headers"] if header[0] != name]
    path = "/gradio_api/upload"
    return {
        **scope,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*headers, (name, handle.encode())],
    }
