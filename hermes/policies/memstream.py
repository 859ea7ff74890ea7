"""MemStream: ReKV with a window that sees only the novel patches of past frames (arXiv 2602.18434).

The publication combines the layers' ranking of frames with rankings by external image-text models. This version uses only
the internal ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk
from hermes.memory.layer import FRAME, IMPORTANCE, Provenance
from hermes.memory.stream_state import StateField
from hermes.policies.fidelity import TRAINING_FREE
from hermes.policies.ops.features import novelty_rank, patch_similarity
from hermes.policies.rekv import ReKV
from hermes.policies.settings import Setting
from hermes.policies.step import Step
from hermes.policies.windowed_archive import WINDOW, local_window


@dataclass
class MemStream(ReKV):
    """ReKV, except that later frames see only the patches of a past frame that were novel in that frame.

    Attributes:
        visible_share: Share of a past frame's patches that later frames see.
    """

    name: ClassVar[str] = "memstream"
    title: ClassVar[str] = "MemStream-style, one expert"
    badge: ClassVar[str] = TRAINING_FREE
    about: ClassVar[str] = (
        "Like ReKV, but frames see only the novel patches of earlier frames; everything is still archived."
    )
    citation: ClassVar[str] = "after MemStream, arXiv 2602.18434; internal expert only, share of visible patches ours"
    state_fields: ClassVar[Mapping[str, StateField]] = {
        "previous": StateField(("patches", "hidden"), "model", -1e6, 1e6)
    }
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "visible_share",
            "Visible patches",
            "Share of a past frame’s patches, the most novel ones, that later frames see.",
            "number",
            0.25,
            low=0.05,
            high=1.0,
            step=0.05,
            source="ours",
        ),
        # The publication does not state window or positions; for frames read it states 64 pairs for one model.
        replace(WINDOW, about=WINDOW.about.partition(" The publication")[0]),
        *(replace(setting, source="ours") for setting in ReKV.settings if setting != WINDOW),
    )

    visible_share: float = 0.25

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:
        """Record the novelty of each patch within its frame as its importance."""
        features = chunk.features()[0]
        previous = step.state.tensors.get("previous")
        rank = novelty_rank(1 - patch_similarity(features, previous))
        if previous is None:
            rank[0] = 1.0  # every patch of the first frame is novel
        step.state.tensors["previous"] = features[-1].clone()
        figures = chunk.provenance.figures.clone()
        figures[IMPORTANCE, chunk.encoded.vision] = rank.flatten()
        return replace(chunk, provenance=Provenance(chunk.provenance.labels, figures))

    def encode_view(self, step: Step, chunk: Chunk) -> Sequence[Tensor | None] | None:
        """Let tokens see the prompt, their own frame, and the novel patches of earlier frames in the window."""
        window = local_window(step, chunk, self.held_limit)
        views: list[Tensor | None] = []
        hidden_of_chunk = chunk.provenance.figures[IMPORTANCE] <= 1 - self.visible_share
        for index, layer in enumerate(step.cache.layers):
            novel = layer.figures[IMPORTANCE, : layer.length]
            hidden = torch.cat((novel <= 1 - self.visible_share, hidden_of_chunk))
            frame = torch.cat((layer.labels[FRAME, : layer.length], chunk.frame))
            key = torch.arange(len(hidden), device=hidden.device)
            causal = key <= key[layer.length :, None]
            own = frame == chunk.frame[:, None]
            view = causal & (own | ~hidden)
            local = None if window is None else window[index]
            views.append(view if local is None else view & local)
        return views
