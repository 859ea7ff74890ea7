"""Qwen3.5 (0.8B to 27B, and with experts): three of four decoder layers use linear attention, with a state of constant size.

Policies manage the layers with full attention, which hold tokens, and the tiers are those of these layers. The states of the
other layers take in every token, and nothing is evicted from them. Frames are encoded as in Qwen3-VL, without deepstack
features. HERMES was not published for this family; it uses the constants of Qwen2.5-VL.
"""

from __future__ import annotations

from typing import Any

from transformers import Qwen3_5ForConditionalGeneration, Qwen3_5MoeForConditionalGeneration

from hermes.backbones.qwen3_vl import Qwen3VL


class Qwen35(Qwen3VL):
    """A Qwen3.5 model of transformers."""

    family = "qwen3_5"
    model_class: Any = Qwen3_5ForConditionalGeneration


class Qwen35Moe(Qwen35):
    """A Qwen3.5 model of transformers with a mixture of experts in each layer."""

    family = "qwen3_5_moe"
    model_class = Qwen3_5MoeForConditionalGeneration
