"""Eviction from one layer: retention, the summary token and re-indexing (paper sections 3.4 and 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor

from hermes.memory.layer import FIRST, MASS, SECONDS, LayerMemory, Provenance
from hermes.memory.positions import Rotary, compact, merge_into_summary, rotate
from hermes.snapshot import SUMMARY


def evict(layer: LayerMemory, kept: Tensor, prompt_len: int, rotary: Rotary, *, summary: bool, compacted: bool) -> int:
    """Evict tokens of a layer: retention, summary token and re-indexing (paper sections 3.4 and 3.5).

    Args:
        layer: The layer, modified in place.
        kept: Tokens to keep: indices into the whole layer, prompt included, int64, ascending.
        prompt_len: Number of prompt tokens at the start of the layer.
        rotary: The model's rotary embedding.
        summary: Whether to merge the evicted tokens into one summary token after the kept ones.
        compacted: Whether to compact the positions of the kept tokens.

    Returns:
        Number of evicted tokens.
    """
    kept = kept.to(layer.keys.device)
    count = layer.length - kept.shape[0]
    evicted = None
    if summary and count:
        stays = torch.zeros(layer.length, dtype=torch.int8, device=kept.device)
        stays[kept] = 1
        evicted = stays.sort(stable=True).indices[:count]  # without a synchronisation
        evicted_tokens = layer.copy_of(evicted)
        figures = evicted_tokens.figures
    layer.retain(kept)
    if compacted:
        reindex(layer, prompt_len, rotary)
    if evicted is not None:
        position = layer.positions[:, : layer.length].amax() + 1
        target = position.expand(layer.positions.shape[0], 1)
        key, value = _merge(evicted_tokens, target, rotary)
        label = Provenance.of_text(1, kept.device, SUMMARY)
        label.figures[MASS] = figures[MASS].sum()
        label.figures[SECONDS] = (figures[SECONDS] * figures[MASS]).sum() / figures[MASS].sum()
        label.labels[FIRST] = evicted_tokens.labels[FIRST].amin()
        layer.append(key, value, target, label)
    return count


def _merge(tokens: LayerMemory, target: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor]:
    if tokens.heads is None:
        return merge_into_summary(tokens.keys, tokens.values, tokens.positions, target, rotary)
    moved = tokens.heads.rotate(tokens.keys.float(), target.expand(len(tokens.keys), -1, -1), rotary)
    key, value = moved.mean(1, keepdim=True), tokens.values.float().mean(1, keepdim=True)
    return key.to(tokens.keys.dtype), value.to(tokens.values.dtype)


def reindex(layer: LayerMemory, prompt_len: int, rotary: Rotary) -> None:
    """Compact a layer's positions and rotate its keys to match, in place (paper section 3.5)."""
    layer.reserve(0)
    layer.intact = False
    held = layer.held()
    if held.heads is not None:
        layer.keys[:, : layer.length] = held.heads.compacted(held.keys, prompt_len, rotary)
        layer.positions[:, : layer.length] = held.heads.positions.amax(0)
        return
    new = compact(held.positions, prompt_len)
    layer.keys[:, : layer.length] = rotate(held.keys, held.positions, new, rotary)
    layer.positions[:, : layer.length] = new
