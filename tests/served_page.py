"""A page that is served over HTTP, and tabs as the server sees them, without a browser."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

import hermes
from hermes.serving.engine import Engine, StreamSettings
from ui.options import Options
from ui.page.handlers import Handlers
from ui.page.page import build, launch_options
from ui.page.update_stream import UPDATES
from ui.visitors.connections import TAB_HEADER, key_of_token
from ui.visitors.files import server_folder
from ui.visitors.registry import Quota

QUOTA = Quota(reload_seconds=0.2)


@contextmanager
def serve(
    folder: Path, quota: Quota = QUOTA, engine: Engine | None = None, **options: Any
) -> Iterator[tuple[str, Handlers]]:
    """Serve a page with these `Options`, whose files lie below `folder`; yields its address and its handlers."""
    given = {"any_model": False, "clips": Path("/nowhere"), "quota": quota, **options}
    engine = engine or Engine()
    with server_folder(folder):
        made = build(engine, hermes.POLICIES, Options(StreamSettings(), ("pocket",), **given))
        _, address, _ = made.blocks.launch(
            prevent_thread_lock=True,
            server_name="127.0.0.1",
            **launch_options(quota, made.handlers, made.opening, made.tools),
        )
        try:
            yield address, made.handlers
        finally:
            made.blocks.close()
    engine.close()


class Tab:
    """A page as the server sees it: the token of its tab, and a connection that is open until `client` is closed."""

    def __init__(self, address: str, **headers: str) -> None:
        self.token = secrets.token_hex(16)
        self.key = key_of_token(self.token)
        self.client = httpx.Client(base_url=address, headers={TAB_HEADER: self.token, **headers}, timeout=60)
        shown = {"session": "not-used", "seq": None, "frame": -1, "board": None, "hidden": False, "open": None}
        self._heartbeat = self.client.stream("GET", f"gradio_api/heartbeat/{secrets.token_hex(6)}")
        self._heartbeat.__enter__()
        self._updates = self.client.stream("POST", UPDATES, json=shown)
        self.first = next(self._updates.__enter__().iter_lines())

    @property
    def player(self) -> dict[str, Any]:
        """The player's state in the first update."""
        state: dict[str, Any] = json.loads(self.first.removeprefix("data: "))["player"]
        return state

    def upload(self, data: bytes, name: str = "clip.mp4") -> httpx.Response:
        """Upload a file."""
        return self.client.post("gradio_api/upload", files={"files": (name, data)})
