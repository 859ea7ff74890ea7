"""Checks of events before Gradio receives them: the files that they name, and how many a client has open.

Gradio would download a URL that is given as a file, for any client, and keeps the messages of an event until its client
reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from ui.untrusted import finite_json

MAX_UNREAD: Final = 256
"""Messages that may wait for a client that does not read them; then its events are refused. An event has about three."""
MAX_EVENTS: Final = 40
"""Events of a session that may be in progress."""
MAX_SESSIONS: Final = 4000
"""Sessions whose events Gradio remembers."""
_MARK: Final = "gradio.FileData"


class RefusedEventError(Exception):
    """An event that is not passed on.

    Attributes:
        status: The HTTP status of the response; the message is its text.
    """

    def __init__(self, status: int, text: str) -> None:
        """Refuse with a status and a sentence."""
        super().__init__(text)
        self.status = status


def parse_event(body: bytes, files: Collection[str]) -> Any:
    """Return the JSON value of an event.

    Args:
        body: The event.
        files: Paths of the files that the sender has uploaded.

    Raises:
        RefusedEventError: It is not valid JSON of finite numbers, or names a file that is not among `files`.
    """

    def check(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(pairs)
        if len(data) != len(pairs):
            raise RefusedEventError(400, "The event has duplicate names.")
        meta = data.get("meta")
        if isinstance(meta, dict) and meta.get("_type") == _MARK and data.get("path") not in files:
            raise RefusedEventError(403, "This file was not uploaded here. URLs and other paths are not accepted.")
        return data

    # Only escapes can hide the mark. Without it, the faster parser is used.
    named = _MARK.encode() in body or b"\\u" in body
    try:
        return finite_json(body, check if named else None)
    except ValueError:
        raise RefusedEventError(400, "The event is not valid JSON.") from None


def check_inputs(functions: Mapping[int, Any], event: object) -> None:
    """Check that an event names a function of the page and has as many inputs as it.

    Gradio fails on fewer inputs while the event is processed, and ignores further ones.

    Args:
        functions: Gradio's functions by index.
        event: The event. Gradio itself refuses one that is no object, names no function, or has no list of inputs.

    Raises:
        RefusedEventError: It does not.
    """
    index = event.get("fn_index") if isinstance(event, dict) else None
    inputs = event.get("data") if isinstance(event, dict) else None
    if index is None or not isinstance(inputs, list):
        return
    function = functions.get(index) if type(index) is int else None  # Gradio also converts texts and fractions
    if function is None:
        raise RefusedEventError(404, "This event does not exist on this page.")
    expected = len(function.inputs)
    if len(inputs) != expected:
        raise RefusedEventError(400, f"This event has {expected} inputs, but {len(inputs)} were sent.")


def check_room(queue: Any, session: Any) -> None:
    """Check that a client reads the messages of its events, and has not too many of them.

    Args:
        queue: Gradio's queue.
        session: The session of the event.

    Raises:
        RefusedEventError: There are too many unread messages or open events.
    """
    _forget_old_sessions(queue)
    messages = queue.pending_messages_per_session.get(session) if isinstance(session, str) else None
    if messages is None:
        return
    if messages.qsize() >= MAX_UNREAD:
        raise RefusedEventError(429, "The answers to earlier events were not read. Read them, or use another session.")
    if sum(event.session_hash == session for event in list(queue.event_ids_to_events.values())) >= MAX_EVENTS:
        raise RefusedEventError(429, "Too many events are in progress. Wait until one of them is done.")


def _forget_old_sessions(queue: Any) -> None:
    """Drop the events of sessions whose messages Gradio has dropped."""
    pending = queue.pending_event_ids_session
    if len(pending) > MAX_SESSIONS:
        for session in [session for session in pending if session not in queue.pending_messages_per_session]:
            del pending[session]
