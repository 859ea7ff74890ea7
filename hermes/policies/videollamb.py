"""VideoLLaMB's scenes and recurrent memory without its trained bridge (arXiv 2409.01071).

SceneTiling as published for streams, without the limit of 15 cuts; the memory attends to itself and to the scene without
trained weights. The memory changes at the end of a scene, so memory and scene are prefilled again with every chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.archive_layer import strided_positions
from hermes.memory.chunk import Chunk, pseudo_tokens
from hermes.memory.encoded import Encoded
from hermes.memory.layer import FRAME, MASS, SECONDS, Provenance
from hermes.memory.positions import compact
from hermes.memory.stream_state import StateField
from hermes.policies.base import Policy
from hermes.policies.fidelity import UNTRAINED
from hermes.policies.ops.features import frame_similarity
from hermes.policies.ops.frame_store import STORE_FIELDS, FrameStore, spread
from hermes.policies.ops.scenes import attended, evenly, is_cut, left_depth
from hermes.policies.settings import Setting
from hermes.policies.step import Outcome, Step
from hermes.snapshot import SUMMARY

REMEMBERED = 512
"""Number of depths used for the threshold."""


@dataclass
class VideoLLaMB(Policy):
    """Keeps a few memory tokens for all earlier scenes, and frames of the current scene.

    Attributes:
        slots: Number of memory tokens.
        frames: Number of frames of the current scene that the decoder sees.
        alpha: Threshold of a cut, in standard deviations above the mean depth.
    """

    name: ClassVar[str] = "videollamb"
    title: ClassVar[str] = "VideoLLaMB-style"
    badge: ClassVar[str] = UNTRAINED
    about: ClassVar[str] = (
        "Splits the stream into scenes; keeps a few memory tokens for earlier scenes, and frames of the current one."
    )
    citation: ClassVar[str] = "VideoLLaMB, arXiv 2409.01071; SceneTiling and an untrained memory"
    state_fields: ClassVar[Mapping[str, StateField]] = {
        "previous": StateField(("hidden",), "float", -1e6, 1e6),
        "similarities": StateField(("any",)),
        "depths": StateField(("any",)),
        "memory": StateField(("any", "hidden"), "model", -1e6, 1e6, group="memory"),
        "mass": StateField((), low=1.0, group="memory"),
        "mass_seconds": StateField(group="memory"),
        **STORE_FIELDS,
    }
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "slots", "Memory tokens", "Tokens that represent earlier scenes.", "number", 32, low=1, high=128, step=1
        ),
        Setting(
            "frames",
            "Frames per scene",
            "Frames of the current scene that the decoder sees.",
            "number",
            8,
            low=1,
            high=64,
            step=1,
        ),
        Setting(
            "alpha",
            "Cut above",
            "A dip in similarity is a cut if its depth is this many standard deviations above the mean.",
            "number",
            0.5,
            low=0.0,
            high=5.0,
            step=0.1,
        ),
    )

    slots: int = 32
    frames: int = 8
    alpha: float = 0.5

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:
        """Detect cuts and merge completed scenes into the memory; return memory and current scene to replace the cache."""
        tensors, features = step.state.tensors, chunk.features()[0]
        likeness = frame_similarity(features, tensors.get("previous"))
        tensors["previous"] = features[-1].float().mean(0)
        store = FrameStore.of(chunk)
        known = FrameStore.of_state(tensors)
        begins = self._cuts(step, likeness, chunk, known)
        store = known.joined(store) if known else store
        for begin in begins:
            scene = self._seen(store, store.frames[store.frames < begin])
            self._remember(step, scene)
            store = store.only(store.frames[store.frames >= begin])
        step.state.tensors |= self._bounded(store).state()
        return self._read(step, self._seen(store, store.frames), chunk)

    def _cuts(self, step: Step, likeness: Tensor, chunk: Chunk, known: FrameStore | None) -> list[int]:
        """Return the numbers of the frames that start a scene within this chunk."""
        tensors, first = step.state.tensors, int(chunk.frame[0])
        similarities = tensors.get("similarities", likeness[:0]).tolist()
        depths, begins = tensors.get("depths", likeness[:0].cpu()), []
        for offset, value in enumerate(likeness.tolist()):
            if known is None and offset == 0:
                continue  # the first frame has no predecessor
            similarities.append(value)
            depth = left_depth(similarities)
            depths = torch.cat((depths.cpu(), torch.tensor([depth])))[-REMEMBERED:]
            if is_cut(depth, depths, self.alpha):
                begins.append(first + offset)
                similarities = []
        tensors |= {"similarities": torch.tensor(similarities), "depths": depths}
        return begins

    def _remember(self, step: Step, scene: FrameStore) -> None:
        """Merge a completed scene into the memory."""
        tensors, tokens = step.state.tensors, scene.encoded.embeddings[0, scene.encoded.vision]
        memory = tensors.get("memory")
        tensors["memory"] = evenly(tokens, self.slots) if memory is None else attended(memory, tokens)
        figures = scene.provenance.figures[:, scene.encoded.vision]
        for name, sums in (
            ("mass", figures[MASS].sum()),
            ("mass_seconds", (figures[MASS] * figures[SECONDS]).sum()),
        ):
            tensors[name] = tensors.get(name, torch.zeros_like(sums)) + sums

    def _room(self, store: FrameStore) -> tuple[int, int]:
        """Numbers of frames and memory tokens that fit the budget."""
        per = -(-store.tokens // len(store.frames))
        frames = min(self.frames, max(self.budget // per, 1))
        return frames, min(self.slots, max(self.budget - frames * per, 0))

    def _seen(self, store: FrameStore, frames: Tensor) -> FrameStore:
        """Return the frames of a scene that the decoder sees."""
        return store.only(spread(frames, self._room(store)[0]))

    def _bounded(self, store: FrameStore) -> FrameStore:
        """Return a scene's frames, thinned out if there are more than four times as many as the decoder sees."""
        frames = store.frames
        return store if len(frames) <= 4 * self.frames else store.only(spread(frames, 2 * self.frames))

    def _read(self, step: Step, scene: FrameStore, chunk: Chunk) -> Chunk:
        """Return memory and scene as one chunk that replaces all video tokens."""
        own, prompt = strided_positions(scene.encoded.offsets, scene.provenance.labels[FRAME]), step.prompt_len
        head = torch.arange(prompt, device=own.device).expand(own.shape[0], -1)
        encoded, provenance = scene.encoded, scene.provenance
        encoded = replace(encoded, offsets=compact(torch.cat((head, own), dim=1), prompt)[:, prompt:] - prompt)
        memory = step.state.tensors.get("memory")
        if memory is not None:
            memory = memory[: self._room(scene)[1]].to(encoded.embeddings.dtype)
            encoded, provenance = self._with_memory(step, memory, encoded, provenance)
        retract = max(step.video_tokens())
        return replace(chunk, encoded=encoded, provenance=provenance, first_step=0, retract=retract)

    @staticmethod
    def _with_memory(
        step: Step, memory: Tensor, encoded: Encoded, provenance: Provenance
    ) -> tuple[Encoded, Provenance]:
        count, device = len(memory), memory.device
        tensors, nowhere = step.state.tensors, torch.full((count,), -1, device=device)
        mass = (tensors["mass"] / max(len(tensors["memory"]), 1)).clamp(min=1).expand(count)
        seconds = (tensors["mass_seconds"] / tensors["mass"]).expand(count)
        summary = pseudo_tokens(SUMMARY, nowhere, torch.zeros_like(nowhere), mass, seconds)
        before = torch.arange(count, device=device).expand(encoded.offsets.shape[0], -1)
        whole = replace(
            encoded,
            embeddings=torch.cat((memory[None], encoded.embeddings), dim=1),
            step=torch.cat((torch.zeros_like(nowhere), encoded.step)),
            patch=torch.cat((nowhere, encoded.patch)),
            offsets=torch.cat((before, encoded.offsets + count), dim=1),
        )
        labels = torch.cat((summary.labels, provenance.labels), dim=1)
        return whole, Provenance(labels, torch.cat((summary.figures, provenance.figures), dim=1))

    def after_encode(self, step: Step) -> Outcome | None:
        """Keep the newest tokens; only leftovers of another policy or a very small budget can exceed the budget."""
        return self.retain_newest(step)
