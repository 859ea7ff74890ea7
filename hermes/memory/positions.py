"""Position re-indexing: new rotary positions for kept tokens, and the rotation of their keys (paper section 3.5).

Pure functions. Positions are `[axes, tokens]`, with one axis for 1D RoPE and three (time, row, column) for 3D M-RoPE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

RESERVE = 1024
"""Positions reserved below the model's limit for a question and its answer (paper: max - 1024)."""

Reindexing = Literal["lazy", "eager"]


@dataclass(frozen=True)
class Rotary:
    """A model's rotary embedding: maps positions to angles.

    Attributes:
        frequencies: Inverse frequencies, float32 [rotated / 2], where `rotated` is the number of leading dimensions of a
            key that are rotated: `head_dim`, or fewer for partial RoPE.
        axis: Position axis of each frequency, int64 [rotated / 2]; all 0 for 1D RoPE.
        adjacent: Whether a frequency rotates two adjacent dimensions; otherwise, one dimension of the first half and one
            of the second half.
    """

    frequencies: Tensor
    axis: Tensor
    adjacent: bool = False

    @classmethod
    def from_sections(
        cls, frequencies: Tensor, sections: tuple[int, ...] | None = None, *, adjacent: bool = False
    ) -> Rotary:
        """Create 1D RoPE, or M-RoPE whose axes use consecutive `sections` of the frequencies (their sum: rotated / 2)."""
        if sections is None:
            return cls(frequencies, torch.zeros_like(frequencies, dtype=torch.long), adjacent)
        axes = torch.arange(len(sections), device=frequencies.device)
        return cls(frequencies, axes.repeat_interleave(torch.tensor(sections, device=frequencies.device)), adjacent)

    @classmethod
    def interleaved(cls, frequencies: Tensor, sections: Sequence[int]) -> Rotary:
        """Create M-RoPE whose three axes take turns, as in Qwen3-VL; the first axis takes what the others leave."""
        index = torch.arange(len(frequencies), device=frequencies.device)
        axis = torch.zeros_like(index)
        for number in (1, 2):
            axis[(index % 3 == number) & (index < 3 * sections[number])] = number
        return cls(frequencies, axis)

    def angles(self, positions: Tensor) -> Tensor:
        """Angles of `positions` [axes, tokens]: float32 [tokens, rotated / 2]."""
        device = positions.device  # the layers of a large model are on several devices
        return positions.float()[self.axis.to(device)].T * self.frequencies.to(device)


def rotate(keys: Tensor, old: Tensor, new: Tensor, rotary: Rotary) -> Tensor:
    """Rotate keys from `old` to `new` positions by the difference of the angles, without recomputing them.

    `cos Δ = cos n cos o + sin n sin o`, `sin Δ = sin n cos o - cos n sin o`.

    Args:
        keys: Rotated keys [heads, tokens, head_dim].
        old: Current positions [axes, tokens].
        new: New positions [axes, tokens], or one for all tokens [axes, 1].
        rotary: The model's rotary embedding.

    Returns:
        Keys as if computed at `new`, same shape and dtype; computed in float32.
    """
    before, after = rotary.angles(old), rotary.angles(new)
    cos = after.cos() * before.cos() + after.sin() * before.sin()
    sin = after.sin() * before.cos() - after.cos() * before.sin()
    turned = 2 * cos.shape[-1]
    wide, rest = keys[..., :turned].float(), keys[..., turned:]
    first, second = (wide[..., 0::2], wide[..., 1::2]) if rotary.adjacent else wide.chunk(2, dim=-1)
    parts = (first * cos - second * sin, second * cos + first * sin)
    moved = torch.stack(parts, dim=-1).flatten(-2) if rotary.adjacent else torch.cat(parts, dim=-1)
    return torch.cat((moved.to(keys.dtype), rest), dim=-1) if rest.shape[-1] else moved.to(keys.dtype)


def compact(positions: Tensor, prompt_len: int) -> Tensor:
    """Return positions without gaps, in the same order; prompt positions are unchanged.

    1D RoPE: `0, 1, 2, …`, prompt included. 3D M-RoPE: on each axis, the sorted distinct values of the video tokens become
    `P, P+1, …`.

    Args:
        positions: Positions of a layer's tokens [axes, tokens], prompt first.
        prompt_len: Number of prompt tokens, `P`.

    Returns:
        [axes, tokens], same dtype.
    """
    if positions.shape[0] == 1:
        return torch.arange(positions.shape[1], device=positions.device, dtype=positions.dtype)[None]
    ordered, order = positions[:, prompt_len:].sort(dim=1)
    first = torch.zeros_like(ordered)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ranks = torch.empty_like(ordered).scatter_(
        1, order, first.cumsum(1, dtype=ordered.dtype)
    )  # without a synchronisation
    return torch.cat((positions[:, :prompt_len], ranks + prompt_len), dim=1)


def must_compact(positions: Tensor, mode: Reindexing, max_position: int) -> bool:
    """Return whether positions must be compacted now: always if eager, beyond `max_position - 1024` if lazy."""
    if mode == "eager":
        return True
    return positions.numel() > 0 and bool(positions.max() > max_position - RESERVE)


def merge_into_summary(
    keys: Tensor, values: Tensor, old: Tensor, target: Tensor, rotary: Rotary
) -> tuple[Tensor, Tensor]:
    """Merge evicted tokens into one summary token: the mean of their values and of their re-rotated keys.

    Args:
        keys: Rotated keys of the evicted tokens [heads, tokens, head_dim], at least one token.
        values: Values of the evicted tokens [heads, tokens, head_dim].
        old: Positions of the evicted tokens [axes, tokens].
        target: Position of the summary token: the layer's largest kept position + 1 on every axis [axes, 1].
        rotary: The model's rotary embedding.

    Returns:
        Key and value of the summary token, each [heads, 1, head_dim].
    """
    moved = rotate(keys.float(), old, target, rotary)
    return moved.mean(1, keepdim=True).to(keys.dtype), values.float().mean(1, keepdim=True).to(values.dtype)
