"""InternVL3 and InternVL3.5 (1B to 14B): one square image per frame, preceded by its number as text; 1D RoPE.

HERMES was not published for this family; it uses the constants of LLaVA-OneVision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import InternVLForConditionalGeneration

from hermes.backbones.base import Backbone
from hermes.backbones.card import Card
from hermes.backbones.frames import FramePreparation, square_side
from hermes.memory.encoded import Encoded, Frames, Layout, Seconds
from hermes.memory.tiers import LLAVA_ONEVISION

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
START, END = "<img>", "</img>"


class InternVL(Backbone):
    """An InternVL model of transformers (the `-hf` checkpoints)."""

    family = "internvl"
    model_class = InternVLForConditionalGeneration
    constants = LLAVA_ONEVISION
    video_marker = "<video>"

    def __init__(self, model: Any, tokenizer: Any, card: Card, preprocessor: dict[str, Any]) -> None:
        """Wrap a loaded model; `preprocessor` is the content of its preprocessor configuration."""
        super().__init__(model, tokenizer, card)
        height, width = model.config.vision_config.image_size
        size = preprocessor.get("size") or {}
        self.size = (int(size.get("width", width)), int(size.get("height", height)))
        self._prepare = FramePreparation(preprocessor, MEAN, STD, self.device)

    def layout(self, height: int, width: int, seconds_per_frame: float | None = None) -> Layout:  # noqa: ARG002
        """Layout after pixel shuffle; the same for all frame sizes."""
        config = self.model.config
        patch = config.vision_config.patch_size
        columns, rows = (int(s // p * config.downsample_ratio) for s, p in zip(self.size, patch[::-1], strict=True))
        return Layout((rows, columns), self.size)

    def limit_pixels(self, most: int) -> None:
        """Use smaller frames of at most `most` pixels. The tower interpolates its position embeddings.

        Raises:
            HermesError: The limit is below the smallest frame.
        """
        config = self.model.config
        unit = int(config.vision_config.patch_size[0] / config.downsample_ratio)
        side = square_side(most, unit, self.size[0])
        self.size = (side, side)

    def prepare(self, frames: Sequence[Frames] | Frames) -> Tensor:
        """Preprocess frames for the tower: T frames uint8 [H, W, 3] -> [T, 3, height, width] in the model's dtype."""
        return self._prepare(frames, self.size).to(self.dtype)

    @torch.inference_mode()
    def encode(self, frames: Sequence[Frames], seconds: Seconds, first_step: int, layout: Layout) -> Encoded:  # noqa: ARG002
        """Encode with transformers' tower and projector; each frame is preceded by its number, as in training."""
        config = self.model.config
        features = self.model.model.get_image_features(
            self.prepare(frames),
            vision_feature_layer=config.vision_feature_layer,
            vision_feature_select_strategy=config.vision_feature_select_strategy,
        ).pooler_output
        # The processor joins frames with a line break; a stream inserts it before every frame but the first.
        numbers = range(first_step, first_step + len(frames))
        texts = [self.tokenize(("\n" if i else "") + f"Frame{i + 1}: {START}") for i in numbers]
        return self.weave(features, texts, [self.tokenize(END)] * len(frames))
