"""StreamKV: segments compressed by a fixed prompt, and frame retrieval with layer-adaptive budgets.

arXiv 2511.07278 (AAAI 2026), re-implemented and checked against the released code; training-free. Deviations: the prompt
that compresses is the model's global guidance prompt, not the released six-point one, and there is no streaming system
prompt; long segments are split by the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk, pseudo_tokens
from hermes.memory.layer import FRAME, KIND, LayerMemory
from hermes.memory.stream_state import StateField
from hermes.policies.archiving import block_counts, block_shares, frames_within, own_tokens, prompt_of
from hermes.policies.fidelity import TRAINING_FREE
from hermes.policies.ops.features import frame_similarity
from hermes.policies.ops.merging import frame_times
from hermes.policies.ops.probe import probe_queries
from hermes.policies.ops.retrieval import best_blocks, group_queries, recall_by_layer
from hermes.policies.ops.segments import ended_segments, segment_ends
from hermes.policies.settings import Setting
from hermes.policies.step import Outcome, Recall, Step
from hermes.policies.windowed_archive import WindowedArchive
from hermes.snapshot import SUMMARY


@dataclass
class StreamKV(WindowedArchive):
    """Keeps a local window; archives a part of each completed segment, from which a question retrieves frames.

    Attributes:
        alike: A frame whose similarity to the previous one is at most this starts a segment.
        least: Minimum number of frames per segment.
        most: Maximum number of frames per segment.
        kept_share: Share of a segment's frames that are archived.
    """

    name: ClassVar[str] = "streamkv"
    title: ClassVar[str] = "StreamKV"
    badge: ClassVar[str] = TRAINING_FREE
    about: ClassVar[str] = (
        "Archives the frames of each segment that a fixed prompt attends to, and the segment’s mean frame; a question "
        "retrieves some of them. Layers read the budget on average, at most half more."
    )
    citation: ClassVar[str] = "StreamKV, arXiv 2511.07278"
    needs: ClassVar[str] = "an archive of a share of all frames outside the memory"
    state_fields: ClassVar[Mapping[str, StateField]] = {
        "previous": StateField(("hidden",), "float", -1e6, 1e6),
        "held": StateField((), "integer", 0, "seen"),
        "seen": StateField((), "integer", 0, 1e9),
        "sum": StateField(("patches", "hidden"), "float", -1e9, 1e9),
        "ended": StateField(("any", 2), "integer", 0, "newest"),
    }
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "alike",
            "New segment at",
            "A frame starts a segment if its similarity to the previous one is at most this.",
            "number",
            0.99,
            low=0.0,
            high=1.0,
            step=0.005,
        ),
        Setting("least", "Shortest segment", "Minimum frames per segment.", "number", 4, low=1, high=64, step=1),
        Setting(
            "most",
            "Longest segment",
            "Maximum frames per segment, limited by the window. In the publication, frames are merged from 64 on instead.",
            "number",
            64,
            low=2,
            high=256,
            step=1,
            source="ours",
        ),
        Setting(
            "kept_share",
            "Frames archived",
            "Share of a segment’s frames that are archived, mean over layers.",
            "number",
            0.6,
            low=0.05,
            high=1.0,
            step=0.05,
            source="released code",
        ),
        *WindowedArchive.settings,
    )

    alike: float = 0.99
    least: int = 4
    most: int = 64
    kept_share: float = 0.6

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:
        """Insert the mean frame of each segment that ends in this chunk after its last frame."""
        tensors, features, state = step.state.tensors, chunk.features()[0], step.state
        likeness = frame_similarity(features, tensors.get("previous"))
        tensors["previous"] = features[-1].float().mean(0)
        held, number = state.number("held"), frame_times(chunk)[0]
        # A segment is archived from the cache, so its frames from before this chunk must still be in the window.
        most = max(min(self.most, self.held_limit * len(features) // chunk.tokens - 1), 1)
        ends = segment_ends(likeness.tolist(), held, self.alike, min(self.least, most), most)
        # The end of a segment at the end of the previous chunk is detected only now: its mean frame precedes this chunk.
        segments, held, total = ended_segments(features, int(number[0]), ends, held, tensors.get("sum"))
        state.count("held", held)
        state.count("seen", int(number[-1]) + 1)
        tensors["sum"] = total
        tensors["ended"] = torch.tensor([(s.first, s.last) for s in segments], dtype=torch.long).view(-1, 2)
        if not segments:
            return chunk
        return self._with_summaries(step, chunk, [s.summary for s in segments], tensors["ended"], ends)

    @staticmethod
    def _with_summaries(step: Step, chunk: Chunk, summaries: list[Tensor], ended: Tensor, ends: Sequence[int]) -> Chunk:
        patches, device = step.patches, step.backbone.device
        marks = torch.tensor(ends, device=device)
        after = torch.searchsorted(chunk.encoded.step, marks, right=True) - 1
        last, first = (column.to(device).repeat_interleave(patches) for column in (ended[:, 1], ended[:, 0]))
        mass = (last - first + 1).float()
        number, seconds = frame_times(chunk)
        at = seconds[(last - number[0]).clamp(min=0)]
        provenance = pseudo_tokens(SUMMARY, last, first, mass, at)
        return chunk.inserted(after.repeat_interleave(patches), torch.cat(summaries), provenance)

    def after_encode(self, step: Step) -> Outcome | None:
        """Archive the selected frames and the mean frame of each completed segment; retain the window."""
        ended = step.state.tensors.get("ended")
        if step.chunk is not None and ended is not None and len(ended):
            self._archive(step, ended.tolist())
        return self.retain_newest(step)

    def _archive(self, step: Step, segments: list[list[int]]) -> None:
        """Archive segments (first and last frame each): the mean frame, and a layer-adaptive number of frames."""
        archive = step.state.open_archive(self.archive_memory)
        queries = probe_queries(
            step.backbone, step.cache, step.backbone.tokenize(step.backbone.card.guidance["global"])
        )
        known = [self._frames(step, layer) for layer in step.cache.layers]
        stays: list[list[Tensor]] = [[] for _ in known]
        for first, last in segments:
            inside = [(frame >= first) & (frame <= last) for frame, _ in known]
            shares = [
                block_shares(group_queries(query, step.backbone.kv_heads), means[own])
                for query, (_, means), own in zip(queries, known, inside, strict=True)
            ]
            frames = len(shares[0])
            mean = frames * self.kept_share
            counts = block_counts(shares, int(len(shares) * mean), 1, max(min(frames, int(2 * mean)), 1))
            for chosen, (frame, _), own, share, count in zip(stays, known, inside, shares, counts, strict=True):
                chosen.append(frame[own][best_blocks(share, count)])
        means_of = torch.tensor([last for _, last in segments])
        for index, (layer, chosen) in enumerate(zip(step.cache.layers, stays, strict=True)):
            labels = layer.labels[:, : layer.length]
            summary = labels[KIND] == SUMMARY
            kept = torch.isin(labels[FRAME], torch.cat(chosen)) & ~summary
            kept |= torch.isin(labels[FRAME], means_of.to(labels.device)) & summary
            archive.append(index, layer, kept.nonzero()[:, 0], step.backbone.rotary)

    @staticmethod
    def _frames(step: Step, layer: LayerMemory) -> tuple[Tensor, Tensor]:
        """Return the frames cached in a layer, ascending, and the mean raw key of each [frames, kv_heads, head_dim]."""
        start = step.prompt_len
        labels = layer.labels[:, start : layer.length]
        index = ((labels[FRAME] >= 0) & (labels[KIND] != SUMMARY)).nonzero()[:, 0]
        frame, block, size = torch.unique_consecutive(labels[FRAME, index], return_inverse=True, return_counts=True)
        keys = layer.raw_keys(step.backbone.rotary, start)[:, index].transpose(0, 1)
        means = keys.new_zeros(len(frame), *keys.shape[1:]).index_add_(0, block, keys)
        return frame, means / size[:, None, None]

    def before_answer(self, step: Step, ids: Tensor) -> Recall | None:
        """Score archived blocks with the question's queries on top of the window; read the best and the open segment."""
        archive = step.state.archive
        if archive is None or not archive.layers:
            return None
        ids = own_tokens(step, ids)
        queries = [group_queries(q, step.backbone.kv_heads) for q in probe_queries(step.backbone, step.cache, ids)]
        shares = [
            block_shares(query, layer.representatives.rows)
            for query, layer in zip(queries, archive.layers, strict=True)
        ]
        mean = max(frames_within(self.budget, archive, self.frames_read) - step.state.number("held"), 1)
        fewest = min(len(share) for share in shares)
        most = max(min(mean * 3 // 2, fewest), 1)
        counts = block_counts(shares, len(shares) * mean, min(max(mean // 2, 1), most), most)
        before, rotary = archive.bytes_read, step.backbone.rotary

        def choose(index: int, queries: Tensor) -> LayerMemory:  # noqa: ARG001 - blocks are already scored
            blocks = best_blocks(shares[index], counts[index])
            return archive.recall(index, blocks, prompt_of(step, index), rotary, self._open(step, index))

        memory = recall_by_layer(step.backbone, ids, step.cache, choose)
        return Recall(memory, archive.bytes_read - before)

    @staticmethod
    def _open(step: Step, index: int) -> LayerMemory:
        """Return a new layer with the tokens of the open segment."""
        layer = step.cache.layers[index]
        known = step.state.number("seen") - step.state.number("held")
        labels = layer.labels[:, : layer.length]
        return layer.copy_of(((labels[FRAME] >= known) & (labels[KIND] != SUMMARY)).nonzero()[:, 0])
