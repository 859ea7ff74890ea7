"""StreamKV's segments: their boundaries and their summary frames. Pure functions; the caller keeps the running sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def segment_ends(likeness: Sequence[float], held: int, alike: float, least: int, most: int) -> list[int]:
    """Return the frames of a chunk that end a segment: the next frame differs, or the segment has its maximum length.

    Args:
        likeness: Cosine of each frame's mean feature with that of the previous frame [frames].
        held: Number of frames of the open segment before this chunk.
        alike: A frame starts a segment if its similarity is at most this.
        least: Minimum number of frames per segment.
        most: Maximum number of frames per segment.

    Returns:
        Index of the last frame of each segment; -1 for a segment that ended with the previous chunk.
    """
    ends, length = [], held
    for index, value in enumerate(likeness):
        if length >= most or (length >= least and value <= alike):
            ends.append(index - 1)
            length = 0
        length += 1
    return ends


@dataclass(frozen=True)
class Segment:
    """A completed segment.

    Attributes:
        first: First frame.
        last: Last frame.
        summary: Mean of the frames, patch by patch [patches, hidden].
    """

    first: int
    last: int
    summary: Tensor


def ended_segments(
    features: Tensor, first_frame: int, ends: Sequence[int], held: int, held_sum: Tensor | None
) -> tuple[list[Segment], int, Tensor]:
    """Return the segments that end within a chunk, and the segment that remains open.

    Args:
        features: Features of the chunk [frames, patches, hidden].
        first_frame: Number of the chunk's first frame.
        ends: See `segment_ends`.
        held: Number of frames of the open segment before this chunk.
        held_sum: Sum of their features [patches, hidden]; None if there are none.

    Returns:
        Completed segments, number of frames of the open segment, and the sum of their features.
    """
    total = torch.zeros_like(features[0], dtype=torch.float32) if held_sum is None else held_sum
    segments, begin = [], 0
    for end in ends:
        total = total + features[begin : end + 1].float().sum(0)
        count = held + end + 1 - begin
        last = first_frame + end
        segments.append(Segment(last - count + 1, last, (total / count).to(features.dtype)))
        begin, held, total = end + 1, 0, torch.zeros_like(total)
    return segments, held + len(features) - begin, total + features[begin:].float().sum(0)
