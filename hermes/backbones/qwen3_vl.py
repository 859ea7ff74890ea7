"""Qwen3-VL (2B to 8B, and 30B-A3B with experts): time as text before pairs of frames, interleaved M-RoPE, deepstack.

HERMES was not published for this family; it uses the constants of Qwen2.5-VL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLMoeForConditionalGeneration

from hermes.backbones.base import Backbone
from hermes.backbones.card import Card
from hermes.backbones.qwen2_5_vl import Qwen25VL
from hermes.memory.cache import MemoryCache
from hermes.memory.encoded import Encoded, Frames, Layout, Seconds
from hermes.memory.positions import Rotary

START, END = "<|vision_start|>", "<|vision_end|>"


class Qwen3VL(Qwen25VL):
    """A Qwen3-VL model of transformers.

    The family's processor limits the pixels of a whole clip. Since the length of a stream is unknown, the limits apply to
    each step.
    """

    family = "qwen3_vl"
    model_class: Any = Qwen3VLForConditionalGeneration
    video_marker = f"{START}<|video_pad|>{END}"
    released_head = None

    def __init__(self, model: Any, tokenizer: Any, card: Card, preprocessor: dict[str, Any]) -> None:
        """Wrap a loaded model; `preprocessor` is the content of its preprocessor configuration."""
        super().__init__(model, tokenizer, card, {"image_mean": [0.5] * 3, "image_std": [0.5] * 3} | preprocessor)
        merged = self.model.config.vision_config.temporal_patch_size
        self._least, self._most = self._least // merged, self._most // merged
        self._rotary = self._rotation()

    def _rotation(self) -> Rotary:
        return Rotary.interleaved(self.frequencies, self.decoder.rotary_emb.mrope_section)

    def _interval(self, seconds_per_frame: float) -> float:  # noqa: ARG002
        return 1.0

    @torch.inference_mode()
    def encode(self, frames: Sequence[Frames], seconds: Seconds, first_step: int, layout: Layout) -> Encoded:  # noqa: ARG002
        """Encode with transformers' tower and mergers; each step is preceded by its time, as in the model's processor."""
        flat, grid = self.patches(frames, layout)
        output = self.model.model.get_video_features(flat, grid)
        steps = len(frames) // layout.frames_per_step
        features = output.pooler_output[0].unflatten(0, (steps, -1))
        before, after = self.texts(seconds.reshape(steps, -1))
        woven = self.weave(features, [self.tokenize(text) for text in before], [self.tokenize(text) for text in after])
        offsets = self._offsets(woven, layout)
        deepstack = tuple(own[0].to(self.dtype) for own in getattr(output, "deepstack_features", None) or ())
        return Encoded(woven.embeddings, woven.step, woven.patch, offsets, deepstack)

    def texts(self, seconds: Seconds) -> tuple[list[str], list[str]]:
        """Return the texts before and after the vision tokens of each step; `seconds` [steps, frames of a step]."""
        return [f"<{at:.1f} seconds>{START}" for at in seconds[:, [0, -1]].mean(1)], [END] * len(seconds)

    def _offsets(self, woven: Encoded, layout: Layout) -> Tensor:
        """Positions: one per text token; the grid of a step takes as many as its longer side."""
        rows, columns = layout.grid
        # The first vision token follows the text before it; the text after the grid starts after the longer side.
        advance = torch.where(woven.patch < 0, 1, 0)
        advance[woven.patch == rows * columns - 1] = max(rows, columns)
        start = advance.cumsum(0) - advance
        row = torch.where(woven.patch >= 0, woven.patch // columns, 0)
        column = torch.where(woven.patch >= 0, woven.patch % columns, 0)
        return torch.stack((start, start + row, start + column))

    def chunk_positions(self, cache: MemoryCache, encoded: Encoded, first_step: int, layout: Layout) -> Tensor:
        """Positions from each layer's largest + 1 on; exact for a complete clip, because every chunk ends with text."""
        return Backbone.chunk_positions(self, cache, encoded, first_step, layout)


class Qwen3VLMoe(Qwen3VL):
    """A Qwen3-VL model of transformers with a mixture of experts in each layer."""

    family = "qwen3_vl_moe"
    model_class = Qwen3VLMoeForConditionalGeneration
