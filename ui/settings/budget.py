"""A budget that suits a short video: one that it does not fit into, so that forgetting shows within ten seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

SECONDS: Final = 10.0
"""Time within which forgetting should show."""
SHARE: Final = 0.6
"""Share of the tokens of this time that the proposed budget holds."""
MIN_FRAMES: Final = 4
"""A proposed budget holds at least so many frames."""
MULTIPLE: Final = 16


@dataclass(frozen=True)
class BudgetProposal:
    """A budget that was set for an upload.

    Attributes:
        path: The upload, or the id of a clip.
        budget: The budget, in tokens per layer.
        before: The budget before.
        fps: Frames that the model reads per second.
        tokens: Tokens of the video in the first `SECONDS`, or in all of it if it is shorter.
    """

    path: str
    budget: int
    before: int
    fps: float
    tokens: int

    def message(self) -> dict[str, Any]:
        """Return the proposal for the page."""
        text = (
            f"The first {SECONDS:g} s of this video are about {self.tokens:,} tokens, fewer than the budget of "
            f"{self.before:,}. The budget is now {self.budget:,}, so that evictions show soon."
        )
        return {"text": text, "before": self.before, "budget": self.budget}


def proposed_budget(
    path: str, tokens_per_frame: int, fps: float, seconds: float | None, budget: int
) -> BudgetProposal | None:
    """Return a smaller budget for a video, or None if forgetting shows soon with the present one.

    Args:
        path: The upload.
        tokens_per_frame: Tokens of a frame in a layer.
        fps: Frames that the model reads per second.
        seconds: Length of the video; None if it is unknown.
        budget: The present budget, in tokens per layer.
    """
    tokens = int(tokens_per_frame * fps * min(seconds or SECONDS, SECONDS))
    proposed = int(SHARE * tokens) // MULTIPLE * MULTIPLE
    if budget < tokens or proposed < MIN_FRAMES * tokens_per_frame or proposed < MULTIPLE:
        return None
    return BudgetProposal(path, proposed, budget, fps, tokens)
