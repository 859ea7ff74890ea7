"""Sessions of a tiny model with any policy, and what their memory and answers contain."""

from __future__ import annotations

import numpy as np

import hermes
from hermes.snapshot import VISION

P = 4  # tokens of a frame of the tiny model


def session_of(model, policy, budget=40, chunk=4, **changed):
    return hermes.StreamSession(model, policy=policy, budget=budget, chunk=chunk, changed=changed)


def still(count, seed, start=0):
    """One picture of noise, `count` times."""
    frame = np.random.default_rng(seed).integers(0, 256, (1, 24, 32, 3), dtype=np.uint8)
    return frame.repeat(count, 0), start + np.arange(count) / 2


def frames_of(session, layer=0):
    table = session.snapshot().layer(layer)
    return sorted(set(table["frame"][table["kind"] == VISION].tolist()))


def read_frames(trace, layer):
    """Frames whose tokens an answer could read in a layer."""
    frames = trace.token_frame[trace.offsets[layer] : trace.offsets[layer + 1]]
    return sorted(set(frames[frames >= 0].tolist()))
