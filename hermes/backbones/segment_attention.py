"""Attention of vision towers whose tokens form independent segments (frames, windows): one call per segment length.

transformers calls its fused kernel once per segment, which is thousands of calls per chunk in a tower with windows. It
passes the segments' boundaries only to implementations with "flash" in their name, hence the name of this one. Segments of
equal length are stacked as a batch; a tower has few different lengths.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

NAME: Final = "hermes_flash_segments"
GROUPS: Final = "_hermes_groups"


def segment_attention(
    module: nn.Module,  # noqa: ARG001 - transformers' signature
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Compute attention within segments, with the signature of transformers.

    Args:
        module: The attention module.
        query: [1, heads, tokens, head_dim].
        key: [1, heads, tokens, head_dim].
        value: [1, heads, tokens, head_dim].
        attention_mask: Not used; all tokens of a segment see each other.
        scaling: Factor of the scores.
        cu_seq_lens_q: Start of each segment, then the number of tokens [segments + 1]; None: one segment.
        max_length_q: Length of the longest segment.

    Returns:
        Output [1, tokens, heads, head_dim], and None.
    """
    tokens = query.shape[2]
    if cu_seq_lens_q is None or max_length_q == tokens:
        return F.scaled_dot_product_attention(query, key, value, scale=scaling).transpose(1, 2), None
    segments = len(cu_seq_lens_q) - 1
    if segments * (max_length_q or 0) == tokens:  # all have this length
        q, k, v = (part[0].unflatten(1, (segments, -1)).transpose(0, 1) for part in (query, key, value))
        found = F.scaled_dot_product_attention(q, k, v, scale=scaling)
        return found.transpose(1, 2).flatten(0, 1)[None], None
    output = torch.empty_like(query[0])
    for index, length in _groups(cu_seq_lens_q):
        q, k, v = (part[0, :, index].unflatten(1, (-1, length)).transpose(0, 1) for part in (query, key, value))
        found = F.scaled_dot_product_attention(q, k, v, scale=scaling)
        output[:, index] = found.transpose(0, 1).flatten(1, 2)
    return output.transpose(0, 1)[None], None


def _groups(boundaries: Tensor) -> list[tuple[Tensor, int]]:
    """Return the tokens of all segments of each length, and that length; computed once for the tensor `boundaries`."""
    found: list[tuple[Tensor, int]] | None = getattr(boundaries, GROUPS, None)
    if found is None:
        starts, lengths = boundaries[:-1].long(), boundaries.diff()
        found = [
            ((starts[lengths == length, None] + torch.arange(length, device=starts.device)).flatten(), length)
            for length in sorted(set(lengths.tolist()) - {0})
        ]
        setattr(boundaries, GROUPS, found)  # all layers of a forward pass share this tensor: synchronise once
    return found


AttentionInterface.register(NAME, segment_attention)


def use_segments(vision_config: Any) -> None:
    """Make a tower use this function, unless it uses FlashAttention, which handles segments itself."""
    if "flash" not in (vision_config._attn_implementation or ""):  # noqa: SLF001 - transformers' own switch
        vision_config._attn_implementation = NAME  # noqa: SLF001
