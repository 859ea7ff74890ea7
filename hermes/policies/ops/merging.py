"""Merging of frames before the decoder: averages groups of neighbouring frames, which may continue across chunks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk, vision_of
from hermes.memory.layer import FRAME, SECONDS
from hermes.memory.stream_state import StreamState


@dataclass(frozen=True)
class Groups:
    """Averaged groups of neighbouring frames; each group is labelled with its newest frame.

    Attributes:
        features: Mean of each group's frames [1 + deepstack, groups, patches, hidden].
        last: Index in the chunk of each group's newest frame, int64 [groups].
        count: Number of frames per group, earlier chunks included [groups].
        first: First frame of each group in the stream [groups].
        seconds: Mean time of each group's frames, in seconds [groups].
    """

    features: Tensor
    last: Tensor
    count: Tensor
    first: Tensor
    seconds: Tensor


def grouped(features: Tensor, group: Tensor, frame: Tensor, seconds: Tensor, state: StreamState | None) -> Groups:
    """Average frames by group; with a `state`, group 0 continues its open group.

    Args:
        features: [streams, frames, patches, hidden].
        group: Group of each frame, from 0, non-decreasing [frames]; 0 continues the open group, if there is one.
        frame: Number of each frame in the stream [frames].
        seconds: Time of each frame, in seconds [frames].
        state: Stores the open group, which becomes the last group of this chunk. None disables open groups.

    Returns:
        The groups with a frame in this chunk.
    """
    count = torch.bincount(group).float()
    sums = features.float().new_zeros(features.shape[0], len(count), *features.shape[2:])
    sums.index_add_(1, group, features.float())
    times = torch.zeros_like(count).index_add_(0, group, seconds.float())
    first = torch.full_like(count, float(frame[-1]) + 1).scatter_reduce_(0, group, frame.float(), "amin")
    if state is not None:
        if "open.sum" in state.tensors and count[0] > 0:
            sums[:, 0] += state.tensors["open.sum"]
            known = state.tensors["open.totals"].to(count.device)  # count, total seconds, first frame
            count[0] += known[0]
            times[0] += known[1]
            first[0] = known[2]
        state.tensors["open.sum"] = sums[:, -1].clone()
        state.tensors["open.totals"] = torch.stack((count[-1], times[-1], first[-1]))
    touched = torch.unique(group)
    last = torch.searchsorted(group, touched, right=True) - 1
    means = (sums[:, touched] / count[touched, None, None]).to(features.dtype)
    return Groups(means, last, count[touched], first[touched], times[touched] / count[touched])


def merged(chunk: Chunk, groups: Groups, patch: Tensor | None = None, positions: str = "closed") -> Chunk:
    """Return a chunk with one frame per group: the mean features at the place of the newest frame.

    Args:
        chunk: The complete chunk.
        groups: Groups of its frames.
        patch: If patches were pooled too, the grid patch of each pooled one [pooled]; None for all patches.
        positions: "closed" makes positions consecutive on one axis; "kept" leaves gaps.
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
    """Number and time of each frame of a complete chunk: int64 and float32 [frames]."""
    vision = vision_of(chunk.provenance.labels)
    first = vision & (chunk.encoded.patch == 0)
    return chunk.provenance.labels[FRAME, first].long(), chunk.provenance.figures[SECONDS, first]


def tokens_of_last_frame(chunk: Chunk) -> int:
    """Number of tokens of the last frame of a reduced chunk, text included; they are replaced if its group continues."""
    return int((chunk.encoded.step == chunk.encoded.step[-1]).sum())
