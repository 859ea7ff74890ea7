"""SmolVLM2 (256M, 500M, 2.2B): one square image per frame, preceded by its time as text; Llama decoder, 1D RoPE.

HERMES was not published for this family; it uses the constants of LLaVA-OneVision. The model's processor starts a video with
a sentence that states the number of frames. A stream omits it, since the number is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import SmolVLMForConditionalGeneration
from transformers.models.smolvlm.processing_smolvlm import (
    DEFAULT_CHAT_TEMPLATE,
    DEFAULT_MEDIA_OUTTRO,
    FRAME_TIMESTAMP_MESSAGE,
)

from hermes.backbones.base import Backbone
from hermes.backbones.card import Card
from hermes.backbones.frames import FramePreparation, square_side
from hermes.memory.encoded import Encoded, Frames, Layout, Seconds
from hermes.memory.tiers import LLAVA_ONEVISION

AROUND, GLOBAL = "<fake_token_around_image>", "<global-img>"


class SmolVLM(Backbone):
    """A SmolVLM model of transformers."""

    family = "smolvlm"
    model_class = SmolVLMForConditionalGeneration
    constants = LLAVA_ONEVISION
    video_marker = "<video>"
    chat_template = DEFAULT_CHAT_TEMPLATE
    after_video = DEFAULT_MEDIA_OUTTRO

    def __init__(self, model: Any, tokenizer: Any, card: Card, preprocessor: dict[str, Any]) -> None:
        """Wrap a loaded model; `preprocessor` is the content of its preprocessor configuration."""
        super().__init__(model, tokenizer, card)
        video = (preprocessor.get("video_sampling") or {}).get("video_size") or preprocessor.get("size") or {}
        self._longest = int(video.get("longest_edge", 512))
        self._side = int((preprocessor.get("max_image_size") or {}).get("longest_edge", 512))
        self._prepare = FramePreparation({"resample": 1} | preprocessor, [0.5] * 3, [0.5] * 3, self.device)

    @property
    def decoder(self) -> Any:
        """The Llama decoder."""
        return self.model.model.text_model

    def layout(self, height: int, width: int, seconds_per_frame: float | None = None) -> Layout:  # noqa: ARG002
        """Layout of one square image after pixel shuffle; the same for all frame sizes."""
        config = self.model.config
        side = self._side // config.vision_config.patch_size // config.scale_factor
        return Layout((side, side), (self._side, self._side))

    def limit_pixels(self, most: int) -> None:
        """Use smaller frames of at most `most` pixels. The tower picks the nearest of its position embeddings.

        Raises:
            HermesError: The limit is below the smallest frame.
        """
        config = self.model.config
        self._side = square_side(most, config.vision_config.patch_size * config.scale_factor, self._side)

    def prepare(self, frames: Sequence[Frames] | Frames) -> Tensor:
        """Preprocess frames for the tower: resize by the longer side, then to a square, as the model's processor does."""
        height, width = frames[0].shape[:2]
        long = self._longest
        if width >= height:
            first = (long, max(_even(int(long * height / width)), 1))
        else:
            first = (max(_even(int(long * width / height)), 1), long)
        return self._prepare(frames, first, (self._side, self._side)).to(self.dtype)

    @torch.inference_mode()
    def encode(self, frames: Sequence[Frames], seconds: Seconds, first_step: int, layout: Layout) -> Encoded:  # noqa: ARG002
        """Encode with transformers' tower and connector; each frame is preceded by its time, as in the processor."""
        output = self.model.model.get_image_features(self.prepare(frames)[None])
        features = torch.cat(list(output.pooler_output)).unflatten(0, (len(frames), -1))
        stamps = [f"{int(at // 60):02d}:{int(at % 60):02d}" for at in seconds]
        texts = [self.tokenize(FRAME_TIMESTAMP_MESSAGE.format(timestamp=at) + AROUND + GLOBAL) for at in stamps]
        return self.weave(features, texts, [self.tokenize(AROUND)] * len(frames))


def _even(pixels: int) -> int:
    return pixels + pixels % 2
