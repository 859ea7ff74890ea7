"""Catalogue of popular models: hub id, family and published configuration, without weights.

The configurations give a model's size before a download, and replace it where only its shape matters
(`python -m hermes models`, `python -m hermes bench --random`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hermes.analysis.cache_cost import CacheShape
from hermes.errors import HermesError

SO400M = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
SIGLIP_BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
INTERN_VIT = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
INTERN_VIT |= {"attention_bias": True}
QWEN3_VIT_SMALL = {"hidden_size": 768, "intermediate_size": 3072, "depth": 12, "num_heads": 12}
QWEN3_VIT = {"hidden_size": 1024, "intermediate_size": 4096, "depth": 24, "num_heads": 16}
QWEN3_VIT_LARGE = {"hidden_size": 1152, "intermediate_size": 4304, "depth": 27, "num_heads": 16}
QWEN2_ROPE = {"rope_type": "default", "rope_theta": 1e6}
MROPE = QWEN2_ROPE | {"mrope_section": [16, 24, 24]}
QWEN35_EXPERTS = {
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "num_experts": 256,
    "num_experts_per_tok": 8,
}
GLM_EXPERTS = {
    "head_dim": 128,
    "moe_intermediate_size": 1408,
    "n_routed_experts": 128,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 1,
}
MROPE_INTERLEAVED = {
    "rope_type": "default",
    "rope_theta": 5e6,
    "mrope_section": [24, 20, 20],
    "mrope_interleaved": True,
}


def _text(hidden: int, layers: int, heads: int, kv: int, inner: int, words: int, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": inner,
        "vocab_size": words,
        **more,
    }


@dataclass(frozen=True)
class Listed:
    """A model of the catalogue.

    Attributes:
        id: Hub id.
        family: transformers model type.
        title: Display name.
        published: Whether the HERMES publication reports results for it.
        weights: Number of parameters; a test recounts them from the configuration.
        text: Configuration of the decoder.
        vision: Configuration of the vision tower.
        more: Other entries of the configuration.
    """

    id: str
    family: str
    title: str
    published: bool
    weights: int
    text: dict[str, Any]
    vision: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)

    def config(self) -> Any:
        """Return the transformers configuration."""
        from transformers import AutoConfig  # noqa: PLC0415 - heavy, and not needed to list the models

        kinds = {"llava_onevision": "qwen2", "smolvlm": "llama", "internvl": "qwen2", "video_llama_3": "qwen2"}
        towers = {"llava_onevision": "siglip_vision_model"}
        text = {"model_type": kinds[self.family]} | self.text if self.family in kinds else self.text
        vision = {"model_type": towers[self.family], **self.vision} if self.family in towers else self.vision
        return AutoConfig.for_model(self.family, text_config=text, vision_config=vision, **self.more)

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes of one token's keys and values in bfloat16, all layers that hold tokens."""
        return CacheShape.of_config(self.text).bytes_per_token("bfloat16")


def _llava(size: str, title: str, weights: int, text: dict[str, Any]) -> Listed:
    vision = SO400M | {"image_size": 384, "patch_size": 14, "num_hidden_layers": 26, "vision_use_head": False}
    text = text | {"rope_parameters": QWEN2_ROPE, "max_position_embeddings": 32768}
    more = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full", "tie_word_embeddings": size == "0.5b"}
    text["tie_word_embeddings"] = size == "0.5b"
    return Listed(
        f"llava-hf/llava-onevision-qwen2-{size}-ov-hf", "llava_onevision", title, True, weights, text, vision, more
    )


def _qwen25(size: str, weights: int, text: dict[str, Any], inner: int = 3420) -> Listed:
    tied = size == "3B"
    text = text | {"rope_parameters": MROPE, "max_position_embeddings": 128000, "tie_word_embeddings": tied}
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": inner, "out_hidden_size": text["hidden_size"]}
    vision |= {"tokens_per_second": 2, "fullatt_block_indexes": [7, 15, 23, 31], "window_size": 112}
    name = f"Qwen/Qwen2.5-VL-{size}-Instruct"
    return Listed(name, "qwen2_5_vl", f"Qwen2.5-VL {size}", True, weights, text, vision, {"tie_word_embeddings": tied})


def _qwen3(size: str, weights: int, text: dict[str, Any], vision: dict[str, Any], deep: list[int]) -> Listed:
    tied = size in ("2B", "4B")
    text = text | {"head_dim": 128, "rope_parameters": MROPE_INTERLEAVED, "max_position_embeddings": 262144}
    text["tie_word_embeddings"] = tied
    vision = vision | {"out_hidden_size": text["hidden_size"], "deepstack_visual_indexes": deep}
    name = f"Qwen/Qwen3-VL-{size}-Instruct"
    family = "qwen3_vl_moe" if "num_experts" in text else "qwen3_vl"
    return Listed(name, family, f"Qwen3-VL {size}", False, weights, text, vision, {"tie_word_embeddings": tied})


def _qwen35(size: str, weights: int, text: dict[str, Any], vision: dict[str, Any], value_heads: int) -> Listed:
    tied = size in ("0.8B", "2B", "4B")
    rope = MROPE_INTERLEAVED | {"rope_theta": 1e7, "mrope_section": [11, 11, 10], "partial_rotary_factor": 0.25}
    text = text | {"head_dim": 256, "rope_parameters": rope, "max_position_embeddings": 262144}
    text |= {"tie_word_embeddings": tied, "full_attention_interval": 4}
    text |= {"linear_num_key_heads": 16, "linear_num_value_heads": value_heads}
    vision = vision | {"out_hidden_size": text["hidden_size"]}
    family = "qwen3_5_moe" if "num_experts" in text else "qwen3_5"
    return Listed(
        f"Qwen/Qwen3.5-{size}", family, f"Qwen3.5 {size}", False, weights, text, vision, {"tie_word_embeddings": tied}
    )


def _smol(size: str, weights: int, text: dict[str, Any], vision: dict[str, Any], scale: int) -> Listed:
    name = f"HuggingFaceTB/SmolVLM2-{size}{'-Video' if size != '2.2B' else ''}-Instruct"
    text = text | {"max_position_embeddings": 8192, "tie_word_embeddings": False}
    return Listed(name, "smolvlm", f"SmolVLM2 {size}", False, weights, text, vision, {"scale_factor": scale})


def _intern(size: str, weights: int, text: dict[str, Any]) -> Listed:
    vision = INTERN_VIT | {"image_size": [448, 448], "patch_size": [14, 14]}
    text = text | {"rope_parameters": QWEN2_ROPE, "max_position_embeddings": 32768, "tie_word_embeddings": False}
    more = {"tie_word_embeddings": False}
    return Listed(f"OpenGVLab/InternVL3-{size}-hf", "internvl", f"InternVL3 {size}", False, weights, text, vision, more)


def _intern35(size: str, weights: int, text: dict[str, Any]) -> Listed:
    vision = INTERN_VIT | {"image_size": [448, 448], "patch_size": [14, 14]}
    text = {"model_type": "qwen3", "head_dim": 128} | text | {"rope_parameters": QWEN2_ROPE}
    text |= {"max_position_embeddings": 40960, "tie_word_embeddings": False}
    name, title = f"OpenGVLab/InternVL3_5-{size}-HF", f"InternVL3.5 {size}"
    return Listed(name, "internvl", title, False, weights, text, vision, {"tie_word_embeddings": False})


def _videollama(size: str, weights: int, text: dict[str, Any], positions: int) -> Listed:
    tied = size == "2B"
    text = text | {"rope_parameters": QWEN2_ROPE, "max_position_embeddings": positions, "tie_word_embeddings": tied}
    name, more = f"lkhl/VideoLLaMA3-{size}-Image-HF", {"tie_word_embeddings": tied}
    return Listed(name, "video_llama_3", f"VideoLLaMA3 {size}", False, weights, text, SO400M | {"patch_size": 14}, more)


def _glm(name: str, family: str, weights: int, text: dict[str, Any], inner: int) -> Listed:
    rope = {"rope_type": "default", "rope_theta": 5e5, "mrope_section": [8, 12, 12], "partial_rotary_factor": 0.5}
    text = text | {"rope_parameters": rope, "max_position_embeddings": 131072, "tie_word_embeddings": False}
    vision = {"depth": 24, "hidden_size": 1536, "num_heads": 12, "out_hidden_size": 4096, "intermediate_size": inner}
    return Listed(f"zai-org/{name}", family, name.replace("-Flash", " Flash"), False, weights, text, vision)


CATALOGUE: tuple[Listed, ...] = (
    _llava("0.5b", "LLaVA-OneVision 0.5B", 893_675_552, _text(896, 24, 14, 2, 4864, 152000)),
    _llava("7b", "LLaVA-OneVision 7B", 8_030_807_584, _text(3584, 28, 28, 4, 18944, 152128)),
    _llava("72b", "LLaVA-OneVision 72B", 73_181_570_592, _text(8192, 80, 64, 8, 29568, 152128)),
    _qwen25("3B", 3_754_622_976, _text(2048, 36, 16, 2, 11008, 151936)),
    _qwen25("7B", 8_292_166_656, _text(3584, 28, 28, 4, 18944, 152064)),
    _qwen25("32B", 33_452_718_336, _text(5120, 64, 40, 8, 27648, 152064), 3456),
    _qwen3("2B", 2_127_532_032, _text(2048, 28, 16, 8, 6144, 151936), QWEN3_VIT, [5, 11, 17]),
    _qwen3("4B", 4_437_815_808, _text(2560, 36, 32, 8, 9728, 151936), QWEN3_VIT, [5, 11, 17]),
    _qwen3("8B", 8_767_123_696, _text(4096, 36, 32, 8, 12288, 151936), QWEN3_VIT_LARGE, [8, 16, 24]),
    _qwen3(
        "30B-A3B",
        31_070_754_032,
        _text(2048, 48, 32, 4, 6144, 151936, moe_intermediate_size=768, num_experts=128, num_experts_per_tok=8),
        QWEN3_VIT_LARGE,
        [8, 16, 24],
    ),
    _qwen35("0.8B", 852_985_920, _text(1024, 24, 8, 2, 3584, 248320), QWEN3_VIT_SMALL, 16),
    _qwen35("2B", 2_213_241_664, _text(2048, 24, 8, 2, 6144, 248320), QWEN3_VIT, 16),
    _qwen35("4B", 4_539_265_536, _text(2560, 32, 16, 4, 9216, 248320), QWEN3_VIT, 32),
    _qwen35("9B", 9_409_813_744, _text(4096, 32, 16, 4, 12288, 248320), QWEN3_VIT_LARGE, 32),
    _qwen35("27B", 27_356_728_560, _text(5120, 64, 24, 4, 17408, 248320), QWEN3_VIT_LARGE, 48),
    _qwen35("35B-A3B", 35_107_181_936, _text(2048, 40, 16, 2, 512, 248320, **QWEN35_EXPERTS), QWEN3_VIT_LARGE, 32),
    _smol(
        "256M", 256_484_928, _text(576, 30, 9, 3, 1536, 49280), SIGLIP_BASE | {"image_size": 512, "patch_size": 16}, 4
    ),
    _smol(
        "500M", 507_482_304, _text(960, 32, 15, 5, 2560, 49280), SIGLIP_BASE | {"image_size": 512, "patch_size": 16}, 4
    ),
    _smol(
        "2.2B", 2_246_784_880, _text(2048, 24, 32, 32, 8192, 49280), SO400M | {"image_size": 384, "patch_size": 14}, 3
    ),
    _intern("1B", 938_193_024, _text(896, 24, 14, 2, 4864, 151674)),
    _intern("2B", 2_088_957_440, _text(1536, 28, 12, 2, 8960, 151674)),
    _intern35("1B", 1_060_897_792, _text(1024, 28, 16, 8, 3072, 151936)),
    _intern35("2B", 2_348_347_392, _text(2048, 28, 16, 8, 6144, 151936)),
    _intern35("4B", 4_732_489_216, _text(2560, 36, 32, 8, 9728, 151936)),
    _intern35("8B", 8_528_318_464, _text(4096, 36, 32, 8, 12288, 151936)),
    _intern35("14B", 15_119_523_840, _text(5120, 40, 40, 8, 17408, 151936)),
    _videollama("2B", 1_959_993_584, _text(1536, 28, 12, 2, 8960, 151936), 131072),
    _videollama("7B", 8_044_744_944, _text(3584, 28, 28, 4, 18944, 152064), 32768),
    _glm("GLM-4.6V-Flash", "glm4v", 10_292_777_472, _text(4096, 40, 32, 2, 13696, 151552), 13696),
    _glm(
        "GLM-4.6V",
        "glm4v_moe",
        107_710_927_360,
        _text(4096, 46, 96, 8, 10944, 151552, **GLM_EXPERTS),
        10944,
    ),
)


def listed(name: str) -> Listed:
    """Return a model of the catalogue by hub id or title.

    Raises:
        HermesError: There is no such model.
    """
    wanted = name.lower().replace(" ", "-")
    found = [m for m in CATALOGUE if wanted in (m.id.lower(), m.title.lower().replace(" ", "-"))]
    if len(found) != 1:
        names = ", ".join(m.title.lower().replace(" ", "-") for m in CATALOGUE)
        raise HermesError(f"The catalogue has no model “{name}”. Available: {names}.")
    return found[0]


def count(model: Listed) -> int:
    """Count the parameters of a model from its configuration, without allocating them."""
    import torch  # noqa: PLC0415 - heavy, and not needed to list the models

    from hermes.backbones.building import BUILDING  # noqa: PLC0415
    from hermes.backbones.families import FAMILIES  # noqa: PLC0415

    with BUILDING, torch.device("meta"):
        built = FAMILIES[model.family].model_class(model.config())
    return sum(p.numel() for p in {id(p): p for p in built.parameters()}.values())
