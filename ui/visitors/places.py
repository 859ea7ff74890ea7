"""Places of visitors in the registry, and what happens to them when their page is away or closed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hermes.host_memory import trim

if TYPE_CHECKING:
    from ui.visitors.visitor import Visitor

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
"""How long `run_apart` waits for a visitor to pause or close. It then continues in the background."""


@dataclass
class VisitorPlace:
    """The place of a visitor.

    Attributes:
        visitor: The visitor.
        client: Network address of the visitor.
        heard: Time of the last event from its page.
        dropped: Time at which its last connection ended; None while it is connected.
        left: Time at which its page was closed or reloaded; None if it has connected since.
        paused: Whether its stream was paused because the connection was lost.
        guest: The visitor that replaces it during a lesson.
        switching: Held while the stream is paused or resumed because of a guest or the connection.
    """

    visitor: Visitor
    client: str
    heard: float
    dropped: float | None = None
    left: float | None = None
    paused: bool = False
    guest: Visitor | None = None
    switching: threading.Lock = field(default_factory=threading.Lock)


def pause_if_away(place: VisitorPlace) -> None:
    """Pause the stream of a visitor whose page is away, unless it has reconnected meanwhile."""
    with place.switching:
        if place.paused:
            (place.guest or place.visitor).disconnect()


def run_apart(actions: Sequence[Callable[[], None]]) -> None:
    """Run actions on several visitors in a thread each. One that takes long, or fails, does not hold up the others."""
    threads = [threading.Thread(target=action, name="leave a visitor", daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SWEEP_SECONDS)


def close_all(visitors: Iterable[Visitor | None]) -> None:
    """Close visitors. An error in one does not keep the others open."""
    for visitor in visitors:
        try:
            if visitor is not None:
                visitor.close()
        except Exception:
            logger.exception("Could not close a visitor")
    trim()
