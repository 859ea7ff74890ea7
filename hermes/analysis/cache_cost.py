"""What a KV cache costs, and the state of a recurrent model, worked out from a configuration before any weights are there.

For every token each decoder layer keeps one key and one value a KV head:
bytes a token = 2 · layers · KV heads · head dimension · bytes a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from hermes.errors import HermesError

DTYPE_BYTES: Final[Mapping[str, int]] = MappingProxyType({"float32": 4, "float16": 2, "bfloat16": 2, "float8": 1})
"""Bytes that one number takes."""


class ShapeError(HermesError):
    """A configuration that does not say how large a cache is, or a number that makes no sense."""


@dataclass(frozen=True)
class CacheShape:
    """What decides how large a token is in the cache.

    Attributes:
        layers: Decoder layers that keep keys and values, at least 1.
        kv_heads: KV heads a layer, at least 1; fewer than attention heads where heads share keys.
        head_dim: Numbers a head keeps for a key, and as many for a value, at least 1.
    """

    layers: int
    kv_heads: int
    head_dim: int

    def __post_init__(self) -> None:
        if min(self.layers, self.kv_heads, self.head_dim) < 1:
            raise ShapeError("A cache has at least one layer, one KV head and one number a head.")

    def bytes_per_token(self, dtype: str = "float16") -> int:
        """Bytes of keys and values of one token in all layers.

        Raises:
            ShapeError: The type is not one of `DTYPE_BYTES`.
        """
        return 2 * self.layers * self.kv_heads * self.head_dim * number_bytes(dtype)

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> CacheShape:
        """Read it from a `config.json` of transformers; a video model's decoder is its `text_config`.

        Raises:
            ShapeError: The configuration does not say how many layers, heads or numbers there are.
        """
        text = config.get("text_config", config)
        try:
            heads = int(text["num_attention_heads"])
            head_dim = text.get("head_dim") or int(text["hidden_size"]) // heads
            kv_heads = text.get("num_key_value_heads") or heads
            return cls(int(text["num_hidden_layers"]), int(kv_heads), int(head_dim))
        except KeyError as missing:
            raise ShapeError(f"The configuration does not say {missing.args[0]}.") from None


@dataclass(frozen=True)
class StateShape:
    """What decides how large the state of a recurrent model (Mamba-2) is; the length of the stream does not.

    A layer keeps a matrix of `head_dim` x `state` numbers a head, and the newest `kernel` inputs of its short convolution.

    Attributes:
        layers: Recurrent layers, at least 1.
        heads: Heads a layer, at least 1.
        head_dim: Channels a head, at least 1.
        state: Numbers that each channel remembers, at least 1.
        groups: Groups of heads that share their input and output projections of the state, at least 1.
        kernel: Inputs that the convolution sees, at least 1.
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
        """Bytes of the state of all layers, after one token as after a million.

        Raises:
            ShapeError: The type is not one of `DTYPE_BYTES`.
        """
        inner = self.heads * self.head_dim
        numbers = inner * self.state + (inner + 2 * self.groups * self.state) * self.kernel
        return self.layers * numbers * number_bytes(dtype)


def number_bytes(dtype: str) -> int:
    """Bytes of one number.

    Raises:
        ShapeError: The type is not one of `DTYPE_BYTES`.
    """
    if dtype not in DTYPE_BYTES:
        raise ShapeError(f"There is no cost for “{dtype}”. There is one for: {', '.join(DTYPE_BYTES)}.")
    return DTYPE_BYTES[dtype]


def cache_bytes(shape: CacheShape, tokens: int, dtype: str = "float16") -> int:
    """Bytes of keys and values of `tokens` tokens, held by every layer.

    Raises:
        ShapeError: The number of tokens is negative, or the type is unknown.
    """
    if tokens < 0:
        raise ShapeError(f"There cannot be {tokens} tokens.")
    return tokens * shape.bytes_per_token(dtype)
