"""Keys that identify browser tabs, and the open connections of their pages.

Every page sends the secret token of its tab with each request (`TAB_HEADER`). Unlike Gradio's session hash, the token
survives reloads and reconnects. The server stores only a hash of it: the visitor's key.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any, Final

TAB_HEADER: Final = "x-hermes-tab"
_TOKEN: Final = re.compile(r"[0-9a-f]{32,64}")
_SESSION: Final = re.compile(r"[\w-]{4,64}")


def key_of_token(token: object) -> str | None:
    """Return the key for a tab's token, or None if it is invalid. A token has 32 to 64 hexadecimal digits."""
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return None
    return "tab-" + hashlib.sha256(token.encode()).hexdigest()[:40]


def visitor_key(headers: Mapping[str, str], session_hash: str | None) -> str | None:
    """Return the key of the visitor that sent a request.

    Args:
        headers: The request's headers.
        session_hash: Gradio's session hash, which identifies the visitor if the request has no token: API clients
            have none.

    Returns:
        The key, or None if the request does not identify a visitor.
    """
    token = headers.get(TAB_HEADER)
    if token is not None:
        return key_of_token(token)
    return f"session-{session_hash}" if session_hash and _SESSION.fullmatch(session_hash) else None


def key_of(request: Any) -> str | None:
    """Return the key of the visitor that sent an event. `request` is Gradio's."""
    return visitor_key(request.headers, request.session_hash)


MAX_OWNED: Final = 10_000


class SessionOwners:
    """The visitor that uses each Gradio session. Only that visitor can read or send the session's events. Thread-safe."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def claim(self, session: str, key: str) -> bool:
        """Return whether `key` may use a session: it was the first to use it. The oldest of `MAX_OWNED` are forgotten."""
        with self._lock:
            owner = self._owners.setdefault(session, key)
            self._owners.move_to_end(session)
            if len(self._owners) > MAX_OWNED:
                self._owners.popitem(last=False)
            return owner == key


class Connections:
    """The long-lived connections of all pages, by visitor. Thread-safe."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._clients: dict[str, str] = {}
        self._changed = threading.Condition()
        self._waiting = 0
        self._left: set[str] = set()
        self._held: set[str] = set()

    def hold(self, key: str, client: str) -> None:
        """Count a visitor at address `client` as connected until `release`, although it has no connection."""
        with self._changed:
            self._held.add(key)
            self._clients[key] = client

    def release(self, key: str) -> None:
        """End what `hold` began; does nothing for other visitors."""
        with self._changed:
            if key in self._held:
                self._held.discard(key)
                if key not in self._open:
                    self._clients.pop(key, None)

    def is_held(self, key: str) -> bool:
        """Return whether a visitor counts as connected because of `hold`."""
        return key in self._held

    def opened(self, key: str, client: str) -> None:
        """Record that a page of visitor `key` opened a connection from address `client`."""
        with self._changed:
            self._open[key] += 1
            self._left.discard(key)
            self._clients[key] = client
            self._changed.notify_all()

    def closed(self, key: str) -> bool:
        """Record that a connection ended. Return whether it was the visitor's last one."""
        with self._changed:
            self._open[key] -= 1
            if self._open[key] > 0:
                return False
            del self._open[key]
            self._left.discard(key)
            if key not in self._held:
                self._clients.pop(key, None)
            return True

    def left(self, key: str) -> None:
        """Record that the page of a visitor was closed: its remaining connections no longer count."""
        with self._changed:
            if key in self._open:
                self._left.add(key)

    def is_live(self, key: str) -> bool:
        """Return whether a visitor is connected."""
        return key in self._held or (key in self._open and key not in self._left)

    def client(self, key: str) -> str:
        """Return the address from which a visitor is connected; "" if it is not connected."""
        return self._clients.get(key, "")

    def wait_for(self, key: str, seconds: float, most_waiting: int) -> bool:
        """Wait until a visitor is connected: its first event can arrive before its connection.

        Args:
            key: The visitor.
            seconds: Timeout in seconds.
            most_waiting: Maximum number of waiting threads, so that forged keys cannot occupy all threads of the server.

        Returns:
            Whether it is connected.
        """
        with self._changed:
            if key in self._open or key in self._held or self._waiting >= most_waiting:
                return self.is_live(key)
            self._waiting += 1
            try:
                return self._changed.wait_for(lambda: self.is_live(key), seconds)
            finally:
                self._waiting -= 1
