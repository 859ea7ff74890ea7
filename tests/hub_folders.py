"""Folders as the hub's repositories have them: real file set, names, values and templates, with tiny random weights.

`tests/data/hub` records what is known of the repositories: date, sources, and what could not be verified. A folder differs
from the repository in sizes only (widths, numbers of layers and heads, vocabulary), and token ids are those of a tokenizer
of bytes that has the same special tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig

from hermes.backbones.families import FAMILIES

RECORDS = Path(__file__).parent / "data" / "hub"
LAYERS, HYBRID_LAYERS, HEADS, INNER, TOWER_HEADS, TOWER_LAYERS, TOWER_WIDTH = 6, 8, 2, 32, 2, 2, 32
SIZES = {
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 1,
    "max_window_layers": LAYERS,
    "moe_intermediate_size": INNER,
    "shared_expert_intermediate_size": INNER,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "linear_num_key_heads": HEADS,
}
TOWER_SIZES = {
    "hidden_size": TOWER_WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": TOWER_LAYERS,
    "depth": TOWER_LAYERS,
    "num_attention_heads": TOWER_HEADS,
    "num_heads": TOWER_HEADS,
    "deepstack_visual_indexes": [0, 1],
    "fullatt_block_indexes": [1],
}


@dataclass(frozen=True)
class Repository:
    """Recorded metadata of a repository on the hub."""

    id: str
    family: dict[str, Any]
    model: dict[str, Any]

    @property
    def files(self) -> dict[str, Any]:
        """Content of the metadata files, without config.json."""
        return self.family["files"] | self.model.get("files", {})

    @property
    def weight_files(self) -> list[str]:
        """Names of the files with weights, without the index that several have."""
        shards, name = self.model["shards"], self.family.get("shard_name")
        if shards == 1 and name is None:
            return ["model.safetensors"]
        return [(name or "model-{:05}-of-{:05}.safetensors").format(i + 1, shards) for i in range(shards)]

    @property
    def names(self) -> set[str]:
        """Names of all files of the repository that a model needs."""
        weights = self.weight_files
        index = [] if weights == ["model.safetensors"] else ["model.safetensors.index.json"]
        return {"config.json", *self.files, *self.family["written"], *weights, *index}


@cache
def repositories() -> dict[str, Repository]:
    """The recorded repositories by hub id."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))]
    return {name: Repository(name, record, model) for record in records for name, model in record["models"].items()}


def build(repository: Repository, folder: Path) -> dict[str, torch.Tensor]:
    """Write the folder of a repository.

    Returns:
        The weights by their names in transformers.
    """
    for name, content in repository.files.items():
        text = content if isinstance(content, str) else json.dumps(content, indent=2)
        (folder / name).write_text(text, encoding="utf-8")
    ids = _write_tokenizer(repository, folder)
    real = {number: token for token, number in repository.family["tokens"].items()}
    generation = folder / "generation_config.json"
    if generation.is_file():
        generation.write_text(json.dumps(_with_ids(json.loads(generation.read_text()), real, ids)))
    config = _shrunk(repository.model["config"], real, ids)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    return _write_weights(repository, folder)


def _write_tokenizer(repository: Repository, folder: Path) -> dict[str, int]:
    """Write a tokenizer of bytes with the repository's special tokens; returns its vocabulary."""
    special = sorted(repository.family["tokens"], key=repository.family["tokens"].__getitem__)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(alphabet)}
    raw = Tokenizer(models.BPE(vocabulary, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    raw.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    raw.save(str(folder / "tokenizer.json"))
    added = {token: raw.token_to_id(token) for token in special}
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    decoder = {str(i): {"content": token, **plain} for token, i in added.items()}
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"added_tokens_decoder": decoder}, indent=2))
    words = json.loads(path.read_text())
    named = {key: words[key] for key in ("bos_token", "eos_token", "pad_token", "unk_token") if words.get(key)}
    contents = {
        "added_tokens.json": json.dumps(added),
        "merges.txt": "#version: 0.2\n",
        "special_tokens_map.json": json.dumps(named),
        "vocab.json": json.dumps(vocabulary),
    }
    for name in set(repository.family["written"]) & contents.keys():
        (folder / name).write_text(contents[name], encoding="utf-8")
    return raw.get_vocab()


def _with_ids(entries: dict[str, Any], real: dict[int, str], ids: dict[str, int]) -> dict[str, Any]:
    """Entries of a configuration with the token ids of the tiny tokenizer in place of the real ones."""

    def tiny_id(value: Any) -> Any:
        if isinstance(value, list):
            return [tiny_id(item) for item in value]
        return ids[real[value]] if value in real else value

    return {
        key: tiny_id(value) if key.endswith(("token_id", "token_index")) else value for key, value in entries.items()
    }


def _shrunk(config: dict[str, Any], real: dict[int, str], ids: dict[str, int]) -> dict[str, Any]:
    """A configuration with tiny sizes and the ids of the tiny tokenizer; all other values are the repository's."""
    text, tower = config.get("text_config", config), config["vision_config"]
    head = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
    sizes = SIZES | {"hidden_size": HEADS * head, "vocab_size": len(ids)}
    if "linear_num_value_heads" in text:
        per_key_head = text["linear_num_value_heads"] // text["linear_num_key_heads"]
        sizes |= {"num_hidden_layers": HYBRID_LAYERS, "linear_num_value_heads": HEADS * per_key_head}
    small_text = text | {key: value for key, value in sizes.items() if key in text}
    if "layer_types" in text:
        small_text["layer_types"] = text["layer_types"][: small_text["num_hidden_layers"]]
    small_tower = tower | {key: value for key, value in TOWER_SIZES.items() if tower.get(key)}
    # Values that a configuration omits have the defaults of the real size.
    small_tower |= {key: TOWER_SIZES[key] for key in ("intermediate_size", "num_hidden_layers") if "depth" not in tower}
    if "out_hidden_size" in tower:
        small_tower["out_hidden_size"] = HEADS * head
    small = config | small_text if text is config else config | {"text_config": small_text}
    small["vision_config"] = small_tower
    if "vocab_size" in config:
        small["vocab_size"] = len(ids)
    if "text_config" in small:
        small["text_config"] = _with_ids(small["text_config"], real, ids)
    return _with_ids(small, real, ids)


def _write_weights(repository: Repository, folder: Path) -> dict[str, torch.Tensor]:
    """Write random weights under the names and in the type and the shards of the repository."""
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder)
    model = FAMILIES[config.model_type].model_class(config).to(getattr(torch, repository.model["dtype"]))
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    staged = folder / "staged"
    model.save_pretrained(staged, save_original_format=not repository.model.get("fused_experts", False))
    weights = load_file(staged / "model.safetensors")
    for file in staged.iterdir():
        file.unlink()
    staged.rmdir()
    for new, old in repository.family["weight_names"].items():
        weights = {old + name.removeprefix(new) if name.startswith(new) else name: t for name, t in weights.items()}
    precise = tuple(repository.family.get("float32_weights", ()))
    weights = {name: t.float() if name.endswith(precise) else t for name, t in weights.items()}
    weights |= {name: torch.zeros(2, 2) for name in repository.family.get("unused_weights", ())}
    files = repository.weight_files
    for i, file in enumerate(files):
        save_file(dict(list(weights.items())[i :: len(files)]), folder / file, metadata={"format": "pt"})
    if files != ["model.safetensors"]:
        places = {name: files[i % len(files)] for i, name in enumerate(weights)}
        index = {"metadata": {"total_size": sum(t.nbytes for t in weights.values())}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return expected
