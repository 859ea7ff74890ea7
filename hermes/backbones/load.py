"""Loading a model by name: the pocket model that ships, a local folder, or a hub id."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from hermes.backbones import placement, sources
from hermes.backbones.attention import NAME as ATTENTION
from hermes.backbones.base import Backbone, Card
from hermes.backbones.internvl import InternVL
from hermes.backbones.llava_onevision import LlavaOnevision
from hermes.backbones.qwen2_5_vl import Qwen25VL
from hermes.backbones.qwen3_vl import Qwen3VL
from hermes.backbones.smolvlm import SmolVLM
from hermes.backbones.sources import ModelError, Progress, first_line

logger = logging.getLogger(__name__)

FAMILIES: dict[str, type[Any]] = {f.family: f for f in (LlavaOnevision, Qwen25VL, Qwen3VL, SmolVLM, InternVL)}
"""Families by transformers' model type."""

PREPROCESSOR_FILES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")


def load(
    name: str | Path,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    quantization: str | None = None,
    progress: Progress | None = None,
) -> Backbone:
    """Load a model.

    Args:
        name: "pocket" for the model that ships, a folder, or a hub id such as "llava-hf/llava-onevision-qwen2-0.5b-ov-hf".
        device: Where it shall run; None: CUDA, else MPS, else CPU.
        dtype: Type of its weights and cache; None: bfloat16 on CUDA (float16 if stored so), float16 on MPS, float32 on CPU.
        quantization: "4bit" for 4-bit weights (CUDA, with bitsandbytes installed); None: as they are.
        progress: Told what happens and how far it is, 0 to 1.

    Returns:
        The backbone, ready for `hermes.StreamSession`.

    Raises:
        ModelError: Unknown, unreachable, gated, damaged, or of a family that is not served.
        MemoryShortError: It does not fit; the message says what is needed and what is there.
        HermesError: A device or quantization that is not there.
    """
    folder = sources.find(str(name), progress)
    config = _config(folder)
    family = FAMILIES[config.model_type]
    place = placement.choose(device, dtype, quantization, getattr(config, "dtype", None) or torch.float32)
    placement.check_memory(str(name), sources.count_weights(folder), place, placement.free_bytes(place.device))
    if progress:
        progress(f"Loading {name}", 0.3)
    model, tokenizer = _weights(folder, str(name), family, place)
    if progress:
        progress(f"Preparing {name}", 0.9)
    backbone: Backbone = family(model, tokenizer, _card(folder, str(name)), _preprocessor(folder))
    backbone.text_config._attn_implementation = ATTENTION  # noqa: SLF001 - transformers' own switch
    logger.info("loaded %s (%s) on %s in %s", backbone.card.name, backbone.family, place.device, place.dtype)
    return backbone


def _weights(folder: Path, name: str, family: type[Any], place: placement.Placement) -> tuple[Any, Any]:
    """Model and tokenizer, in evaluation mode and in their place."""
    settings: dict[str, Any] = {"dtype": place.dtype}
    if place.quantization:
        from transformers import BitsAndBytesConfig  # noqa: PLC0415  (needs bitsandbytes)

        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=place.dtype, bnb_4bit_quant_type="nf4"
        )
        settings["device_map"] = {"": place.device}
    try:
        model = family.model_class.from_pretrained(folder, **settings)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if not place.quantization:
            model = model.to(place.device)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise placement.MemoryShortError(f"There was not enough memory on {place.device} for “{name}”.") from error
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"The model “{name}” is incomplete or damaged: {first_line(error)}") from error
    return model.eval().requires_grad_(False), tokenizer


def _config(folder: Path) -> Any:
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The configuration of the model in {folder} cannot be read: {first_line(error)}") from error
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"Models of the family “{config.model_type}” are not served. These are: {', '.join(sorted(FAMILIES))}."
        )
    return config


def _preprocessor(folder: Path) -> dict[str, Any]:
    for file in PREPROCESSOR_FILES:
        content = sources.read_json(folder, file)
        if content is not None:
            return content.get("image_processor", content)
    raise ModelError(f"The model in {folder} has no {PREPROCESSOR_FILES[0]}, so its frames cannot be prepared.")


def _card(folder: Path, name: str) -> Card:
    content = sources.read_json(folder, "hermes.json") or {}
    about = "A general video LLM; see its model card for what it was trained on."
    known = {key: content[key] for key in ("guidance", "max_new_tokens") if key in content}
    return Card(
        name=content.get("name", Path(name).name if Path(name).is_dir() else name),
        about=content.get("about", about),
        suggested=tuple(content.get("suggested", ())),
        **known,
    )
