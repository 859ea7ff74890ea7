"""VideoScan's semantic carrier without its training (arXiv 2503.09387): one token that summarises each frame.

A backbone that is not trained for this loses most of a frame, so a few of the patches that the carrier attends to are also
kept, as in the released "VideoScan+".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk, pseudo_tokens
from hermes.memory.importance import normalise
from hermes.memory.layer import FRAME, IMPORTANCE, KIND, PATCH, LayerMemory
from hermes.memory.positions import Reindexing
from hermes.memory.stream_state import StateField
from hermes.policies.base import Policy
from hermes.policies.fidelity import UNTRAINED
from hermes.policies.limits import BudgetError
from hermes.policies.ops.features import pair_to_drop
from hermes.policies.ops.merging import frame_times
from hermes.policies.settings import OUR_REINDEXING, Setting
from hermes.policies.step import Outcome, Step
from hermes.snapshot import SUMMARY


@dataclass
class VideoScan(Policy):
    """Keeps a carrier per frame and the patches that it attends to most; drops frames similar to their neighbours.

    Attributes:
        patches: Patches kept per carrier in each layer, at most a quarter of a frame.
        bank: Maximum number of frames in the memory.
    """

    name: ClassVar[str] = "videoscan"
    title: ClassVar[str] = "VideoScan-style"
    badge: ClassVar[str] = UNTRAINED
    about: ClassVar[str] = (
        "Keeps one averaged token and a few patches per frame; if the bank is full, evicts the older of the two most "
        "similar neighbouring frames."
    )
    citation: ClassVar[str] = "VideoScan, arXiv 2503.09387; the carrier is untrained"
    state_fields: ClassVar[Mapping[str, StateField]] = {
        "bank": StateField(("frames", "hidden"), "float", -1e6, 1e6, group="bank"),
        "frames": StateField(("frames",), "integer", 0, "newest", group="bank"),
    }
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "patches",
            "Patches per frame",
            "Patches kept in addition to each carrier. The limit of a quarter of a frame is our choice.",
            "number",
            16,
            low=0,
            high=64,
            step=1,
            source="released code",
        ),
        Setting("bank", "Frames held", "Maximum frames in the memory.", "number", 64, low=1, high=1024, step=1),
        replace(OUR_REINDEXING, default="eager"),
    )

    patches: int = 16
    bank: int = 64
    reindexing: Reindexing = "eager"

    def _beside(self, step: Step) -> int:
        """Number of patches kept per carrier."""
        return min(self.patches, step.patches // 4)

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:
        """Insert a carrier, the mean of the patches, after each frame."""
        means = chunk.features()[0].float().mean(1)
        step.state.tensors["bank"] = torch.cat((step.state.tensors.get("bank", means[:0]), means))
        number, seconds = frame_times(chunk)
        mass = torch.full_like(seconds, step.patches)
        last = torch.searchsorted(chunk.encoded.step, torch.arange(len(means), device=means.device), right=True) - 1
        return chunk.inserted(last, means, pseudo_tokens(SUMMARY, number, number, mass, seconds))

    def encode_view(self, step: Step, chunk: Chunk) -> Sequence[Tensor | None] | None:
        """Let tokens see the memory, their own frame, and the carriers of the chunk's earlier frames."""
        carrier = chunk.provenance.labels[KIND] == SUMMARY
        new = (chunk.frame == chunk.frame[:, None]) | carrier
        new &= torch.ones_like(new).tril()
        lengths = {layer.length for layer in step.cache.layers}
        views = {n: torch.cat((new.new_ones(chunk.tokens, n), new), dim=1) for n in lengths}
        return [views[layer.length] for layer in step.cache.layers]

    def watched_rows(self, step: Step, chunk: Chunk) -> slice | Tensor | None:  # noqa: ARG002
        """The carriers."""
        return (chunk.provenance.labels[KIND] == SUMMARY).nonzero()[:, 0]

    def after_encode(self, step: Step) -> Outcome | None:
        """Keep the carriers and selected patches of the new frames; reduce the bank to its capacity."""
        if step.chunk is None or step.attention is None:
            return self.retain_newest(step)
        capacity = min(self.bank, self.budget // (1 + self._beside(step)))
        if capacity < 1:
            raise BudgetError(f"A frame needs {1 + self._beside(step)} tokens, but the budget is {self.budget}.")
        frames = self._bank(step, capacity)
        kept = [self._keep(step, index, layer, frames) for index, layer in enumerate(step.cache.layers)]
        return self.retain(step, kept)

    def _bank(self, step: Step, capacity: int) -> Tensor:
        """Return the frames to keep, without the older of the most similar neighbours: int64 [at most capacity]."""
        bank = step.state.tensors["bank"]
        frames = torch.cat((step.state.tensors.get("frames", step.chunk_frames()[:0]), step.chunk_frames()))
        while len(frames) > capacity:
            keep = torch.ones(len(frames), dtype=torch.bool, device=frames.device)
            keep[pair_to_drop(bank)] = False
            frames, bank = frames[keep], bank[keep]
        step.state.tensors |= {"bank": bank, "frames": frames}
        return frames

    def _keep(self, step: Step, index: int, layer: LayerMemory, frames: Tensor) -> Tensor | None:
        """Return the video tokens that a layer keeps."""
        if step.attention is None:
            return None
        start = step.prompt_len
        labels = layer.labels[:, start : layer.length].long()
        held = torch.isin(labels[FRAME], frames.to(labels.device))
        seen = step.attention.mean(index).mean(0)[start:]
        fresh = labels[FRAME] >= int(step.chunk_frames()[0])
        patch = labels[PATCH] >= 0
        layer.figures[IMPORTANCE, start : layer.length][fresh & patch] = normalise(seen[fresh & patch])
        chosen = top_of_frames(seen, labels[FRAME], fresh & patch, self._beside(step))
        carrier = labels[KIND] == SUMMARY
        kept = held & (carrier | chosen | (~fresh & patch))
        return kept.nonzero()[:, 0]


def top_of_frames(scores: Tensor, frame: Tensor, wanted: Tensor, count: int) -> Tensor:
    """Mask of the `count` best of the `wanted` tokens of each frame: [tokens] each -> bool [tokens]."""
    order = torch.argsort(scores.masked_fill(~wanted, -torch.inf), descending=True, stable=True)
    by_frame = order[torch.argsort(frame[order], stable=True)]
    sorted_frame = frame[by_frame]
    index = torch.arange(len(frame), device=frame.device)
    begins = torch.searchsorted(sorted_frame.contiguous(), sorted_frame.contiguous())
    chosen = torch.zeros_like(wanted)
    chosen[by_frame] = index - begins < count
    return chosen & wanted
