"""Reading a session's memory into a `Snapshot`: the one place where the cache's tensors become numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hermes.memory.cache import FRAME, GUIDANCE, IMPORTANCE, KIND, MASS, PATCH, RECENCY, SECONDS, MemoryCache
from hermes.snapshot import VISION, Snapshot

if TYPE_CHECKING:
    from hermes.session import StreamSession


def take_snapshot(session: StreamSession) -> Snapshot:
    """What the session's memory holds now; arrays of its own, so it never changes afterwards."""
    model, history = session.model, session._history  # noqa: SLF001 - the record of a session is made here
    cache = session._cache or MemoryCache([])  # noqa: SLF001
    held = [layer.held() for layer in cache.layers]
    if held:
        labels = torch.cat([layer.labels for layer in held], dim=1).cpu().numpy()
        figures = torch.cat([layer.figures for layer in held], dim=1).cpu().numpy()
        positions = torch.cat([layer.positions[0] for layer in held]).cpu().numpy()
    else:
        labels, figures, positions = np.zeros((3, 0), np.int32), np.zeros((5, 0), np.float32), np.zeros(0)
    lengths = [layer.length for layer in cache.layers] or [0] * model.num_layers
    layer_of = np.repeat(np.arange(model.num_layers), lengths)
    frames = len(history.times)
    seen = labels[KIND] == VISION
    kept = np.bincount(layer_of[seen] * frames + labels[FRAME][seen], minlength=model.num_layers * frames)
    policy = session.policy
    return Snapshot(
        sequence=history.sequence,
        model=model.card.name,
        policy=policy.name,
        budget=policy.budget if policy.has_budget else -1,
        guidance=str(getattr(policy, "guidance", "none")),
        guidance_prompts=policy.guidance_prompts(model.card.guidance),
        seconds=history.times[-1] if history.times else float("nan"),
        grid=session.layout.grid,
        prompt_len=cache.prompt_len,
        tiers=np.asarray(model.tiers, np.int8),
        frame_times=np.asarray(history.times, np.float64),
        kept=kept.reshape(model.num_layers, frames).astype(np.uint16),
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
        evictions=tuple(history.evictions),
        answer=history.answer,
        token_seconds=figures[SECONDS].astype(np.float32),
        tiered=policy.has_tiers,
    )
