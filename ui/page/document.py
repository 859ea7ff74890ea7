"""Middleware that inserts our script, style and the opening moment into Gradio's HTML document, and caches Gradio's program.

Gradio inserts its `head` argument only after its own program has loaded (about fifty files). With our script and the
opening moment in the document itself, the page is drawn before Gradio has loaded. Gradio compresses each file of its program
again for each visitor, which takes half a second of CPU time for a page.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from ui import bundle
from ui.page.status_timer import repair

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BEFORE, BEHIND, HEAD_END = b"<gradio-app", b"</gradio-app>", b"</head>"
PROGRAM = re.compile(rb'<script type="module" crossorigin src="([^"]+)"></script>')
"""The script element of Gradio's program."""
AFTER_PAINT = rb"""<link rel="modulepreload" href="\1"><script type="module">
const painted = new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
const hidden = new Promise((done) => setTimeout(done, 300)); // background tabs do not paint
Promise.race([painted, hidden]).then(() => import("\1"));
</script>"""
OPEN = b"<script>window.HermesLive.openPage();</script>"
HASHED = re.compile(r"/assets/[\w.-]+-[\w-]{8,}\.(?:js|css)$")
"""Paths of Gradio's program, whose names contain a hash of the content."""
FOREVER = "public, max-age=31536000, immutable"


class Document:
    """ASGI middleware that extends Gradio's document, and serves script and style under names with a content hash.

    It also serves Gradio's program, which has such names too, from memory after the first request, with a repaired timer
    (`ui.page.status_timer`).
    """

    def __init__(
        self, app: Callable[[Scope, Receive, Send], Awaitable[None]], moment: Mapping[str, Any] | None
    ) -> None:
        """Wrap `app`. `moment` is what the page shows first (`ui.opening.Opening.payload`), or None."""
        self._app = app
        self._files: dict[str, _File] = {}
        self._program: dict[str, _File] = {}
        font = self._add_file("font/woff2", bundle.font())
        style = self._add_file("text/css; charset=utf-8", bundle.style(f"./{font}").encode())
        script = self._add_file("text/javascript; charset=utf-8", bundle.script().encode())
        self._head = (
            f'<link rel="preload" as="font" type="font/woff2" href="./{font}" crossorigin>'
            f'<link rel="stylesheet" href="./{style}"><script src="./{script}"></script>'
        ).encode()
        payload = json.dumps(moment, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        self._body = (
            f'<div id="hl-opening"></div><script type="application/json" id="hl-moment">{payload}</script>'.encode()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        file = self._files.get(scope["path"].rpartition("/")[2])
        if file is not None:
            await file.reply(scope, send)
            return
        if HASHED.search(scope["path"]) and scope["method"] == "GET" and _takes_gzip(scope):
            await self._send_program(scope, receive, send)
            return
        await self._app(scope, receive, _Insertion(send, self._extend))

    def _add_file(self, kind: str, data: bytes) -> str:
        """Serve a file and return its name. It has no suffix, so that proxies do not compress it again."""
        name = f"hermes-live-{hashlib.sha256(data).hexdigest()[:20]}"
        self._files[name] = _File(kind, data, b"" if kind.startswith("font/") else gzip.compress(data, mtime=0))
        return name

    async def _send_program(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a file of Gradio's program, which is compressed and kept when it is requested for the first time."""
        path = scope["path"]
        if path not in self._program:
            whole: list[Message] = []

            async def collect(message: Message) -> None:
                whole.append(message)

            await self._app(scope, receive, collect)
            start, *parts = whole
            if start["status"] != 200:
                for message in whole:
                    await send(message)
                return
            data = b"".join(part.get("body", b"") for part in parts)
            kind = next(value.decode() for name, value in start["headers"] if name.lower() == b"content-type")
            self._program[path] = _File(kind, b"", await asyncio.to_thread(gzip.compress, repair(data), mtime=0))
        await self._program[path].reply(scope, send)

    def _extend(self, html: bytes) -> bytes:
        if any(part not in html for part in (HEAD_END, BEFORE, BEHIND)):
            return html
        html = PROGRAM.sub(AFTER_PAINT, html, count=1)
        html = html.replace(HEAD_END, self._head + HEAD_END, 1)
        html = html.replace(BEFORE, self._body + BEFORE, 1)
        return html.replace(BEHIND, BEHIND + OPEN, 1)


@dataclass(frozen=True)
class _File:
    """An immutable file.

    Attributes:
        kind: Content type.
        data: Content.
        packed: Gzip-compressed content; empty if compression does not help.
    """

    kind: str
    data: bytes
    packed: bytes

    async def reply(self, scope: Scope, send: Send) -> None:
        packed = bool(self.packed) and _takes_gzip(scope)
        data = self.packed if packed else self.data
        headers = {"content-type": self.kind, "content-length": str(len(data)), "cache-control": FOREVER}
        if packed:
            headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": named})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else data})


def _takes_gzip(scope: Scope) -> bool:
    return any(name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"])


class _Insertion:
    """Passes on a response. HTML is collected and changed; everything else is streamed unchanged."""

    def __init__(self, send: Send, change: Callable[[bytes], bytes]) -> None:
        self._send = send
        self._change = change
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_html(message["headers"]):
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        data = self._change(self._body)
        if data != self._body:
            others = [pair for pair in self._start["headers"] if pair[0].lower() != b"content-length"]
            self._start["headers"] = [*others, (b"content-length", str(len(data)).encode())]
        start, self._start = self._start, None
        await self._send(start)
        await self._send({"type": "http.response.body", "body": data})


def _is_html(headers: Any) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers)
