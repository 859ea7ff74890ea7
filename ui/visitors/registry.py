"""The registry of visitors: one `Visitor` per browser tab, from its first event until its place is freed.

A visitor keeps its place while its page is connected, and for `Quota.grace_seconds` after the connection was lost, so that
it finds its stream, memory and chat again after a reconnect. A page that is closed frees its place immediately.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hermes.errors import HermesError
from ui.untrusted import display_name
from ui.visitors.connections import Connections
from ui.visitors.places import VisitorPlace, close_all, pause_if_away, run_apart
from ui.visitors.received_uploads import drop_oldest_uploads, move_upload, rename_upload

if TYPE_CHECKING:
    from ui.visitors.autosave import Autosave
    from ui.visitors.visitor import Visitor

logger = logging.getLogger(__name__)

CONNECTION_SECONDS = 2.0
"""How long the first event of a page waits for the page's connection, which can arrive later."""
MAX_WAITING = 4
PAUSE_SECONDS = 3.0
"""A stream pauses after its page has been disconnected for this long. A reload or reconnect takes less."""


@dataclass(frozen=True)
class Quota:
    """Limits per server, client and visitor. This is the only place where they are set.

    Attributes:
        visitors: Maximum number of open tabs.
        per_client: Maximum number of open tabs per network address, so that one client cannot take all places.
        grace_seconds: How long a visitor keeps its place after its connection was lost.
        reload_seconds: How long a visitor keeps its memory after its page was closed. A reload
            cannot be told from closing. Its place can be taken by another visitor at once.
        idle_seconds: Time without events after which a connected tab loses its place. A hidden tab sends a request about
            once a minute.
        uploads: Maximum number of files per visitor; the oldest is deleted when another is uploaded.
        upload_mb: Maximum size of a file, in megabytes.
    """

    visitors: int = 64
    per_client: int = 32
    grace_seconds: float = 60.0
    reload_seconds: float = 10.0
    idle_seconds: float = 600.0
    uploads: int = 3
    upload_mb: int = 200


class Sessions:
    """The registry of visitors. Thread-safe."""

    def __init__(
        self,
        make: Callable[[], Visitor],
        quota: Quota,
        upload_root: Path,
        connections: Connections | None = None,
        autosave: Autosave | None = None,
    ) -> None:
        """Create a registry without visitors.

        Args:
            make: Creates a visitor.
            quota: Limits.
            upload_root: Folder below which files are uploaded.
            connections: Connections of the pages; None: every visitor counts as connected.
            autosave: Saves streams; None to disable.
        """
        self.quota = quota
        self.connections = connections
        self._make = make
        self.upload_root = upload_root.resolve()
        self._autosave = autosave
        self._places: dict[str, VisitorPlace] = {}
        self._lock = threading.Lock()

    def get(self, key: str | None) -> Visitor:
        """Return the visitor that a tab shows: its own, or the guest during a lesson. Creates it at the first call.

        Raises:
            HermesError: There are too many visitors, or the call does not come from a connected page.
        """
        place = self._place(key)
        return place.guest or place.visitor

    def own(self, key: str | None) -> Visitor:
        """Return the own visitor of a tab, also during a lesson.

        Raises:
            HermesError: See `get`.
        """
        return self._place(key).visitor

    def hold(self, key: str, client: str) -> Visitor:
        """Create the visitor of a program that has no connection. It keeps its place until it is closed or idle.

        Args:
            key: Key of the visitor.
            client: Network address of the program.

        Raises:
            HermesError: There are too many visitors.
        """
        if self.connections is not None:
            self.connections.hold(key, client)
        try:
            return self.own(key)
        except BaseException:
            if self.connections is not None:
                self.connections.release(key)
            raise

    def held(self, key: str | None) -> Visitor | None:
        """Return the visitor that `hold` created; None if it is closed."""
        with self._lock:
            place = self._places.get(key or "")
            if place is None or self.connections is None or not self.connections.is_held(key or ""):
                return None
            place.heard = time.monotonic()
            return place.visitor

    def _place(self, key: str | None) -> VisitorPlace:
        if not key:
            raise HermesError("This is only available from the page.")
        with self._lock:
            place = self._places.get(key)
            if place is not None:
                place.heard = time.monotonic()
                return place
        if self.connections is not None and not self.connections.wait_for(key, CONNECTION_SECONDS, MAX_WAITING):
            raise HermesError("The page is not connected. Reload it.")
        with self._lock:
            self._check_room(key)  # before a visitor is created, because every update of a refused page comes here
        visitor = self._make()
        surplus: list[Visitor | None] = []
        try:
            if self._autosave is not None:
                visitor.offer_saved(self._autosave.offer(key))
            with self._lock:
                place = self._places.get(key)
                if place is None:
                    for gone in self._check_room(key):
                        surplus.extend(self._pop(gone))
                    client = self.connections.client(key) if self.connections is not None else ""
                    now = time.monotonic()
                    live = self.connections is None or self.connections.is_live(key)  # it may have ended meanwhile
                    place = self._places[key] = VisitorPlace(visitor, client, now, None if live else now)
                else:
                    surplus.append(visitor)  # another event of the page created it first
        except BaseException:
            surplus.append(visitor)
            raise
        finally:
            if surplus:
                close_all(surplus)
        return place

    def _check_room(self, key: str) -> list[str]:
        """Check that there is a place, or one of a disconnected visitor; the lock is held.

        Args:
            key: Key of the visitor that needs the place.

        Returns:
            Keys of the disconnected visitors to remove.

        Raises:
            HermesError: There is no place.
        """
        if key in self._places:
            return []
        client = self.connections.client(key) if self.connections is not None else ""
        near = [other for other, place in self._places.items() if client and place.client == client]
        removed: list[str] = []
        for keys, most, refusal in (
            (near, self.quota.per_client, "{} pages are open from your network address. Close one of them."),
            (list(self._places), self.quota.visitors, "All {} places are taken. Try again in a few minutes."),
        ):
            left = [other for other in keys if other not in removed]
            if len(left) < most:
                continue
            dropped = [(when, other) for other in left if (when := self._places[other].dropped) is not None]
            if not dropped:
                raise HermesError(refusal.format(most))
            removed.append(min(dropped)[1])
        return removed

    def connected(self, key: str) -> None:
        """Handle a new connection of a page. A stream that was paused by the lost connection resumes."""
        with self._lock:
            place = self._places.get(key)
            if place is None or place.dropped is None:
                return
            place.dropped, place.left, place.heard = None, None, time.monotonic()
            paused, place.paused = place.paused, False
            if self.connections is not None:
                place.client = self.connections.client(key)
        if paused:
            with place.switching:
                (place.guest or place.visitor).reconnect()
            logger.info("A visitor reconnected")

    def left(self, key: str) -> float | None:
        """Handle a closed or reloaded page: others may take its place and its live slot. Its connections no longer count.

        Returns:
            The time, for `close_unless_back`; None if the page has no visitor.
        """
        if self.connections is not None:
            self.connections.left(key)
        with self._lock:
            place = self._places.get(key)
            if place is None:
                return None
            since = time.monotonic()
            place.dropped = place.left = since
            pausing, place.paused = not place.paused, True
        if pausing:
            pause_if_away(place)  # at once, so that others can take the live slot
        return since

    def close_unless_back(self, key: str, since: float | None) -> None:
        """Close a visitor whose page was closed at time `since`, unless the page has connected since, or left again."""
        with self._lock:
            place = self._places.get(key)
            visitors = self._pop(key) if place is not None and since is not None and place.left == since else []
        close_all(visitors)

    def disconnected(self, key: str) -> None:
        """Handle the end of a page's last connection. `sweep` pauses the stream soon, and closes it later."""
        with self._lock:
            place = self._places.get(key)
            if place is not None and not (self.connections is not None and self.connections.is_live(key)):
                place.dropped = time.monotonic()

    def discard_saved(self, key: str | None) -> None:
        """Delete a visitor's saved stream."""
        if self._autosave is not None and key:
            self._autosave.delete(key)

    def enter_guest(self, key: str | None) -> Visitor:
        """Return a second visitor that is shown until `leave_guest`, while the first one is paused.

        Raises:
            HermesError: See `get`.
        """
        place = self._place(key)
        if place.guest is not None:
            return place.guest
        guest = self._make()
        guest.uploads = place.visitor.uploads
        with place.switching:
            with self._lock:
                entered = place.guest is None and self._places.get(key or "") is place
                if entered:
                    place.guest = guest
            if entered:
                place.visitor.pause_for_guest()
                guest.resend_all()
                return guest
        guest.close()  # another event created a guest first, or the page was closed
        return place.guest or place.visitor

    def leave_guest(self, key: str | None) -> None:
        """Show the first visitor again. Does nothing if there is no guest."""
        with self._lock:
            place = self._places.get(key or "")
        if place is None:
            return
        with place.switching:
            with self._lock:
                guest, place.guest = place.guest, None
            if guest is not None:
                guest.close()
                place.visitor.resume_after_guest()

    def __len__(self) -> int:
        return len(self._places)

    def uploads(self, key: str | None) -> Collection[str]:
        """Return the paths of a visitor's uploads; empty if there is no such visitor."""
        with self._lock:
            place = self._places.get(key or "")
            return tuple(place.visitor.uploads) if place is not None else ()

    def visitors(self) -> dict[str, Visitor]:
        """Return the current visitors by key."""
        with self._lock:
            return {key: place.visitor for key, place in self._places.items()}

    def receive_upload(self, key: str | None, path: str) -> str:
        """Move a new upload into the folder of its visitor, and return its new path.

        Raises:
            HermesError: The sender is not a visitor, or the file cannot be moved.
        """
        with self._lock:
            place = self._places.get(key or "")
        visitor = place.visitor if place is not None else None
        stored = move_upload(visitor, path, self.upload_root)
        assert visitor is not None  # noqa: S101 - `move_upload` refuses None
        with self._lock:
            visitor.uploads[str(stored)] = display_name(stored.name)
            dropped = drop_oldest_uploads(visitor, self.quota.uploads)
        for old in dropped:
            visitor.files.remove(old)
        return str(stored)

    def take_upload(self, key: str | None, path: str, name: str) -> None:
        """Set the display name of an uploaded file.

        Raises:
            HermesError: The file was not uploaded by this visitor.
        """
        rename_upload(self.own(key), path, name)

    def close(self, key: str | None) -> None:
        """Close the visitor of a tab: free its stream, delete its files and its saved stream."""
        with self._lock:
            visitors = self._pop(key or "")
        close_all(visitors)

    def _pop(self, key: str) -> list[Visitor | None]:
        """Remove a visitor's place and return the visitors to close. The lock is held."""
        place = self._places.pop(key, None)
        if self.connections is not None:
            self.connections.release(key)
        if place is None:
            return []
        if self._autosave is not None:
            self._autosave.delete(key)
        logger.info("A visitor left, %d remain", len(self._places))
        return [place.guest, place.visitor]

    def sweep(self, now: float | None = None) -> int:
        """Pause the streams of disconnected visitors, and close visitors that were disconnected or idle for too long.

        Returns:
            Number of visitors closed.
        """
        now = time.monotonic() if now is None else now
        with self._lock:
            pausing = [
                place
                for place in self._places.values()
                if place.dropped is not None and not place.paused and now - place.dropped > PAUSE_SECONDS
            ]
            for place in pausing:
                place.paused = True
            over = [
                key
                for key, place in self._places.items()
                if (now - place.heard > self.quota.idle_seconds)
                or (place.dropped is not None and now - place.dropped > self.quota.grace_seconds)
            ]
            gone = [self._pop(key) for key in over]  # with the lock, so that none of them returns meanwhile
        run_apart(
            [partial(pause_if_away, place) for place in pausing] + [partial(close_all, visitors) for visitors in gone]
        )
        return len(gone)

    def keep_sweeping(self, stop: threading.Event, every: float = 1.0) -> None:
        """Sweep in a background thread until `stop` is set."""

        def loop() -> None:
            while not stop.wait(every):
                try:
                    self.sweep()
                except Exception:
                    logger.exception("Could not close a visitor")

        threading.Thread(target=loop, name="idle sweep", daemon=True).start()
