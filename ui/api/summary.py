"""What an endpoint returns of a stream: plain JSON values."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from hermes.snapshot import TIERS, Snapshot
from hermes.view import LiveView

MAX_ATTENDED: Final = 3
"""Number of frames that an answer reports as most attended."""


def _number(value: float | None, digits: int = 3) -> float | None:
    """Return a rounded number; None for None and for numbers that JSON cannot represent."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def status_of(view: LiveView | None) -> dict[str, Any]:
    """Return the state of a stream; None stands for a visitor without a stream."""
    if view is None:
        return {"state": "empty", "source": "", "seconds": None, "duration": None, "frames_seen": 0, "dropped": 0}
    return {
        "state": view.state,
        "source": view.source,
        "seconds": _number(view.clock),
        "duration": _number(view.duration),
        "frames_seen": view.snapshot.frames_seen if view.snapshot is not None else 0,
        "dropped": view.dropped,
        "error": view.error,
        "notes": list(view.notes),
    }


def memory_of(snapshot: Snapshot) -> dict[str, Any]:
    """Return what the memory retains: the number of tokens per layer, and per layer of every frame that has any.

    `frames` is a list of {frame, seconds, tokens}; `tokens` has one number per entry of `layers`.
    """
    layers = [
        {"layer": number, "tier": TIERS[tier] if snapshot.tiered else None, "tokens": int(tokens)}
        for number, tier, tokens in zip(
            snapshot.layer_numbers, snapshot.tiers.tolist(), snapshot.kept_per_layer.tolist(), strict=True
        )
    ]
    retained = np.flatnonzero(snapshot.kept.any(0)) if snapshot.kept.size else np.zeros(0, np.int64)
    frames = [
        {"frame": int(frame), "seconds": _number(seconds), "tokens": tokens}
        for frame, seconds, tokens in zip(
            retained.tolist(),
            snapshot.frame_times[retained].tolist(),
            snapshot.kept[:, retained].T.tolist(),
            strict=True,
        )
    ]
    return {
        "model": snapshot.model,
        "policy": snapshot.policy,
        "budget": snapshot.budget if snapshot.budget >= 0 else None,
        "seconds": _number(snapshot.seconds),
        "frames_seen": snapshot.frames_seen,
        "tokens_per_frame": snapshot.tokens_per_frame,
        "cache_bytes": snapshot.cache_bytes,
        "full_cache_bytes": snapshot.full_cache_bytes,
        "layers": layers,
        "frames": frames,
    }


def attended_of(snapshot: Snapshot, question: str) -> list[dict[str, Any]]:
    """Return the frames that the answer to `question` attended to most: {frame, seconds, share}.

    `share` is the mean over layers. Empty if the last answer belongs to another question.
    """
    answer, times = snapshot.answer, snapshot.frame_times
    if answer is None or answer.question != question.strip():
        return []
    shares = answer.attention.mean(0)[: len(times)]
    most = np.argsort(shares)[::-1][:MAX_ATTENDED]
    return [
        {"frame": int(frame), "seconds": _number(float(times[frame])), "share": _number(float(shares[frame]), 4)}
        for frame in most
        if shares[frame] > 0
    ]
