"""Qwen2.5-VL (3B, 7B, 32B): frames merged in pairs, grid by aspect ratio, 3D M-RoPE with time in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from hermes.backbones.base import Backbone
from hermes.backbones.card import Card
from hermes.backbones.frames import FramePreparation, flat_patches, pixel_limit
from hermes.backbones.segment_attention import use_segments
from hermes.errors import HermesError
from hermes.memory.cache import MemoryCache
from hermes.memory.encoded import Encoded, Frames, Layout, Seconds
from hermes.memory.positions import Rotary
from hermes.memory.tiers import QWEN2_5_VL

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
DEFAULT_FPS = 2.0


class Qwen25VL(Backbone):
    """A Qwen2.5-VL model of transformers."""

    family = "qwen2_5_vl"
    model_class: Any = Qwen2_5_VLForConditionalGeneration
    constants = QWEN2_5_VL
    video_marker = "<|video_pad|>"
    released_head: str | None = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"

    def __init__(self, model: Any, tokenizer: Any, card: Card, preprocessor: dict[str, Any]) -> None:
        """Wrap a loaded model; `preprocessor` is the content of its preprocessor configuration."""
        super().__init__(model, tokenizer, card)
        use_segments(model.config.vision_config)
        size = preprocessor.get("size") or {}
        self._least = int(preprocessor.get("min_pixels") or size.get("shortest_edge") or 56 * 56)
        self._most = int(preprocessor.get("max_pixels") or size.get("longest_edge") or 28 * 28 * 1280)
        self._prepare = FramePreparation(preprocessor, MEAN, STD, self.device)
        self._rotary = Rotary.from_sections(self.frequencies, tuple(self.text_config.rope_parameters["mrope_section"]))

    @property
    def rotary(self) -> Rotary:
        """3D M-RoPE: consecutive sections of the frequencies for time, row and column."""
        return self._rotary

    def layout(self, height: int, width: int, seconds_per_frame: float | None = None) -> Layout:
        """Layout by the family's smart resize: sides are multiples of a merged patch, within the processor's pixel limits.

        Raises:
            HermesError: The aspect ratio is above 200.
        """
        vision = self.model.config.vision_config
        factor = vision.patch_size * vision.spatial_merge_size
        try:
            high, wide = smart_resize(height, width, factor, self._least, self._most)
        except ValueError as error:
            raise HermesError(f"Frames of {width} x {height} pixels are too elongated for this model.") from error
        return Layout(
            grid=(high // factor, wide // factor),
            pixels=(wide, high),
            frames_per_step=vision.temporal_patch_size,
            interval=self._interval(seconds_per_frame or 1 / DEFAULT_FPS),
        )

    def limit_pixels(self, most: int) -> None:
        """Scale frames down to at most `most` pixels, keeping their aspect ratio; the model's own limit still applies.

        Raises:
            HermesError: The limit is below the smallest frame.
        """
        self._most = pixel_limit(most, self._least, self._most)

    def _interval(self, seconds_per_frame: float) -> float:
        vision = self.model.config.vision_config
        return vision.tokens_per_second * vision.temporal_patch_size * seconds_per_frame

    def patches(self, frames: Sequence[Frames], layout: Layout) -> tuple[Tensor, Tensor]:
        """Preprocess frames for the tower: flattened patches [patches, values] and grid [1, 3] (time, height, width)."""
        vision = self.model.config.vision_config
        pixels = self._prepare(frames, layout.pixels).to(self.dtype)
        return flat_patches(pixels, vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)

    @torch.inference_mode()
    def encode(self, frames: Sequence[Frames], seconds: Seconds, first_step: int, layout: Layout) -> Encoded:  # noqa: ARG002
        """Encode with transformers' tower and merger; positions are relative to the first of these steps."""
        flat, grid = self.patches(frames, layout)
        features = self.model.model.get_video_features(flat, grid).pooler_output[0]
        plain = Encoded.of_vision(features.unflatten(0, (len(frames) // layout.frames_per_step, -1)).to(self.dtype))
        time = self._times(plain.step, first_step, layout) - self._times(plain.step[:1], first_step, layout)
        columns = layout.grid[1]
        offsets = torch.stack((time, plain.patch // columns, plain.patch % columns))
        return Encoded(plain.embeddings, plain.step, plain.patch, offsets)

    @staticmethod
    def _times(step: Tensor, first_step: int, layout: Layout) -> Tensor:
        """Temporal positions of steps, counted from the start of the stream."""
        return ((step + first_step).float() * layout.interval).long()

    def chunk_positions(self, cache: MemoryCache, encoded: Encoded, first_step: int, layout: Layout) -> Tensor:
        """Positions as in a complete clip while a layer is intact; after an eviction, from its largest position + 1 on."""
        start = cache.next_positions()[None, :, None].expand(3, -1, -1).clone()
        # Counted from the first step, whatever became of the chunk's first tokens.
        begun = cache.prompt_len + self._times(encoded.step.new_zeros(1), first_step, layout)
        for index, layer in enumerate(cache.layers):
            if layer.intact:
                start[0, index] = begun
                start[1:, index] = cache.prompt_len
        return start + encoded.offsets[:, None, :]
