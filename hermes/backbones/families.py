"""The model families that can be loaded, by the `model_type` of their configuration."""

from __future__ import annotations

from typing import Any, Final

from hermes.backbones.internvl import InternVL
from hermes.backbones.llava_onevision import LlavaOnevision
from hermes.backbones.qwen2_5_vl import Qwen25VL
from hermes.backbones.qwen3_vl import Qwen3VL
from hermes.backbones.smolvlm import SmolVLM

FAMILIES: Final[dict[str, type[Any]]] = {
    family.family: family for family in (LlavaOnevision, Qwen25VL, Qwen3VL, SmolVLM, InternVL)
}
