"""Limits of a policy's memory: budgets, and the positions that must stay free."""

from __future__ import annotations

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.memory.encoded import Layout
from hermes.memory.positions import RESERVE

DEFAULT_BUDGET = 4000
"""Video tokens per layer in the publication (also 6,000)."""
PUBLISHED_CHUNK = 16
"""Frames per chunk in the publication."""
FEW_FRAMES = 4
"""A budget of fewer frames is reported."""


class BudgetError(HermesError):
    """The budget is too small or too large for the model."""


class ContextFullError(HermesError):
    """The policy keeps more tokens than the model has positions."""


def largest_budget(backbone: Backbone) -> int:
    """Return the largest budget that leaves room for a chunk and a question in the model's range."""
    return backbone.max_positions - reserve(backbone) - PUBLISHED_CHUNK * backbone.tokens_per_frame


def reserve(backbone: Backbone) -> int:
    """Return the positions reserved for a question and its answer: 1,024, or a quarter of the range if that is less."""
    return min(RESERVE, backbone.max_positions // 4)


def check_budget(budget: int, backbone: Backbone) -> None:
    """Check a budget against the model.

    Raises:
        BudgetError: The budget is smaller than one frame, or exceeds the positions of the model.
    """
    least, most = backbone.tokens_per_frame, largest_budget(backbone)
    if budget < least:
        raise BudgetError(f"A budget of {budget} is too small: a layer must hold at least one frame ({least} tokens).")
    if budget > most:
        raise BudgetError(
            f"A budget of {budget} is too large: this model was trained on {backbone.max_positions} positions, which leave "
            f"room for at most {most} video tokens besides a chunk and a question."
        )


def check_frame(budget: int, layout: Layout) -> None:
    """Check a budget against the frames of a stream, once their size is known.

    Raises:
        BudgetError: The budget is smaller than one frame.
    """
    tokens = layout.grid[0] * layout.grid[1]
    if budget < tokens:
        raise BudgetError(
            f"A budget of {budget:,} is too small for these frames: one of {layout.pixels[0]} x {layout.pixels[1]} pixels "
            f"takes {tokens:,} tokens. Choose a larger budget or smaller frames (max_pixels)."
        )


def few_frames_note(budget: int, layout: Layout) -> str:
    """Return a warning if a budget holds fewer than `FEW_FRAMES` frames of a stream, as a sentence; else ""."""
    tokens = layout.grid[0] * layout.grid[1]
    if budget >= FEW_FRAMES * tokens:
        return ""
    return (
        f"The budget of {budget:,} tokens holds only {budget / tokens:.1f} frames of {layout.pixels[0]} x "
        f"{layout.pixels[1]} pixels, which take {tokens:,} tokens each. Choose a larger budget or smaller frames."
    )
