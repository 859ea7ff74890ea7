"""Position re-indexing: new rotary positions for kept tokens, and the rotation of their keys (paper section 3.5).

Pure functions; positions are `[axes, tokens]` with one axis for 1D RoPE and three (time, row, column) for 3D M-RoPE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

RESERVE = 1024
"""Positions left free below the model's limit for a question and its answer (paper: max - 1024)."""

Reindexing = Literal["lazy", "eager"]


@dataclass(frozen=True)
class Rotary:
    """How a model's rotary embedding turns positions into angles.

    Attributes:
        frequencies: Inverse frequencies, float32 [head_dim / 2].
        axis: The position axis that drives each frequency, int64 [head_dim / 2]; all 0 for 1D RoPE.
    """

    frequencies: Tensor
    axis: Tensor

    @classmethod
    def from_sections(cls, frequencies: Tensor, sections: tuple[int, ...] | None = None) -> Rotary:
        """1D RoPE, or M-RoPE whose axes own consecutive `sections` of the frequencies (they add up to head_dim / 2)."""
        if sections is None:
            return cls(frequencies, torch.zeros_like(frequencies, dtype=torch.long))
        axes = torch.arange(len(sections), device=frequencies.device)
        return cls(frequencies, axes.repeat_interleave(torch.tensor(sections, device=frequencies.device)))

    def angles(self, positions: Tensor) -> Tensor:
        """Angles of `positions` [axes, tokens]: float32 [tokens, head_dim / 2]."""
        place = positions.device  # a large model's layers lie on several
        return positions.float()[self.axis.to(place)].T * self.frequencies.to(place)


def rotate(keys: Tensor, old: Tensor, new: Tensor, rotary: Rotary) -> Tensor:
    """Keys moved from `old` positions to `new` ones by the rotation of the difference; nothing is recomputed.

    `cos Δ = cos n cos o + sin n sin o`, `sin Δ = sin n cos o - cos n sin o`.

    Args:
        keys: Rotated keys [heads, tokens, head_dim].
        old: Their positions [axes, tokens].
        new: Positions they shall have [axes, tokens], or one for all [axes, 1].
        rotary: The model's rotary embedding.

    Returns:
        Keys as if they had been computed at `new`, same shape and dtype; the arithmetic is float32.
    """
    before, after = rotary.angles(old), rotary.angles(new)
    cos = after.cos() * before.cos() + after.sin() * before.sin()
    sin = after.sin() * before.cos() - after.cos() * before.sin()
    first, second = keys.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(keys.dtype)


def compact(positions: Tensor, prompt_len: int) -> Tensor:
    """New positions without gaps, in the old order; prompt positions stay as they are.

    1D RoPE: `0, 1, 2, …` from the prompt on. 3D M-RoPE: on each axis the sorted distinct values of the video tokens become
    `P, P+1, …`.

    Args:
        positions: Positions of a layer's tokens [axes, tokens], prompt first.
        prompt_len: Prompt tokens at the head, `P`.

    Returns:
        [axes, tokens], same dtype.
    """
    if positions.shape[0] == 1:
        return torch.arange(positions.shape[1], device=positions.device, dtype=positions.dtype)[None]
    result = positions.clone()
    for axis in range(positions.shape[0]):
        _, rank = torch.unique(positions[axis, prompt_len:], return_inverse=True)
        result[axis, prompt_len:] = (rank + prompt_len).to(positions.dtype)
    return result


def must_compact(positions: Tensor, mode: Reindexing, max_position: int) -> bool:
    """Whether positions have to be compacted now: always if eager, past `max_position - 1024` if lazy."""
    if mode == "eager":
        return True
    return positions.numel() > 0 and bool(positions.max() > max_position - RESERVE)


def fold(keys: Tensor, values: Tensor, old: Tensor, target: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor]:
    """Evicted tokens folded into one summary token: the mean of their values, and of their keys once re-rotated.

    Args:
        keys: Rotated keys of the evicted tokens [heads, tokens, head_dim], at least one token.
        values: Their values [heads, tokens, head_dim].
        old: Their positions [axes, tokens].
        target: The summary's position, the same on every axis: the layer's largest kept position + 1 [axes, 1].
        rotary: The model's rotary embedding.

    Returns:
        Key and value of the summary, each [heads, 1, head_dim].
    """
    moved = rotate(keys.float(), old, target, rotary)
    return moved.mean(1, keepdim=True).to(keys.dtype), values.float().mean(1, keepdim=True).to(values.dtype)
