"""LLaVA-OneVision (0.5B, 7B, 72B, and the pocket model): SigLIP tower, projector, 2x pooling, Qwen2 decoder, 1D RoPE."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hermes.backbones.base import Backbone, Card, Frames
from hermes.errors import HermesError
from hermes.memory.positions import Rotary
from hermes.memory.tiers import LLAVA_ONEVISION

SENTINEL = "\u241f"


class LlavaOnevision(Backbone):
    """A LLaVA-OneVision model of transformers.

    A stream leaves out the `image_newline` token that `get_video_features` appends to every call, as the published method
    does.
    """

    family = "llava_onevision"
    constants = LLAVA_ONEVISION

    def __init__(self, model: Any, tokenizer: Any, card: Card, preprocessor: dict[str, Any]) -> None:
        """Wrap a loaded model; `preprocessor` is the content of its preprocessor configuration."""
        super().__init__(model, tokenizer, card)
        size = preprocessor.get("size", {"height": 384, "width": 384})
        self.size = (int(size["width"]), int(size["height"]))
        self.resample = Image.Resampling(preprocessor.get("resample", Image.Resampling.BICUBIC))
        self.rescale = float(preprocessor.get("rescale_factor", 1 / 255))
        self.mean = _per_channel(preprocessor.get("image_mean"), self.device)
        self.std = _per_channel(preprocessor.get("image_std"), self.device)
        frequencies = self.decoder.rotary_emb.inv_freq.float()
        self._rotary = Rotary.from_sections(frequencies)
        self._head, self._tail = self._split_template()

    @property
    def decoder(self) -> Any:
        """The Qwen2 decoder."""
        return self.model.model.language_model

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a frame's tokens: the tower's patches, pooled 2x, rounded up."""
        vision = self.model.config.vision_config
        side = -(-(vision.image_size // vision.patch_size) // 2)
        return side, side

    @property
    def rotary(self) -> Rotary:
        """1D RoPE."""
        return self._rotary

    def prepare(self, frames: Frames) -> Tensor:
        """Frames as the tower reads them: resized, rescaled, normalised as the model's own processor does.

        Args:
            frames: uint8 [T, H, W, 3] RGB.

        Returns:
            [T, 3, height, width] of the model's dtype.
        """
        resized = [np.asarray(Image.fromarray(frame).resize(self.size, self.resample)) for frame in frames]
        pixels = torch.from_numpy(np.stack(resized)).to(self.device).permute(0, 3, 1, 2).float()
        return ((pixels * self.rescale - self.mean) / self.std).to(self.dtype)

    @torch.inference_mode()
    def encode_frames(self, frames: Frames) -> Tensor:
        """Tower, projector and pooling, all transformers' own: uint8 [T, H, W, 3] -> [T, P, hidden]."""
        output = self.model.model.get_video_features(self.prepare(frames)[None])
        features = output.pooler_output[0, :-1]  # without the image_newline
        return features.unflatten(0, (len(frames), self.tokens_per_frame))

    def frame_positions(self, start: Tensor, frames: int) -> Tensor:
        """Consecutive positions from each layer's start."""
        return self.text_positions(start, frames * self.tokens_per_frame)

    def head_text(self) -> str:
        """What the chat template puts before the video."""
        return self._head

    def tail_text(self, question: str) -> str:
        """What the chat template puts behind the video, with the question in its place."""
        return self._tail.replace(SENTINEL, question)

    def _split_template(self) -> tuple[str, str]:
        """The chat template around the video, rendered once with a sentinel for the question."""
        content = [{"type": "video"}, {"type": "text", "text": SENTINEL}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        token = self.tokenizer.convert_ids_to_tokens(self.model.config.video_token_id)
        head, found, tail = text.partition(token)
        if not found or SENTINEL not in tail:
            raise HermesError("This model's chat template has no place for a video followed by a question.")
        return head, tail


def _per_channel(values: list[float] | None, device: torch.device) -> Tensor:
    """One number a colour channel, 0.5 where the processor names none: float32 [3, 1, 1]."""
    return torch.tensor(values or [0.5] * 3, device=device, dtype=torch.float32)[:, None, None]
