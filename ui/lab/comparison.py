"""The page's handle of a live comparison, whose memories run next to an engine."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError

if TYPE_CHECKING:
    from hermes.serving.interface import PlacedObject
    from ui.lab.live import LaneMoment

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LiveComparison:
    """A live comparison, as the page sees it.

    Attributes:
        run: The `LiveLab`, which runs next to an engine.
        title: Title of its clip.
        methods: Titles of its methods.
    """

    run: PlacedObject
    title: str
    methods: tuple[str, ...]

    @property
    def state(self) -> str:
        """See `LiveLab.state`; "failed" if it was lost."""
        try:
            state: str = self.run.call("state")
        except HermesError:
            return "failed"
        return state

    @property
    def holds_slot(self) -> bool:
        """See `LiveLab.holds_slot`; false if it was lost."""
        try:
            holds: bool = self.run.call("holds_slot")
        except HermesError:
            return False
        return holds

    def lane(self, number: int) -> LaneMoment:
        """Return a method at the current moment; see `LiveLab.lane`.

        Raises:
            HermesError: The comparison was closed or lost.
        """
        moment: LaneMoment = self.run.call("lane", number)
        return moment

    def recording_state(self) -> dict[str, Any] | None:
        """See `LiveLab.recording_state`; None if it was lost."""
        try:
            state: dict[str, Any] | None = self.run.call("recording_state")
        except HermesError:
            return None
        return state

    def close(self, *, keep: bool) -> None:
        """Free the memories. `keep`: its recording can still be saved."""
        try:
            self.run.call("close")
        except HermesError:
            logger.debug("a comparison could not be closed", exc_info=True)
        if not keep:
            self.run.discard()
