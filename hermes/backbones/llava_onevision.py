"""LLaVA-OneVision (0.5B, 7B, 72B, and the pocket model): SigLIP tower, projector, 2x pooling, Qwen2 decoder, 1D RoPE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LlavaOnevisionForConditionalGeneration

from hermes.backbones.base import Backbone
from hermes.backbones.card import Card
from hermes.backbones.frames import FramePreparation, square_side
from hermes.backbones.object_tower import ObjectTower
from hermes.backbones.object_tower.modeling import objects_in_frames
from hermes.errors import HermesError
from hermes.memory.encoded import Encoded, Frames, Layout, Seconds
from hermes.memory.tiers import LLAVA_ONEVISION


class LlavaOnevision(Backbone):
    """A LLaVA-OneVision model of transformers.

    As in the publication, streams omit the `image_newline` token that `get_video_features` appends at every call.
    """

    family = "llava_onevision"
    model_class = LlavaOnevisionForConditionalGeneration
    constants = LLAVA_ONEVISION
    released_head = "<|im_start|>system \nYou are a helpful assistant.<|im_end|><|im_start|>user "

    def __init__(self, model: Any, tokenizer: Any, card: Card, preprocessor: dict[str, Any]) -> None:
        """Wrap a loaded model; `preprocessor` is the content of its preprocessor configuration."""
        super().__init__(model, tokenizer, card)
        size = preprocessor.get("size", {"height": 384, "width": 384})
        self.size = (int(size["width"]), int(size["height"]))
        self._prepare = FramePreparation(preprocessor, [0.5] * 3, [0.5] * 3, self.device)
        if isinstance(model.model.vision_tower, ObjectTower):
            self.object_names = tuple(name.replace("-", " ") for name in model.config.vision_config.object_names)

    def layout(self, height: int, width: int, seconds_per_frame: float | None = None) -> Layout:  # noqa: ARG002
        """Layout after 2x pooling, rounded up; the same for all frame sizes."""
        vision = self.model.config.vision_config
        side = -(-(vision.image_size // vision.patch_size) // 2)
        return Layout((side, side), self.size)

    def limit_pixels(self, most: int) -> None:
        """Use smaller frames of at most `most` pixels. The position embeddings of the tower are interpolated.

        Raises:
            HermesError: The limit is below the smallest frame, or the tower has no SigLIP position embeddings.
        """
        tower, vision = self.model.model.vision_tower, self.model.config.vision_config
        embeddings = getattr(tower, "embeddings", None)
        if not hasattr(embeddings, "interpolate_pos_encoding"):
            raise HermesError(f"The frame size of the model “{self.card.name}” cannot be changed.")
        side = square_side(most, 2 * vision.patch_size, self.size[0])  # pooling joins patches in pairs
        if side == self.size[0]:
            return
        resize_positions(embeddings, side)
        vision.image_size = side
        self.size = (side, side)

    def prepare(self, frames: Sequence[Frames] | Frames) -> Tensor:
        """Preprocess frames for the tower: T frames uint8 [H, W, 3] -> [T, 3, height, width] in the model's dtype."""
        return self._prepare(frames, self.size).to(self.dtype)

    @torch.inference_mode()
    def encode(self, frames: Sequence[Frames], seconds: Seconds, first_step: int, layout: Layout) -> Encoded:  # noqa: ARG002
        """Encode with transformers' tower, projector and pooling, without text between the frames."""
        output = self.model.model.get_video_features(self.prepare(frames)[None])
        features = output.pooler_output[0, :-1]  # without the image_newline
        names = len(self.object_names)
        objects = objects_in_frames(output.last_hidden_state, names) if names else None
        return Encoded.of_vision(features.unflatten(0, (len(frames), -1)), objects)


@torch.no_grad()
def resize_positions(embeddings: Any, side: int) -> None:
    """Interpolate the position embeddings of a SigLIP tower for square frames of `side` pixels, as transformers does."""
    count = (side // embeddings.patch_size) ** 2
    table = embeddings.interpolate_pos_encoding(
        embeddings.position_embedding.weight[None, :1].expand(1, count, -1), side, side
    )
    embeddings.position_embedding = torch.nn.Embedding.from_pretrained(table[0].clone(), freeze=True)
    embeddings.position_ids = torch.arange(count, device=table.device)[None]
    embeddings.image_size = side
    embeddings.num_patches = embeddings.num_positions = count
