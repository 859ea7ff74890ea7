"""Loads a model by name: a bundled model, a local folder, or a hub id."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import is_flash_attn_2_available

from hermes.backbones import metadata, placement, sources
from hermes.backbones.base import Backbone
from hermes.backbones.building import BUILDING
from hermes.backbones.card import Card, Knowledge
from hermes.backbones.catalogue import CATALOGUE
from hermes.backbones.downloads import Confirm, Progress
from hermes.backbones.families import FAMILIES, unused_weights
from hermes.backbones.placement import DeviceMap
from hermes.backbones.sources import ModelError, first_line
from hermes.backbones.weights_progress import report_weights
from hermes.memory.watched_attention import NAME as ATTENTION
from hermes.out_of_memory import is_shortage

logger = logging.getLogger(__name__)


def load(
    name: str | Path,
    device: str | torch.device | DeviceMap | None = None,
    dtype: torch.dtype | None = None,
    quantization: str | None = None,
    progress: Progress | None = None,
    confirm: Confirm | None = None,
    max_pixels: int | None = None,
) -> Backbone:
    """Load a model.

    Args:
        name: "pocket" or "things" for a bundled model, a folder, or a hub id such as
            "llava-hf/llava-onevision-qwen2-0.5b-ov-hf".
        device: Device of the model. None: CUDA, else MPS, else CPU, and all GPUs if one is too small. "auto": all GPUs. A
            mapping of module names to devices (or "disk"), as for accelerate: each module on its device.
        dtype: Type of weights and cache. None: bfloat16 on CUDA (float16 if stored that way), float16 on MPS, float32 on
            CPU (bfloat16 for a large model if a measurement shows that it is faster).
        quantization: "4bit" for 4-bit weights (CUDA, with bitsandbytes installed); None for unquantized weights.
        progress: Called with a message and the progress, 0 to 1.
        confirm: Called before a download of more than 1 GB; None downloads without confirmation and logs it.
        max_pixels: Largest number of pixels of a resized frame, see `Backbone.limit_pixels`. None: the model's own limit,
            which is up to 12.8 million for Qwen2.5-VL.

    Returns:
        The backbone, ready for `hermes.StreamSession`.

    Raises:
        ConsentError: `confirm` returned False.
        ModelError: The model is unknown, unreachable, gated, damaged, or of an unsupported family.
        MemoryShortError: The model does not fit; the message states the required and the free memory.
        HermesError: The device, the quantization or the frame size is not available.
    """
    _check_before_download(str(name), device, dtype, quantization)
    folder = sources.find(str(name), confirm, progress)
    config = _config(folder)
    family = FAMILIES[config.model_type]
    card, preprocessor = _card(folder, str(name)), metadata.preprocessor(folder)
    weights = sources.count_weights(folder, unused_weights(config.model_type))
    place = placement.choose(device, dtype, quantization, getattr(config, "dtype", None) or torch.float32, weights)
    if not isinstance(place.spread, Mapping):
        placement.check_memory(str(name), weights, place, place.free())
    if progress:
        progress(f"Loading {name}", 0.3)
    with report_weights(f"Loading {name}", progress):
        model, tokenizer = _weights(folder, str(name), family, place)
    if progress:
        progress(f"Preparing {name}", 0.9)
    backbone: Backbone = family(model, tokenizer, card, preprocessor)
    if max_pixels is not None:
        backbone.limit_pixels(max_pixels)
    backbone.text_config._attn_implementation = ATTENTION  # noqa: SLF001 - transformers' own switch
    logger.info("loaded %s (%s) on %s in %s", backbone.card.name, backbone.family, place.device, place.dtype)
    return backbone


def check_available(name: str) -> None:
    """Check that a model exists and is supported, without downloading or loading its weights.

    Raises:
        ModelError: The model is unknown, unreachable, gated, damaged, or of an unsupported family.
    """
    folder = sources.local_folder(name)
    if folder is None:
        sources.check_hub(name)
        return
    _config(folder)
    sources.count_weights(folder)


def _check_before_download(
    name: str, device: str | torch.device | DeviceMap | None, dtype: torch.dtype | None, quantization: str | None
) -> None:
    """Check that a model of the catalogue fits, before it is downloaded."""
    for model in CATALOGUE:
        if model.id == name:
            place = placement.choose(device, dtype, quantization, torch.bfloat16, model.weights)
            if not isinstance(place.spread, Mapping):
                placement.check_memory(name, model.weights, place, place.free())


def _weights(folder: Path, name: str, family: type[Any], place: placement.Placement) -> tuple[Any, Any]:
    """Load model and tokenizer onto their devices, in evaluation mode."""
    settings: dict[str, Any] = {"dtype": place.dtype, "use_safetensors": True, "trust_remote_code": False}
    # The decoder uses our own attention, registered with transformers; the vision tower can use FlashAttention.
    if place.device.type == "cuda" and is_flash_attn_2_available():
        settings["attn_implementation"] = {"vision_config": "flash_attention_2"}
    if place.quantization:
        from transformers import BitsAndBytesConfig  # noqa: PLC0415  (needs bitsandbytes)

        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=place.dtype, bnb_4bit_quant_type="nf4"
        )
        settings["device_map"] = {"": place.device}
    if place.spread is not None:
        settings["device_map"] = place.spread if isinstance(place.spread, str) else dict(place.spread)
        if place.spread == "auto":
            settings["max_memory"] = placement.room_on_gpus()
    try:
        with BUILDING:
            model, report = family.model_class.from_pretrained(folder, output_loading_info=True, **settings)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if "device_map" not in settings:
            model = model.to(place.device)
    except (OSError, ValueError, RuntimeError, KeyError, MemoryError) as error:
        if is_shortage(error):
            raise placement.MemoryShortError(
                f"Memory ran out on {place.devices} while loading “{name}”. Choose a smaller model, or close other programs."
            ) from error
        raise ModelError(f"The model “{name}” is incomplete or damaged: {first_line(error)}") from error
    if report["missing_keys"]:  # transformers initialises them at random
        missing = sorted(report["missing_keys"])
        raise ModelError(f"The model “{name}” is incomplete: {len(missing)} weights are missing, such as {missing[0]}.")
    if place.spread == "auto" and {"cpu", "disk"} & {str(part) for part in model.hf_device_map.values()}:
        raise placement.MemoryShortError(
            f"The model “{name}” does not fit on {place.devices} together with the memories of the streams."
        )
    return model.eval().requires_grad_(False), tokenizer


def _config(folder: Path) -> Any:
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The configuration of the model in {folder} cannot be read: {first_line(error)}") from error
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"Models of the family “{config.model_type}” are not supported. Supported: {', '.join(sorted(FAMILIES))}."
        )
    return config


def _card(folder: Path, name: str) -> Card:
    content = sources.read_json(folder, "hermes.json") or {}
    about = "A general video LLM; see its model card for what it was trained on."
    known = {key: content[key] for key in ("guidance", "max_new_tokens") if key in content}
    return Card(
        name=content.get("name", Path(name).name if Path(name).is_dir() else name),
        about=content.get("about", about),
        suggested=tuple(content.get("suggested", ())),
        knowledge=Knowledge.read(content),
        chat_templates=metadata.chat_templates(folder),
        **known,
    )
