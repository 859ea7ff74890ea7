"""Who is here: one `Visitor` for each browser tab, freed when the tab closes or nothing is heard of it any more.

Gradio's own state outlives a closed tab by an hour, which is too long for a KV cache; so this registry goes by the
session's hash, the page's unload event and a sweep.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hermes.errors import HermesError
from ui.visitor import Visitor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Quota:
    """What one machine and one visitor may use.

    Attributes:
        visitors: Tabs at once.
        idle_seconds: Silence after which a tab counts as gone. A hidden tab still speaks about once a minute.
        uploads: Files that one visitor may keep; the oldest goes when another comes.
        upload_mb: Largest file, in megabytes.
    """

    visitors: int = 64
    idle_seconds: float = 600.0
    uploads: int = 3
    upload_mb: int = 200


class Sessions:
    """The registry. `make` builds a visitor; `upload_root` is where uploaded files may lie."""

    def __init__(self, make: Callable[[], Visitor], quota: Quota, upload_root: Path) -> None:
        self.quota = quota
        self._make = make
        self._root = upload_root.resolve()
        self._visitors: dict[str, Visitor] = {}
        self._guests: dict[str, Visitor] = {}
        self._heard: dict[str, float] = {}
        self._files: Counter[str] = Counter()
        self._lock = threading.Lock()

    def get(self, key: str | None) -> Visitor:
        """The visitor of a session, made at the first call.

        Raises:
            HermesError: There are too many visitors, or the call does not come from the page.
        """
        if not key:
            raise HermesError("This can only be used from the page.")
        with self._lock:
            visitor = self._visitors.get(key)
            if visitor is None:
                if len(self._visitors) >= self.quota.visitors:
                    raise HermesError(f"All {self.quota.visitors} places are taken. Try again in a few minutes.")
                visitor = self._visitors[key] = self._make()
            self._heard[key] = time.monotonic()
            return self._guests.get(key, visitor)

    def own(self, key: str | None) -> Visitor:
        """The first visitor of a session, also while another stands in for it.

        Raises:
            HermesError: As `get`.
        """
        shown = self.get(key)
        return self._visitors.get(key or "", shown)

    def enter_guest(self, key: str | None) -> Visitor:
        """A second visitor that stands in for the first, which pauses meanwhile; the same one until `leave_guest`.

        Raises:
            HermesError: As `get`.
        """
        shown, own = self.get(key), self.own(key)
        with self._lock:
            if not key or shown is not own:
                return shown
            guest = self._guests[key] = self._make()
            guest.uploads = own.uploads
        own.step_aside()
        guest.tell_afresh()
        return guest

    def leave_guest(self, key: str | None) -> None:
        """Bring the first visitor back as it was; nothing happens where nobody stands in for it."""
        with self._lock:
            guest = self._guests.pop(key or "", None)
        if guest is not None:
            guest.close()
            self.get(key).come_back()

    def __len__(self) -> int:
        return len(self._visitors)

    def take_upload(self, key: str | None, path: str, name: str) -> None:
        """Note that a visitor uploaded a file, which lies below the upload folder; the oldest may have to go.

        Raises:
            HermesError: The file is not an upload.
        """
        visitor = self.get(key)
        real = Path(path).resolve()
        if not real.is_relative_to(self._root) or not real.is_file():
            raise HermesError("This file was not uploaded here. Choose it again.")
        with self._lock:
            if path not in visitor.uploads:
                self._files[path] += 1
            visitor.uploads[path] = name or real.name
            while len(visitor.uploads) > self.quota.uploads:
                self._let_go(visitor, next(iter(visitor.uploads)))

    def _let_go(self, visitor: Visitor, path: str) -> None:
        """Forget a file, and delete it once nobody has it: equal files of two visitors share one place."""
        visitor.uploads.pop(path, None)
        self._files[path] -= 1
        if self._files[path] <= 0:
            del self._files[path]
            folder = Path(path).resolve().parent
            if folder != self._root and folder.is_relative_to(self._root):
                shutil.rmtree(folder, ignore_errors=True)

    def close(self, key: str | None) -> None:
        """The tab is gone: free its stream and its files."""
        with self._lock:
            visitor = self._visitors.pop(key or "", None)
            guest = self._guests.pop(key or "", None)
            self._heard.pop(key or "", None)
            if visitor is not None:
                for path in list(visitor.uploads):
                    self._let_go(visitor, path)
        if guest is not None:
            guest.close()
        if visitor is not None:
            visitor.close()
            logger.info("a visitor left, %d here", len(self._visitors))

    def sweep(self, now: float | None = None) -> int:
        """Close the tabs of which nothing was heard for too long; returns how many."""
        now = time.monotonic() if now is None else now
        with self._lock:
            silent = [key for key, heard in self._heard.items() if now - heard > self.quota.idle_seconds]
        for key in silent:
            self.close(key)
        return len(silent)

    def keep_sweeping(self, stop: threading.Event, every: float = 30.0) -> None:
        """Sweep in a thread of its own until `stop` is set."""

        def loop() -> None:
            while not stop.wait(every):
                self.sweep()

        threading.Thread(target=loop, name="idle sweep", daemon=True).start()
