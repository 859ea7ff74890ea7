"""The model families that can be loaded, by the `model_type` of their configuration."""

from __future__ import annotations

from typing import Any, Final

from hermes.backbones.glm4v import Glm4V, Glm4VMoe, Glm46V
from hermes.backbones.internvl import InternVL
from hermes.backbones.llava_onevision import LlavaOnevision
from hermes.backbones.qwen2_5_vl import Qwen25VL
from hermes.backbones.qwen3_5 import Qwen35, Qwen35Moe
from hermes.backbones.qwen3_vl import Qwen3VL, Qwen3VLMoe
from hermes.backbones.smolvlm import SmolVLM
from hermes.backbones.video_llama_3 import VideoLlama3

SUPPORTED: Final = (
    LlavaOnevision,
    Qwen25VL,
    Qwen3VL,
    Qwen3VLMoe,
    Qwen35,
    Qwen35Moe,
    SmolVLM,
    InternVL,
    VideoLlama3,
    Glm4V,
    Glm46V,
    Glm4VMoe,
)
FAMILIES: Final[dict[str, type[Any]]] = {family.family: family for family in SUPPORTED}


def unused_weights(model_type: str) -> tuple[str, ...]:
    """Return regular expressions for the names of weights that published models contain but transformers does not load."""
    return tuple(FAMILIES[model_type].model_class._keys_to_ignore_on_load_unexpected or ())  # noqa: SLF001 - no public name
