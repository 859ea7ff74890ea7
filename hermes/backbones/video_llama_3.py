"""VideoLLaMA3 (2B, 7B): frames of any aspect ratio, each preceded by its time as text; Qwen2 decoder, 1D RoPE.

HERMES was not published for this family; it uses the constants of LLaVA-OneVision. The model's processor can drop patches
that hardly differ from those of the previous frame. A stream keeps them: the policy decides what is evicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import VideoLlama3ForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from hermes.backbones.base import Backbone
from hermes.backbones.card import Card
from hermes.backbones.frames import FramePreparation, flat_patches, pixel_limit
from hermes.backbones.segment_attention import use_segments
from hermes.errors import HermesError
from hermes.memory.encoded import Encoded, Frames, Layout, Seconds
from hermes.memory.tiers import LLAVA_ONEVISION


class VideoLlama3(Backbone):
    """A VideoLLaMA3 model of transformers (the `-HF` checkpoints).

    The family's processor limits the pixels of a whole clip. Since the length of a stream is unknown, a frame gets the share
    that it has in the longest clip of the processor.
    """

    family = "video_llama_3"
    model_class = VideoLlama3ForConditionalGeneration
    constants = LLAVA_ONEVISION

    def __init__(self, model: Any, tokenizer: Any, card: Card, preprocessor: dict[str, Any]) -> None:
        """Wrap a loaded model; `preprocessor` is the content of its preprocessor configuration."""
        super().__init__(model, tokenizer, card)
        use_segments(model.config.vision_config)
        size = preprocessor.get("size") or {}
        least = int(preprocessor.get("min_pixels") or size.get("shortest_edge") or 128 * 28 * 28)
        most = int(preprocessor.get("max_pixels") or size.get("longest_edge") or 768 * 28 * 28)
        self._most = max(most // int(preprocessor.get("max_frames") or 1), 1)
        self._least = min(least, self._most)
        self._merge = int(preprocessor.get("merge_size") or 2)
        self._prepare = FramePreparation(preprocessor, [0.5] * 3, [0.5] * 3, self.device)

    def layout(self, height: int, width: int, seconds_per_frame: float | None = None) -> Layout:  # noqa: ARG002
        """Layout by the family's smart resize: sides are multiples of a merged patch, within the processor's pixel limits.

        Raises:
            HermesError: The aspect ratio is above 200.
        """
        factor = self.model.config.vision_config.patch_size * self._merge
        try:
            high, wide = smart_resize(height, width, factor, self._least, self._most)
        except ValueError as error:
            raise HermesError(f"Frames of {width} x {height} pixels are too elongated for this model.") from error
        return Layout((high // factor, wide // factor), (wide, high))

    def limit_pixels(self, most: int) -> None:
        """Scale frames down to at most `most` pixels, keeping their aspect ratio; the model's own limit still applies.

        Raises:
            HermesError: The limit is below the smallest frame.
        """
        self._most = pixel_limit(most, self._least, self._most)

    def patches(self, frames: Sequence[Frames], layout: Layout) -> tuple[Tensor, Tensor]:
        """Preprocess frames for the tower: flattened patches [patches, values] and grid [1, 3] (time, height, width)."""
        pixels = self._prepare(frames, layout.pixels).to(self.dtype)
        return flat_patches(pixels, self.model.config.vision_config.patch_size, self._merge)

    @torch.inference_mode()
    def encode(self, frames: Sequence[Frames], seconds: Seconds, first_step: int, layout: Layout) -> Encoded:
        """Encode with transformers' tower and projector; each frame is preceded by its time, as in the processor."""
        flat, grid = self.patches(frames, layout)
        merges = torch.tensor([self._merge], device=self.device)
        output = self.model.model.get_video_features(flat, grid, merges)
        features = output.pooler_output[0].unflatten(0, (len(frames), -1))
        # The processor joins frames with a comma; a stream inserts it before every frame but the first.
        texts = [f"{',' if first_step + i else ''}Time {at:.1f}s:" for i, at in enumerate(seconds)]
        return self.weave(features, [self.tokenize(text) for text in texts], [self.tokenize("")] * len(frames))
