"""Shared code of the policies that merge frames into groups, which may continue across chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk
from hermes.memory.stream_state import StateField
from hermes.policies.ops.features import pooled_patches
from hermes.policies.ops.merging import frame_times, grouped, merged, tokens_of_last_frame
from hermes.policies.step import Step

OPEN_GROUP: Mapping[str, StateField] = {
    "open.sum": StateField(("streams", "patches", "hidden"), "float", -1e9, 1e9),
    "open.totals": StateField((3,), low=0.0),
    "open.tokens": StateField((), "integer", 0, 1e6),
}
"""State of a group that is still open."""


def open_groups(step: Step, chunk: Chunk, group: Tensor, side: int | None = None) -> Chunk:
    """Merge a chunk's frames by group.

    The last group stays open: it is prefilled now, and replaced if the next chunk continues it.

    Args:
        step: The current step; its state holds the open group.
        chunk: The complete chunk.
        group: Group of each frame, non-decreasing [frames]; 0 continues the open group.
        side: Largest side of the grid to which patches are also pooled; None disables pooling.
    """
    continues = bool(group[0] == 0)
    groups = grouped(chunk.features(), group, *frame_times(chunk), step.state)
    patch = None
    if side is not None:
        groups = replace(groups, features=pooled_patches(groups.features, step.grid, side))
        patch = pooled_places(step.grid, side, group.device)
    small = merged(chunk, groups, patch)
    retract = step.state.number("open.tokens") if continues else 0
    open_tokens = tokens_of_last_frame(small)
    step.state.count("open.tokens", open_tokens)
    return replace(small, retract=retract, open_tokens=open_tokens)


def pooled_places(grid: tuple[int, int], side: int, device: torch.device) -> Tensor:
    """First patch of the grid in each patch of the pooled grid, ascending: int64 [pooled patches]."""
    rows, columns = min(grid[0], side), min(grid[1], side)
    top = torch.arange(rows, device=device) * grid[0] // rows
    left = torch.arange(columns, device=device) * grid[1] // columns
    return (top[:, None] * grid[1] + left).flatten()
