"""Merging frames before the decoder: neighbours averaged into one, and groups that stay open across chunks.

It decides nothing: policies say which frames belong together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hermes.memory.cache import FRAME, SECONDS
from hermes.memory.chunk import Chunk, vision_of
from hermes.memory.stream_state import StreamState


@dataclass(frozen=True)
class Groups:
    """Frames averaged in groups of neighbours; a group is told by its newest frame.

    Attributes:
        features: Mean of each group's frames [1 + deepstack, groups, patches, hidden].
        last: Index in the chunk of each group's newest frame, int64 [groups].
        count: Frames of each group, those of earlier chunks included [groups].
        first: First frame of the stream of each group [groups].
        seconds: Mean time of each group's frames [groups].
    """

    features: Tensor
    last: Tensor
    count: Tensor
    first: Tensor
    seconds: Tensor


def grouped(features: Tensor, group: Tensor, frame: Tensor, seconds: Tensor, state: StreamState | None) -> Groups:
    """Average frames by group; with a `state`, the first group goes on with the one that was left open there.

    Args:
        features: [streams, frames, patches, hidden].
        group: Group of each frame, from 0, never falling [frames]; 0 goes on with the open group, if there is one.
        frame: Number of each frame in the stream [frames].
        seconds: Time of each frame [frames].
        state: Where the open group is kept: the last one of this chunk becomes the new open group. None: none is.

    Returns:
        The groups that this chunk touches; an open group without a frame of this chunk is not among them.
    """
    count = torch.bincount(group).float()
    sums = features.float().new_zeros(features.shape[0], len(count), *features.shape[2:])
    sums.index_add_(1, group, features.float())
    times = torch.zeros_like(count).index_add_(0, group, seconds.float())
    first = torch.full_like(count, float(frame[-1]) + 1).scatter_reduce_(0, group, frame.float(), "amin")
    if state is not None:
        if "open.sum" in state.tensors and count[0] > 0:
            sums[:, 0] += state.tensors["open.sum"]
            known = state.tensors["open.told"].to(count.device)  # count, seconds in all, first frame
            count[0] += known[0]
            times[0] += known[1]
            first[0] = known[2]
        state.tensors["open.sum"] = sums[:, -1].clone()
        state.tensors["open.told"] = torch.stack((count[-1], times[-1], first[-1]))
    touched = torch.unique(group)
    last = torch.searchsorted(group, touched, right=True) - 1
    means = (sums[:, touched] / count[touched, None, None]).to(features.dtype)
    return Groups(means, last, count[touched], first[touched], times[touched] / count[touched])


def merged(chunk: Chunk, groups: Groups, patch: Tensor | None = None, positions: str = "closed") -> Chunk:
    """A chunk with one frame for each group: the place of its newest frame, the mean of their features.

    Args:
        chunk: The whole chunk.
        groups: Its groups.
        patch: Where patches were pooled as well: which patch of the grid each pooled one lies at [pooled]; None: all.
        positions: "closed": consecutive where there is one axis; "kept": with gaps where frames were.
    """
    step, vision = chunk.encoded.step, chunk.encoded.vision
    patches = int(chunk.encoded.patch.max()) + 1
    patch = torch.arange(patches, device=step.device) if patch is None else patch
    chosen = torch.zeros(int(step[-1]) + 1, patches, dtype=torch.bool, device=step.device)
    chosen[groups.last[:, None], patch] = True
    keep = torch.ones(chunk.tokens, dtype=torch.bool, device=step.device)
    keep[vision] = chosen.flatten()
    small = chunk.select(keep).with_features(groups.features.flatten(1, 2))
    per = len(patch)
    mass = groups.count.repeat_interleave(per) * (patches / per)
    small = small.with_merge_provenance(
        mass, groups.first.repeat_interleave(per), groups.seconds.repeat_interleave(per)
    )
    return small.compacted() if positions == "closed" else small


def frame_times(chunk: Chunk) -> tuple[Tensor, Tensor]:
    """Number and time of each frame of a whole chunk: int64 and float32 [frames]."""
    vision = vision_of(chunk.provenance.labels)
    first = vision & (chunk.encoded.patch == 0)
    return chunk.provenance.labels[FRAME, first].long(), chunk.provenance.figures[SECONDS, first]


def tokens_of_last_frame(chunk: Chunk) -> int:
    """Tokens, text included, that the last frame of a reduced chunk takes: what is replaced if its group goes on."""
    return int((chunk.encoded.step == chunk.encoded.step[-1]).sum())
