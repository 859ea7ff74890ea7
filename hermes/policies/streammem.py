"""StreamMem: attention of the chat template as a proxy for a question, and prototype tokens (arXiv 2508.15717).

Re-implemented from the publication; no official code was found. The publication extends positions with YaRN; here they are
compacted at every eviction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk, pseudo_tokens, vision_of
from hermes.memory.eviction import reindex
from hermes.memory.importance import normalise, retain
from hermes.memory.layer import FIRST, FRAME, IMPORTANCE, MASS, SECONDS, LayerMemory
from hermes.memory.positions import rotate
from hermes.memory.scores import read_scores
from hermes.policies.base import Policy
from hermes.policies.fidelity import TRAINING_FREE
from hermes.policies.ops.features import sequence_similarity
from hermes.policies.ops.merging import frame_times, grouped, merged
from hermes.policies.ops.probe import probe_attention
from hermes.policies.ops.prototypes import Prototypes, prototypes
from hermes.policies.settings import Setting
from hermes.policies.step import Outcome, Step
from hermes.snapshot import SUMMARY


@dataclass
class StreamMem(Policy):
    """Keeps the tokens that the start of an answer attends to, and one prototype token for each pruned frame.

    Attributes:
        alike: Neighbouring frames with a higher similarity are averaged before the decoder.
        prototypes: Whether to keep a prototype of each new frame.
    """

    name: ClassVar[str] = "streammem"
    title: ClassVar[str] = "StreamMem"
    badge: ClassVar[str] = TRAINING_FREE
    about: ClassVar[str] = (
        "Keeps the tokens that the chat template’s own tokens attend to, and one averaged token for each pruned frame."
    )
    citation: ClassVar[str] = "StreamMem, arXiv 2508.15717; positions compacted instead of extended"
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "alike",
            "Frames merged above",
            "Neighbouring frames of a chunk are averaged if their cosine similarity is above this.",
            "number",
            0.95,
            low=0.0,
            high=1.0,
            step=0.01,
        ),
        Setting(
            "prototypes",
            "Prototypes",
            "Whether to keep one averaged token of each new frame. Limiting them to half the budget is our choice.",
            "switch",
            True,
        ),
    )

    alike: float = 0.95
    prototypes: bool = True

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:  # noqa: ARG002
        """Average similar neighbouring frames."""
        features = chunk.features()
        cut = sequence_similarity(features[0]) <= self.alike
        cut[0] = False
        if bool(cut[1:].all()):
            return chunk
        return merged(chunk, grouped(features, cut.long().cumsum(0), *frame_times(chunk), None), positions="kept")

    def after_encode(self, step: Step) -> Outcome | None:
        """If over budget, prune by the template's attention and insert the prototypes of the new frames."""
        counts = step.video_tokens()
        if max(counts) <= self.budget:
            return None
        if step.chunk is None:
            return self.retain_newest(step)
        ids = step.backbone.tokenize(step.backbone.tail_text(""))
        scores = [a[step.prompt_len :] for a in probe_attention(step.backbone, step.cache, ids)]
        for layer, own in zip(step.cache.layers, scores, strict=True):
            layer.figures[IMPORTANCE, step.prompt_len : layer.length] = normalise(own)
        made = [self._prototypes(step, *pair) for pair in zip(step.cache.layers, scores, strict=True)]
        kept = [
            retain(own, self.budget - (0 if new is None else new.count)) if n > self.budget else None
            for own, new, n in zip(scores, made, counts, strict=True)
        ]
        record = read_scores(step.cache, kept, [False] * len(kept))
        evicted = [
            0 if keep is None else self._replace(step, layer, keep, new)
            for layer, keep, new in zip(step.cache.layers, kept, made, strict=True)
        ]
        compacted = tuple(keep is not None for keep in kept)
        return Outcome(tuple(evicted), (0,) * len(evicted), compacted, record)

    def _prototypes(self, step: Step, layer: LayerMemory, scores: Tensor) -> Prototypes | None:
        """Return a prototype for each frame of the newest chunk, at most half the budget; None if disabled."""
        if not self.prototypes or step.chunk is None or not step.chunk.tokens:
            return None
        labels = layer.labels[:, step.prompt_len : layer.length]
        frames = torch.unique(step.chunk.frame)[-max(self.budget // 2, 1) :].to(labels.device)
        member = vision_of(labels) & (labels[FRAME] >= frames[0])
        index = member.nonzero()[:, 0]
        keys = layer.raw_keys(step.backbone.rotary, step.prompt_len)[:, index]
        values = layer.values[:, step.prompt_len + index]
        group = torch.searchsorted(frames, labels[FRAME, index].contiguous())
        return prototypes(keys, values, scores[index], group, index)

    def _replace(self, step: Step, layer: LayerMemory, keep: Tensor, new: Prototypes | None) -> int:
        """Keep the video tokens `keep`, insert prototypes at their frames, compact positions; return the evicted count."""
        start, before = step.prompt_len, layer.length
        prompt = torch.arange(start, device=keep.device)
        if new is None:
            layer.retain(torch.cat((prompt, keep + start)))
            reindex(layer, start, step.backbone.rotary)
            return before - layer.length
        labels, figures = layer.labels[:, start + new.median], layer.figures[:, start + new.median]
        positions = layer.positions[:, start + new.median]
        patches = figures[MASS] * new.size
        provenance = pseudo_tokens(SUMMARY, labels[FRAME], labels[FIRST], patches, figures[SECONDS])
        layer.retain(torch.cat((prompt, keep + start)))
        origin = positions.new_zeros(positions.shape[0], 1).expand_as(positions)
        keys = rotate(new.keys, origin, positions, step.backbone.rotary).to(layer.keys.dtype)
        layer.append(keys, new.values.to(layer.values.dtype), positions, provenance)
        order = torch.cat((keep * 2, new.median * 2 + 1)).argsort()
        layer.retain(torch.cat((prompt, order + start)))
        reindex(layer, start, step.backbone.rotary)
        return before - start - len(keep)
