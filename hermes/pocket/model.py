"""Configuration of the pocket model, a small LLaVA-OneVision model, and writing of its model folder."""

from __future__ import annotations

import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    GenerationConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)

from hermes.pocket.tokenizer import build_tokenizer, token_id

log = logging.getLogger(__name__)

IMAGE: Final = 128  # side in pixels
PATCH: Final = 16
TOKENS: Final = 16  # per frame, after pooling 8 x 8 patches to 4 x 4
WIDTH: Final = 128
LAYERS: Final = 10
MAX_BYTES: Final = 9_000_000  # maximum size of a weight file; hubs require special storage for larger ones
# Mean and standard deviation of pixels in LLaVA-OneVision's processors.
MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
STD: Final = (0.26862954, 0.26130258, 0.27577711)


def build_config(tokenizer: PreTrainedTokenizerFast, layers: int = LAYERS) -> LlavaOnevisionConfig:
    """Return the configuration of a pocket model with the given number of decoder layers."""
    vision = SiglipVisionConfig(
        hidden_size=WIDTH, intermediate_size=3 * WIDTH, num_hidden_layers=4, num_attention_heads=4, image_size=IMAGE,
        patch_size=PATCH, vision_use_head=False,
    )  # fmt: skip
    settings: dict[str, Any] = {"head_dim": 32}  # used by Qwen2, although its configuration does not declare it
    text = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=8192, **settings,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return LlavaOnevisionConfig(
        vision_config=vision, text_config=text,
        image_token_index=token_id(tokenizer, "<image>"),
        video_token_index=token_id(tokenizer, "<video>"),
        vision_feature_layer=-1, vision_feature_select_strategy="full", vision_aspect_ratio="anyres_max_9",
        image_grid_pinpoints=[[IMAGE, IMAGE]], tie_word_embeddings=True,
    )  # fmt: skip


def build(
    seed: int = 0, layers: int = LAYERS
) -> tuple[LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast]:
    """Return a randomly initialised pocket model in float32, and its tokenizer."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    model = LlavaOnevisionForConditionalGeneration(build_config(tokenizer, layers))
    return model.eval(), tokenizer


@dataclass(frozen=True)
class Preparation:
    """Preprocessing of frames.

    Attributes:
        image: Side of the input in pixels.
        patch: Side of one location of the tower's output in pixels.
        mean: Mean of red, green and blue, 0 to 1.
        std: Standard deviation of red, green and blue, 0 to 1.
    """

    image: int = IMAGE
    patch: int = PATCH
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD


def save(
    folder: Path,
    model: LlavaOnevisionForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    about: dict[str, object],
    preparation: Preparation = Preparation(),
) -> None:
    """Write a complete model folder: weights (float16), configuration, tokenizer, processor files, `hermes.json`.

    Args:
        folder: Destination; created if it does not exist.
        model: The model; not modified.
        tokenizer: Its tokenizer.
        about: Content of `hermes.json`: name, about, guidance, max_new_tokens, suggested.
        preparation: Preparation of frames.
    """
    state = {name: value.to(torch.float16) for name, value in model.state_dict().items() if name != "lm_head.weight"}
    half: Any = LlavaOnevisionForConditionalGeneration(model.config)
    half = half.to(torch.float16)
    half.load_state_dict(state, strict=False)
    half.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, max_new_tokens=32
    )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as temporary:
        whole = Path(temporary)  # write complete files before replacing existing ones
        half.save_pretrained(whole, safe_serialization=True, max_shard_size=MAX_BYTES)
        tokenizer.save_pretrained(whole)
        pixels = {
            "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
            "image_mean": list(preparation.mean), "image_std": list(preparation.std), "resample": 3,
            "rescale_factor": 1 / 255, "size": {"height": preparation.image, "width": preparation.image},
        }  # fmt: skip
        processor = {
            "processor_class": "LlavaOnevisionProcessor", "num_image_tokens": (preparation.image // preparation.patch) ** 2,
            "vision_feature_select_strategy": "full", "image_token": "<image>", "video_token": "<video>",
            "vision_aspect_ratio": "anyres_max_9",
        }  # fmt: skip
        image = {**pixels, "image_processor_type": "LlavaOnevisionImageProcessor", "do_pad": True,
                 "image_grid_pinpoints": [[preparation.image, preparation.image]],
                 "processor_class": "LlavaOnevisionProcessor"}  # fmt: skip
        video = {**pixels, "video_processor_type": "LlavaOnevisionVideoProcessor",
                 "processor_class": "LlavaOnevisionProcessor"}  # fmt: skip
        for name, content in (
            ("preprocessor_config.json", image),
            ("video_preprocessor_config.json", video),
            ("processor_config.json", processor),
            ("hermes.json", about),
        ):
            (whole / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        for old in folder.glob("model*.safetensors*"):
            old.unlink()
        for file in whole.iterdir():
            file.replace(folder / file.name)
    log.info("wrote %s", folder)
