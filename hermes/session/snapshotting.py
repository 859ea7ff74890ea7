"""Copies a session's memory into a `Snapshot` of numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hermes.memory.cache import MemoryCache
from hermes.memory.devices import together
from hermes.memory.heads import tokens_by_head
from hermes.memory.layer import FIRST, FRAME, GUIDANCE, IMPORTANCE, KIND, MASS, PATCH, RECENCY, SECONDS, LayerMemory
from hermes.snapshot import TEXT, Snapshot

if TYPE_CHECKING:
    from hermes.session.stream_session import StreamSession


def take_snapshot(session: StreamSession) -> Snapshot:
    """Return a snapshot of the session's memory. Its arrays are copies, so it never changes."""
    model, history = session.model, session.state.history
    cache = session.state.cache or MemoryCache([])
    held = [_read_layer(layer) for layer in cache.layers]
    if held:
        labels = torch.cat(together([layer.labels for layer in held]), dim=1).cpu().numpy()
        figures = torch.cat(together([layer.figures for layer in held]), dim=1).cpu().numpy()
        positions = torch.cat(together([layer.positions for layer in held])).cpu().numpy()
        held_by = torch.cat(together([layer.held_by for layer in held])).cpu().numpy()
    else:
        labels, figures = np.zeros((4, 0), np.int32), np.zeros((5, 0), np.float32)
        positions = held_by = np.zeros(0, np.float32)
    lengths = [len(layer.positions) for layer in held] or [0] * model.num_layers
    layer_of = np.repeat(np.arange(model.num_layers), lengths)
    frames = len(history.times)
    seen = (labels[FRAME] >= 0) & (labels[KIND] != TEXT)
    kept = np.zeros((model.num_layers, frames), np.uint16)
    for layer in range(len(held)):  # one layer at a time, to save memory: a stream may have many frames
        own = seen & (layer_of == layer)
        share = np.bincount(labels[FRAME][own], held_by[own], minlength=frames)
        kept[layer] = np.maximum(np.rint(share), share > 0)
    by_head = any(layer.heads is not None for layer in cache.layers)
    policy, state = session.policy, session.state.policy_state
    return Snapshot(
        sequence=history.sequence,
        model=model.card.name,
        policy=policy.name,
        budget=-1 if policy.held_limit is None else policy.held_limit,
        guidance=str(getattr(policy, "guidance", "none")),
        guidance_prompts=policy.guidance_prompts(model.card.guidance),
        seconds=history.times.newest,
        grid=session.layout.grid,
        prompt_len=cache.prompt_len,
        tiers=np.asarray(model.tiers, np.int8),
        frame_times=history.times.array,
        kept=kept,
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
        frame=labels[FRAME].astype(np.int32),
        patch=labels[PATCH].astype(np.int16),
        kind=labels[KIND].astype(np.int8),
        mass=figures[MASS].astype(np.float32),
        position=positions.astype(np.float32),
        importance=figures[IMPORTANCE].astype(np.float32),
        guidance_attention=figures[GUIDANCE].astype(np.float32),
        recency=figures[RECENCY].astype(np.float32),
        tokens_seen=session.stats.tokens_seen,
        cache_bytes=cache.nbytes,
        full_cache_bytes=(session.stats.tokens_seen + cache.prompt_len) * model.bytes_per_token,
        evictions=history.evictions.view(),
        answer=history.answer,
        token_seconds=figures[SECONDS].astype(np.float32),
        tiered=policy.has_tiers,
        archive_bytes=state.archive_bytes,
        archived=state.archived(model.num_layers, frames).cpu().numpy().astype(np.uint16),
        first_frame=labels[FIRST].astype(np.int32),
        held_by=held_by.astype(np.float32) if by_head else np.zeros(0, np.float32),
        state_layers=model.state_layers,
        state_bytes=cache.state_bytes,
    )


@dataclass(frozen=True)
class _Held:
    """The distinct tokens of one layer: labels [4, tokens], figures [5, tokens], positions and shares of heads [tokens]."""

    labels: Tensor
    figures: Tensor
    positions: Tensor
    held_by: Tensor


def _read_layer(layer: LayerMemory) -> _Held:
    """Read a layer's tokens. If heads hold different tokens: the union over heads, with means over the holding heads."""
    labels, index = tokens_by_head(layer)
    if index is None or layer.heads is None:
        held = layer.held()
        return _Held(labels, held.figures, held.positions[0].float(), held.figures.new_ones(layer.length))
    tables = torch.cat((layer.heads.figures, layer.heads.positions[:, :1].float()), dim=1)[..., : layer.length]
    sums = tables.new_zeros(tables.shape[1], labels.shape[1])
    sums.index_add_(1, index.flatten(), tables.transpose(0, 1).flatten(1))
    holders = torch.bincount(index.flatten(), minlength=labels.shape[1])
    means = sums / holders
    return _Held(labels, means[:-1], means[-1], holders / len(index))
