"""Loading a model by name: the pocket model that ships, a local folder, or a hub id."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from transformers import AutoConfig, AutoTokenizer

from hermes.backbones.attention import NAME as ATTENTION
from hermes.backbones.base import Backbone, Card
from hermes.backbones.internvl import InternVL
from hermes.backbones.llava_onevision import LlavaOnevision
from hermes.backbones.qwen2_5_vl import Qwen25VL
from hermes.backbones.qwen3_vl import Qwen3VL
from hermes.backbones.smolvlm import SmolVLM
from hermes.errors import HermesError

logger = logging.getLogger(__name__)

FAMILIES: dict[str, type[Any]] = {f.family: f for f in (LlavaOnevision, Qwen25VL, Qwen3VL, SmolVLM, InternVL)}
"""Families by transformers' model type."""

POCKET = Path(__file__).resolve().parents[2] / "assets" / "pocket"
PREPROCESSOR_FILES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")


class ModelError(HermesError):
    """A model that cannot be loaded; the message says why and what to do."""


def load(name: str | Path, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Backbone:
    """Load a model.

    Args:
        name: "pocket" for the model that ships, a folder, or a hub id such as "llava-hf/llava-onevision-qwen2-0.5b-ov-hf".
        device: Where it shall run; None: CUDA, else MPS, else CPU.
        dtype: Type of its weights and cache; None: bfloat16 on CUDA, float16 on MPS, float32 on CPU.

    Returns:
        The backbone, ready for `hermes.StreamSession`.

    Raises:
        ModelError: Unknown, unreachable, gated, damaged, or of a family that is not served.
    """
    source = _resolve(str(name))
    device = torch.device(device) if device is not None else _best_device()
    dtype = dtype or {"cuda": torch.bfloat16, "mps": torch.float16}.get(device.type, torch.float32)
    family = _family(source)
    try:
        model: Any = family.model_class.from_pretrained(source, dtype=dtype)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except torch.OutOfMemoryError as error:
        raise ModelError(f"There is not enough memory on {device} for the model “{name}”.") from error
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"The model “{name}” is incomplete or damaged: {_first_line(error)}") from error
    model = model.to(device).eval().requires_grad_(False)
    card = _card(source, str(name))
    backbone: Backbone = family(model, tokenizer, card, _preprocessor(source))
    backbone.text_config._attn_implementation = ATTENTION  # noqa: SLF001 - transformers' own switch
    logger.info("loaded %s (%s) on %s in %s", card.name, backbone.family, device, dtype)
    return backbone


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _resolve(name: str) -> str:
    """Folder or hub id of a model; local folders are tried first, so that the hub is asked only for what can be there."""
    if name == "pocket":
        if not (POCKET / "config.json").is_file():
            raise ModelError(f"The pocket model is missing: {POCKET} has no config.json.")
        return str(POCKET)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"The folder {path} holds no model: it has no config.json.")
        return str(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise ModelError(
            f"There is no model “{name}”: neither “pocket”, nor a folder, nor a hub id such as “owner/name”."
        )
    try:
        hf_hub_download(name, "config.json", etag_timeout=10)
    except GatedRepoError as error:
        raise ModelError(
            f"The model “{name}” is gated: accept its terms on the hub and log in with a token."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"There is no model “{name}” on the hub, or it is private.") from error
    except HFValidationError as error:
        raise ModelError(f"“{name}” is not a valid hub id.") from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"The hub cannot be reached, and “{name}” is not on this machine. Check the connection, or give a local folder."
        ) from error
    except EntryNotFoundError as error:
        raise ModelError(f"“{name}” holds no model: it has no config.json.") from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(f"The hub did not give “{name}”: {_first_line(error)}") from error
    return name


def _family(source: str) -> type[Any]:
    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The configuration of “{source}” cannot be read: {_first_line(error)}") from error
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"Models of the family “{config.model_type}” are not served. These are: {', '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[config.model_type]


def _read_json(source: str, file: str) -> dict[str, Any] | None:
    """A JSON file of the model, None where it has no such file."""
    path = Path(source) / file
    try:
        if not Path(source).is_dir():
            path = Path(hf_hub_download(source, file, etag_timeout=10))
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, EntryNotFoundError):
        return None
    except (OSError, HfHubHTTPError, ValueError) as error:
        raise ModelError(f"{file} of the model “{source}” cannot be read: {_first_line(error)}") from error


def _preprocessor(source: str) -> dict[str, Any]:
    for file in PREPROCESSOR_FILES:
        content = _read_json(source, file)
        if content is not None:
            return content.get("image_processor", content)
    raise ModelError(f"The model “{source}” has no {PREPROCESSOR_FILES[0]}, so its frames cannot be prepared.")


def _card(source: str, name: str) -> Card:
    content = _read_json(source, "hermes.json") or {}
    about = "A general video LLM; see its model card for what it was trained on."
    known = {key: content[key] for key in ("guidance", "max_new_tokens") if key in content}
    return Card(
        name=content.get("name", Path(name).name if Path(name).is_dir() else name),
        about=content.get("about", about),
        suggested=tuple(content.get("suggested", ())),
        **known,
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
