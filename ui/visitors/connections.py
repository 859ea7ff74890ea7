"""Who is connected: the key that stands for a browser tab, and the connections that its page holds open.

Every page sends the secret token of its tab with each request (`TAB_HEADER`). The token survives a reload and a new
connection of the same tab, which Gradio's session hash does not. The server keeps only a hash of it, the visitor's key.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

TAB_HEADER: Final = "x-hermes-tab"
_TOKEN: Final = re.compile(r"[0-9a-f]{32,64}")
_SESSION: Final = re.compile(r"[\w-]{4,64}")


def key_of_token(token: object) -> str | None:
    """The key of a tab's token; None for anything but a token: 32 to 64 hexadecimal digits."""
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return None
    return "tab-" + hashlib.sha256(token.encode()).hexdigest()[:40]


def visitor_key(headers: Mapping[str, str], session_hash: str | None) -> str | None:
    """The key of the visitor that sent a request.

    Args:
        headers: The request's headers.
        session_hash: Gradio's session, which stands for the visitor where the request has no token: programs that
            speak Gradio's protocol have none.

    Returns:
        The key; None where the request names no visitor.
    """
    token = headers.get(TAB_HEADER)
    if token is not None:
        return key_of_token(token)
    return f"session-{session_hash}" if session_hash and _SESSION.fullmatch(session_hash) else None


def key_of(request: Any) -> str | None:
    """The key of the visitor that sent an event; `request` is Gradio's."""
    return visitor_key(request.headers, request.session_hash)


class Connections:
    """The long-lived connections of all pages, by visitor. Methods may be called by any thread."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._clients: dict[str, str] = {}
        self._changed = threading.Condition()
        self._waiting = 0
        self._left: set[str] = set()

    def opened(self, key: str, client: str) -> None:
        """A page of visitor `key` has opened a connection from address `client`."""
        with self._changed:
            self._open[key] += 1
            self._left.discard(key)
            self._clients[key] = client
            self._changed.notify_all()

    def closed(self, key: str) -> bool:
        """A connection has ended; returns whether it was the visitor's last one."""
        with self._changed:
            self._open[key] -= 1
            if self._open[key] > 0:
                return False
            del self._open[key]
            self._left.discard(key)
            self._clients.pop(key, None)
            return True

    def left(self, key: str) -> None:
        """The page of a visitor is being closed: the connections that it still has do not count any more."""
        with self._changed:
            if key in self._open:
                self._left.add(key)

    def is_live(self, key: str) -> bool:
        """Whether a visitor has a connection."""
        return key in self._open and key not in self._left

    def client(self, key: str) -> str:
        """The address from which a visitor is connected; "" where it is not."""
        return self._clients.get(key, "")

    def wait_for(self, key: str, seconds: float, most_waiting: int) -> bool:
        """Wait until a visitor has a connection, since its first event may overtake it.

        Args:
            key: The visitor.
            seconds: Longest wait.
            most_waiting: Threads that may wait at once, so that invented keys cannot occupy the server's threads.

        Returns:
            Whether it has one.
        """
        with self._changed:
            if key in self._open or self._waiting >= most_waiting:
                return self.is_live(key)
            self._waiting += 1
            try:
                return self._changed.wait_for(lambda: self.is_live(key), seconds)
            finally:
                self._waiting -= 1
