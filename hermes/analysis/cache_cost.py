"""Size of a KV cache, and of the state of a recurrent model, computed from a configuration without loading weights.

Each decoder layer with full attention stores one key and one value per token and KV head:
bytes per token = 2 · layers · KV heads · head dimension · bytes per number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from hermes.errors import HermesError

DTYPE_BYTES: Final[Mapping[str, int]] = MappingProxyType({"float32": 4, "float16": 2, "bfloat16": 2, "float8": 1})
"""Bytes of one number."""


class ShapeError(HermesError):
    """A configuration without the size of a cache, or an invalid number."""


@dataclass(frozen=True)
class CacheShape:
    """The dimensions that determine the size of a token in the cache.

    Attributes:
        layers: Decoder layers that store keys and values, at least 1.
        kv_heads: KV heads per layer, at least 1; fewer than attention heads for grouped-query attention.
        head_dim: Size of a key and of a value of one head, at least 1.
    """

    layers: int
    kv_heads: int
    head_dim: int

    def __post_init__(self) -> None:
        if min(self.layers, self.kv_heads, self.head_dim) < 1:
            raise ShapeError("A cache has at least one layer, one KV head and one number per head.")

    def bytes_per_token(self, dtype: str = "float16") -> int:
        """Return the bytes of keys and values of one token in all layers.

        Raises:
            ShapeError: The type is not one of `DTYPE_BYTES`.
        """
        return 2 * self.layers * self.kv_heads * self.head_dim * number_bytes(dtype)

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> CacheShape:
        """Read the shape from a transformers `config.json`; the decoder of a video model is its `text_config`.

        Raises:
            ShapeError: The number of layers, the number of heads or the head dimension is missing.
        """
        text = config.get("text_config", config)
        try:
            heads = int(text["num_attention_heads"])
            head_dim = text.get("head_dim") or int(text["hidden_size"]) // heads
            kv_heads = text.get("num_key_value_heads") or heads
            return cls(_token_layers(text), int(kv_heads), int(head_dim))
        except KeyError as missing:
            raise ShapeError(f"The configuration has no “{missing.args[0]}”.") from None


def _token_layers(text: Mapping[str, Any]) -> int:
    """Number of decoder layers that store keys and values; those with linear attention have a state of constant size."""
    if types := text.get("layer_types"):
        return sum(kind != "linear_attention" for kind in types)
    return int(text["num_hidden_layers"]) // int(text.get("full_attention_interval") or 1)


@dataclass(frozen=True)
class StateShape:
    """The dimensions that determine the size of a recurrent model's state (Mamba-2), whatever the length of the stream.

    A layer stores a matrix of `head_dim` x `state` numbers per head, and the last `kernel` inputs of its short convolution.

    Attributes:
        layers: Recurrent layers, at least 1.
        heads: Heads per layer, at least 1.
        head_dim: Channels per head, at least 1.
        state: State size per channel, at least 1.
        groups: Groups of heads that share their input and output projections of the state, at least 1.
        kernel: Kernel size of the convolution, at least 1.
    """

    layers: int
    heads: int
    head_dim: int
    state: int
    groups: int = 1
    kernel: int = 4

    def __post_init__(self) -> None:
        if min(self.layers, self.heads, self.head_dim, self.state, self.groups, self.kernel) < 1:
            raise ShapeError("A state has at least one layer, head, channel, number, group and input.")

    def state_bytes(self, dtype: str = "float16") -> int:
        """Return the bytes of the state of all layers, constant over the stream.

        Raises:
            ShapeError: The type is not one of `DTYPE_BYTES`.
        """
        inner = self.heads * self.head_dim
        numbers = inner * self.state + (inner + 2 * self.groups * self.state) * self.kernel
        return self.layers * numbers * number_bytes(dtype)


def number_bytes(dtype: str) -> int:
    """Return the bytes of one number.

    Raises:
        ShapeError: The type is not one of `DTYPE_BYTES`.
    """
    if dtype not in DTYPE_BYTES:
        raise ShapeError(f"The type “{dtype}” is unknown. Known types: {', '.join(DTYPE_BYTES)}.")
    return DTYPE_BYTES[dtype]


def cache_bytes(shape: CacheShape, tokens: int, dtype: str = "float16") -> int:
    """Return the bytes of keys and values if every layer holds `tokens` tokens.

    Raises:
        ShapeError: The number of tokens is negative, or the type is unknown.
    """
    if tokens < 0:
        raise ShapeError(f"The number of tokens must be at least 0, not {tokens}.")
    return tokens * shape.bytes_per_token(dtype)
