"""The page of props at `/props`: pictures of objects and cards, to be shown full-screen on a phone and held up to a camera.

The document is self-contained, so that it also works from a file. It needs no model.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from hermes.assets import OBJECTS
from hermes.cards.picture import card_svg
from hermes.cards.timeline import COLOURS, SHAPES
from hermes.things.objects import NAMES
from hermes.worlds.questions import as_text
from ui import bundle

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PATH: Final = "/props"
POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def prop_pictures() -> list[dict[str, str]]:
    """Return one picture per object that has one, then one per card: `kind`, `name` and `source` (a data URL)."""
    found = []
    for name in NAMES:
        path = OBJECTS / f"{name}-1.webp"
        if path.is_file():
            found.append({"kind": "object", "name": as_text(name), "source": _data_url("webp", path.read_bytes())})
    for colour in COLOURS:
        for shape in SHAPES:
            svg = card_svg(colour, shape).encode()
            found.append({"kind": "card", "name": f"{colour} {shape}", "source": _data_url("svg+xml", svg)})
    return found


def _data_url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


@cache
def props_document() -> bytes:
    """Return the HTML document."""
    folder = bundle.STATIC / "props"
    html = (folder / "props.html").read_text("utf-8")
    parts = {
        "style": (folder / "props.css").read_text("utf-8"),
        "script": (folder / "props.js").read_text("utf-8"),
        "pictures": json.dumps(prop_pictures(), separators=(",", ":")),
    }
    for name, content in parts.items():
        html = html.replace(f"{{{{{name}}}}}", content)
    return html.encode()


class PropsPage:
    """ASGI middleware that serves the page of props and passes on all other requests."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or not scope["path"].endswith(PATH) or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        body = await run_in_threadpool(props_document)
        headers = {
            "content-type": "text/html; charset=utf-8",
            "content-length": str(len(body)),
            "content-security-policy": POLICY,
            "cache-control": "public, max-age=3600",
        }
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": named})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
