"""GLM-4.6V-Flash, GLM-4.6V and GLM-4.1V: time as text after every pair of frames, M-RoPE over a part of each head.

The hub lists GLM-4.6V-Flash as `glm4v` and GLM-4.6V as `glm4v_moe`; `glm46v` is another name of the first. HERMES was not
published for this family; it uses the constants of Qwen2.5-VL.
"""

from __future__ import annotations

from typing import Any

from transformers import (
    Glm4vForConditionalGeneration,
    Glm4vMoeForConditionalGeneration,
    Glm46VForConditionalGeneration,
)

from hermes.backbones.card import Card
from hermes.backbones.qwen2_5_vl import MEAN, STD
from hermes.backbones.qwen3_vl import Qwen3VL
from hermes.memory.encoded import Seconds
from hermes.memory.positions import Rotary

START, END = "<|begin_of_image|>", "<|end_of_image|>"
FLASH = "glm4v_text"
"""Model type of the decoder that rotates adjacent dimensions of its keys."""


class Glm4V(Qwen3VL):
    """A GLM-V model of transformers."""

    family = "glm4v"
    model_class: Any = Glm4vForConditionalGeneration
    video_marker = "<|video|>"

    def __init__(self, model: Any, tokenizer: Any, card: Card, preprocessor: dict[str, Any]) -> None:
        """Wrap a loaded model; `preprocessor` is the content of its preprocessor configuration."""
        numbers = {
            "image_mean": MEAN,
            "image_std": STD,
            "size": {"shortest_edge": 112 * 112, "longest_edge": 28 * 28 * 15000},
        }
        super().__init__(model, tokenizer, card, numbers | preprocessor)
        kinds = (preprocessor.get("processor_class"), preprocessor.get("image_processor_type"), self.family)
        self._decimal = any("46v" in str(kind).lower() for kind in kinds)

    def _rotation(self) -> Rotary:
        sections = tuple(self.decoder.rotary_emb.mrope_section)
        return Rotary.from_sections(self.frequencies, sections, adjacent=self.text_config.model_type == FLASH)

    def texts(self, seconds: Seconds) -> tuple[list[str], list[str]]:
        """Return the texts before and after the vision tokens of each step: the time of its first frame follows it."""
        times = [f"{at:.1f} seconds" if self._decimal else f"{int(at)}" for at in seconds[:, 0]]
        return [START] * len(seconds), [f"{END}{time}" for time in times]


class Glm46V(Glm4V):
    """A GLM-V model in the classes that transformers made for GLM-4.6V."""

    family = "glm46v"
    model_class = Glm46VForConditionalGeneration


class Glm4VMoe(Glm4V):
    """A GLM-V model with a mixture of experts in each layer but the first."""

    family = "glm4v_moe"
    model_class = Glm4vMoeForConditionalGeneration
