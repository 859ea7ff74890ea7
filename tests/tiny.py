"""Tiny models with random weights: the real configuration classes and a real tokenizer, built offline in a second.

They are saved to a folder and loaded through the same path as any other model.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vMoeConfig,
    Glm4vMoeForConditionalGeneration,
    Glm46VConfig,
    Glm46VForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3_5MoeConfig,
    Qwen3_5MoeForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    VideoLlama3Config,
    VideoLlama3ForConditionalGeneration,
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} "
    "{% for part in message['content'] %}{% if part['type'] == 'video' %}<video>\n"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VIDEO_BORDERS = ("<|begin_of_video|>", "<|end_of_video|>")
SPECIAL = [
    "<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "<video>", "<image>", "<|vision_start|>", "<|vision_end|>",
    "<|video_pad|>", "<|image_pad|>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<img>", "</img>",
    "<IMG_CONTEXT>",
]  # fmt: skip


def tokenizer(video: str = "<video>", more: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer: every text can be written with it, and read back.

    `video` is what a video becomes, `more` are further special tokens.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *alphabet, *more])}
    raw = Tokenizer(models.BPE(vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<|im_end|>",
        extra_special_tokens={f"token_{i}": token for i, token in enumerate([*SPECIAL[4:], *more])},
        chat_template=CHAT_TEMPLATE.replace("<video>", video),
    )


def llava_onevision(
    folder: Path, *, layers: int = 10, max_positions: int = 4096, seed: int = 0, hidden: int = 48
) -> Path:
    """A LLaVA-OneVision of `layers` layers and 4 tokens a frame in `folder`."""
    torch.manual_seed(seed)
    words = tokenizer()
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    text = Qwen2Config(**_text(words, layers, max_positions) | {"hidden_size": hidden})
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        video_token_id=words.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    model = LlavaOnevisionForConditionalGeneration(config).eval()
    return _finish(model, words, folder, {"size": {"height": 32, "width": 32}, "resample": 3})


def _text(words: PreTrainedTokenizerFast, layers: int, max_positions: int) -> dict[str, object]:
    """Return the common settings of all tiny decoders."""
    return {
        "vocab_size": len(words),
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": max_positions,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        "initializer_range": 0.2,
    }


def _finish(
    model: PreTrainedModel, words: PreTrainedTokenizerFast, folder: Path, preprocessor: dict[str, object]
) -> Path:
    """Save weights, tokenizer, preprocessor and a card."""
    model.generation_config.eos_token_id = words.eos_token_id
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    numbers = {"rescale_factor": 1 / 255, "image_mean": [0.48, 0.45, 0.40], "image_std": [0.26, 0.25, 0.27]}
    (folder / "preprocessor_config.json").write_text(json.dumps(numbers | preprocessor))
    guidance = {"local": "What is here?", "global": "What was there?"}
    card = {"name": f"tiny {folder.name}", "about": "Random weights, for tests.", "guidance": guidance}
    card |= {"max_new_tokens": 64}  # random weights end no answer by themselves
    (folder / "hermes.json").write_text(json.dumps(card))
    return folder


def qwen2_5_vl(folder: Path, *, layers: int = 10, max_positions: int = 4096, seed: int = 0) -> Path:
    """A Qwen2.5-VL of `layers` layers whose 4:3 frames have 2 x 3 tokens a pair."""
    torch.manual_seed(seed)
    words = tokenizer("<|vision_start|><|video_pad|><|vision_end|>")
    text = _text(words, layers, max_positions)
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]}
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 48, "patch_size": 4,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 16, "fullatt_block_indexes": [1],
        "tokens_per_second": 2,
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
    )
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    return _finish(model, words, folder, {"min_pixels": 16 * 16, "max_pixels": 18 * 24, "resample": 3})


def qwen3_vl(
    folder: Path, *, layers: int = 10, max_positions: int = 4096, seed: int = 0, experts: bool = False
) -> Path:
    """A Qwen3-VL of `layers` layers whose 4:3 frames have 2 x 3 tokens a pair."""
    torch.manual_seed(seed)
    words = tokenizer("<|vision_start|><|video_pad|><|vision_end|>")
    text = _text(words, layers, max_positions) | {"head_dim": 12}
    text["rope_parameters"] = {
        "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2], "mrope_interleaved": True,
    }  # fmt: skip
    vision = {
        "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 48, "patch_size": 4,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1],
    }  # fmt: skip
    if experts:
        text |= {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
    config = (Qwen3VLMoeConfig if experts else Qwen3VLConfig)(
        text_config=text,
        vision_config=vision,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
    )
    model = (Qwen3VLMoeForConditionalGeneration if experts else Qwen3VLForConditionalGeneration)(config).eval()
    return _finish(model, words, folder, {"min_pixels": 2 * 16 * 16, "max_pixels": 2 * 18 * 24, "resample": 3})


def qwen3_vl_moe(folder: Path, *, layers: int = 10, max_positions: int = 4096, seed: int = 0) -> Path:
    """A Qwen3-VL with four experts in each layer, two of them active."""
    return qwen3_vl(folder, layers=layers, max_positions=max_positions, seed=seed, experts=True)


def qwen3_5(folder: Path, *, layers: int = 10, max_positions: int = 4096, seed: int = 0, experts: bool = False) -> Path:
    """A Qwen3.5 with `layers` layers of full attention and one of linear attention before each; 2 x 3 tokens a pair."""
    torch.manual_seed(seed)
    words = tokenizer("<|vision_start|><|video_pad|><|vision_end|>")
    text = _text(words, 2 * layers, max_positions) | {"head_dim": 24, "full_attention_interval": 2}
    text["initializer_range"] = 0.1
    text |= {
        "linear_key_head_dim": 8, "linear_value_head_dim": 12, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    }  # fmt: skip
    text["rope_parameters"] = {
        "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2], "mrope_interleaved": True,
        "partial_rotary_factor": 0.5,
    }  # fmt: skip
    if experts:
        text |= {"moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "num_experts": 4}
        text |= {"num_experts_per_tok": 2}
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 48, "patch_size": 4,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 64,
    }  # fmt: skip
    config = (Qwen3_5MoeConfig if experts else Qwen3_5Config)(
        text_config=text,
        vision_config=vision,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
    )
    model = (Qwen3_5MoeForConditionalGeneration if experts else Qwen3_5ForConditionalGeneration)(config).eval()
    return _finish(model, words, folder, {"min_pixels": 2 * 16 * 16, "max_pixels": 2 * 18 * 24, "resample": 3})


def smolvlm(folder: Path, *, layers: int = 10, max_positions: int = 4096, seed: int = 0) -> Path:
    """A SmolVLM of `layers` layers and 4 tokens a frame."""
    torch.manual_seed(seed)
    words = tokenizer()
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 8,
    }  # fmt: skip
    config = SmolVLMConfig(
        text_config={"model_type": "llama"} | _text(words, layers, max_positions),
        vision_config=vision,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=words.pad_token_id,
    )
    model = SmolVLMForConditionalGeneration(config).eval()
    size = {"size": {"longest_edge": 40}, "max_image_size": {"longest_edge": 32}, "resample": 1}
    return _finish(model, words, folder, size)


def internvl(
    folder: Path, *, layers: int = 10, max_positions: int = 4096, seed: int = 0, decoder: str = "qwen2"
) -> Path:
    """An InternVL of `layers` layers of the decoder family `decoder` and 4 tokens a frame."""
    torch.manual_seed(seed)
    words = tokenizer()
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": [32, 32], "patch_size": [8, 8],
    }  # fmt: skip
    config = InternVLConfig(
        text_config={"model_type": decoder, "head_dim": 12} | _text(words, layers, max_positions),
        vision_config=vision,
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    model = InternVLForConditionalGeneration(config).eval()
    return _finish(model, words, folder, {"size": {"height": 32, "width": 32}, "resample": 3})


def video_llama_3(folder: Path, *, layers: int = 10, max_positions: int = 4096, seed: int = 0) -> Path:
    """A VideoLLaMA3 of `layers` layers whose 4:3 frames have 2 x 3 tokens."""
    torch.manual_seed(seed)
    words = tokenizer("<|video_pad|>")
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 4,
    }  # fmt: skip
    config = VideoLlama3Config(
        text_config={"model_type": "qwen2"} | _text(words, layers, max_positions),
        vision_config=vision,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
    )
    model = VideoLlama3ForConditionalGeneration(config).eval()
    size = {"size": {"shortest_edge": 16 * 16, "longest_edge": 10 * 18 * 24}, "max_frames": 10, "merge_size": 2}
    return _finish(model, words, folder, size | {"resample": 3})


GLM = {
    "glm4v": (Glm4vConfig, Glm4vForConditionalGeneration),
    "glm46v": (Glm46VConfig, Glm46VForConditionalGeneration),
    "glm4v_moe": (Glm4vMoeConfig, Glm4vMoeForConditionalGeneration),
}


def glm4v(folder: Path, *, layers: int = 10, max_positions: int = 4096, seed: int = 0, family: str = "glm4v") -> Path:
    """A GLM-V of `layers` layers whose 4:3 frames have 2 x 3 tokens a pair; half of each head is rotated."""
    torch.manual_seed(seed)
    images = ("<|image|>", "<|begin_of_image|>", "<|end_of_image|>")
    words = tokenizer("<|begin_of_video|><|video|><|end_of_video|>", ("<|video|>", *images, *VIDEO_BORDERS))
    text = _text(words, layers, max_positions)
    text["rope_parameters"] = {
        "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 1], "partial_rotary_factor": 0.5,
    }  # fmt: skip
    if family == "glm4v_moe":
        text |= {
            "moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
        }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 48, "patch_size": 4,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "image_size": 32,
    }  # fmt: skip
    kind, model_class = GLM[family]
    names = {"image": "<|image|>", "video": "<|video|>", "image_start": images[1], "image_end": images[2]}
    names |= {"video_start": VIDEO_BORDERS[0], "video_end": VIDEO_BORDERS[1]}
    ids = {f"{name}_token_id": words.convert_tokens_to_ids(token) for name, token in names.items()}
    model = model_class(kind(text_config=text, vision_config=vision, **ids)).eval()
    size = {"size": {"shortest_edge": 2 * 16 * 16, "longest_edge": 2 * 18 * 24}, "resample": 3}
    return _finish(model, words, folder, size | {"processor_class": "Glm46VProcessor"})


FAMILIES = {
    f.__name__: f for f in (llava_onevision, qwen2_5_vl, qwen3_vl, smolvlm, internvl, video_llama_3, glm4v, qwen3_5)
}
VARIANTS = {
    "internvl3_5": partial(internvl, decoder="qwen3"),
    "qwen3_vl_moe": qwen3_vl_moe,
    "glm46v": partial(glm4v, family="glm46v"),
    "glm4v_moe": partial(glm4v, family="glm4v_moe"),
    "qwen3_5_moe": partial(qwen3_5, experts=True),
}
"""Models whose encoder, cache and positions are those of a family above."""
