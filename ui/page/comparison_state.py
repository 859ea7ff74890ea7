"""The state of a visitor's comparison, which the page requests four times a second while the comparison plays.

Gradio's queue is not used. Before and after each event, Gradio's program in the browser copies the properties of all
components, which took more time than drawing the comparison.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from ui.page.update_stream import Receive, Scope, Send, accept, reply

logger = logging.getLogger(__name__)

COMPARISON: Final = "hermes-live-comparison"
THREADS: Final = 16

Poll = Callable[[Mapping[str, Any], str], str | None]


class ComparisonState:
    """ASGI middleware that answers requests for the state of comparisons and passes on all other requests."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], poll: Poll) -> None:
        """Wrap `app`.

        Args:
            app: Handles all other requests.
            poll: Returns the state as JSON (None if the visitor has no place), given what a page shows and its key.
                Called in a thread.
        """
        self._app = app
        self._poll = poll
        self._busy: set[str] = set()
        """Visitors whose state is being read: one whose comparison is slow occupies one thread."""
        self._threads = ThreadPoolExecutor(THREADS, "comparisons")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. A response without a body means that there is no state, or not yet."""
        if scope["type"] != "http" or scope["path"].rpartition("/")[2] != COMPARISON:
            await self._app(scope, receive, send)
            return
        request = await accept(scope, receive, send)
        if request is None:
            return
        shown, key = request
        if key in self._busy:
            await reply(send, 204)
            return
        self._busy.add(key)
        try:
            state = await asyncio.get_running_loop().run_in_executor(self._threads, self._poll, shown, key)
        except Exception:
            logger.exception("Could not read the state of a comparison")
            await reply(send, 500)
            return
        finally:
            self._busy.discard(key)
        await reply(send, 204 if state is None else 200, state or "")
