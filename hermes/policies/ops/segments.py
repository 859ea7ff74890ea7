"""StreamKV's segments: where the stream is cut, and the summary frame that stands behind each segment.

Pure but for the running sums, which the caller keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def segment_ends(likeness: Sequence[float], held: int, alike: float, least: int, most: int) -> list[int]:
    """Frames of a chunk that end a segment: the next one looks different, or the segment is as long as it may be.

    Args:
        likeness: Cosine of each frame's mean feature with that of the frame before it [frames].
        held: Frames of the open segment before this chunk.
        alike: A frame begins a segment if its likeness is not above this.
        least: Frames that a segment has before a look counts.
        most: Frames at which a segment ends whatever comes.

    Returns:
        Index of the last frame of each segment; -1 for one that ended with the chunk before.
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
    """A segment that ended.

    Attributes:
        first: Its first frame.
        last: Its last frame.
        summary: Mean of its frames, patch by patch [patches, hidden].
    """

    first: int
    last: int
    summary: Tensor


def ended_segments(
    features: Tensor, first_frame: int, ends: Sequence[int], held: int, held_sum: Tensor | None
) -> tuple[list[Segment], int, Tensor]:
    """The segments that end within a chunk, and what is left open.

    Args:
        features: Of the chunk [frames, patches, hidden].
        first_frame: Number of its first frame.
        ends: See `segment_ends`.
        held: Frames of the open segment before this chunk.
        held_sum: Sum of their features [patches, hidden]; None where there are none.

    Returns:
        Segments, frames of the open segment, and the sum of their features.
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
