"""Invariants of every memory under any policy, checked on a snapshot and reused by many tests."""

from __future__ import annotations

import numpy as np

from hermes.memory.layer import FRAME, KIND, PATCH
from hermes.snapshot import PROMPT, TEXT, VISION


def check_memory(snapshot, max_positions: int, axes: int = 1) -> None:
    """Assert the invariants of a snapshot."""
    for index in range(snapshot.num_layers):
        layer = snapshot.layer(index)
        kind, frame, patch, position = layer["kind"], layer["frame"], layer["patch"], layer["position"]
        prompt = snapshot.prompt_len
        assert (kind[:prompt] == PROMPT).all(), "the prompt is never evicted"
        assert (kind[prompt:] != PROMPT).all()
        np.testing.assert_array_equal(position[:prompt], np.arange(prompt))
        vision = kind == VISION
        assert ((frame[kind == TEXT] >= 0) & (patch[kind == TEXT] == -1)).all(), "text has no frame and patch"
        assert ((frame[vision] >= 0) & (frame[vision] < snapshot.frames_seen)).all(), "kept is a subset of seen"
        assert ((patch[vision] >= 0) & (patch[vision] < snapshot.tokens_per_frame)).all()
        np.testing.assert_array_equal(patch[vision], layer["row"][vision] * snapshot.grid[1] + layer["column"][vision])
        span = slice(snapshot.offsets[index], snapshot.offsets[index + 1])
        first = snapshot.first_frame[span]
        assert (
            (first[prompt:] >= 0) & (first[prompt:] <= np.where(frame < 0, snapshot.frames_seen, frame)[prompt:])
        ).all()
        times = snapshot.frame_times.astype(np.float32)
        alone = vision & (layer["mass"] == 1)
        seconds = layer["token_seconds"]
        np.testing.assert_array_equal(seconds[alone], times[frame[alone]], "every token has its frame's time")
        merged = vision & (layer["mass"] > 1)
        slack = 1e-5 * (1 + times[frame[merged]])
        assert (seconds[merged] <= times[frame[merged]] + slack).all(), "a merged token has a time of its frames"
        assert (seconds[merged] >= times[first[merged]] - slack).all()
        where = frame[vision] * snapshot.tokens_per_frame + patch[vision]
        assert (np.diff(where) > 0).all(), "tokens lie in stream order, none twice"
        held_by = snapshot.held_by[span] if len(snapshot.held_by) else np.ones(len(kind), np.float32)
        assert ((held_by > 0) & (held_by <= 1)).all()
        rises = np.diff(position) >= 0 if axes > 1 else np.diff(position) > 0
        assert rises.all() or len(snapshot.held_by), "positions rise in stream order, unless they are means over heads"
        assert position.max() < max_positions, "positions stay inside the model's range"
        if snapshot.budget >= 0:
            assert held_by[prompt:].sum() <= snapshot.budget + 1e-3, "no layer is over its budget"
        assert (layer["mass"] >= 1).all()
        assert (layer["mass"][kind == TEXT] == 1).all()
        of_frames = (frame >= 0) & (kind != TEXT)
        share = np.bincount(frame[of_frames], held_by[of_frames], snapshot.frames_seen)
        np.testing.assert_array_equal(snapshot.kept[index], np.maximum(np.rint(share), share > 0))
    assert snapshot.tokens_seen >= snapshot.frames_seen * snapshot.tokens_per_frame


def check_heads(session) -> None:
    """Check a memory whose heads hold different tokens; a snapshot only contains means over the heads."""
    for layer in session.state.cache.layers:
        if layer.heads is None:
            continue
        prompt = session.state.cache.prompt_len
        table = layer.heads.held(0, layer.length)
        assert layer.length - prompt <= session.policy.budget, "no head is over its budget"
        for positions, labels in zip(table.positions, table.labels, strict=True):
            np.testing.assert_array_equal(positions[:, :prompt], np.arange(prompt)[None].repeat(len(positions), 0))
            steps = np.diff(
                positions[0, prompt:].numpy()
            )  # of three axes, time; rows and columns come again in each frame
            assert (steps > 0).all() if len(positions) == 1 else (steps >= 0).all(), "a head's positions rise"
            where = labels[FRAME].long() * (1 << 20) + labels[PATCH].long()
            vision = labels[KIND] == VISION
            assert (np.diff(where[vision].numpy()) > 0).all(), "a head holds no token twice"
            assert (labels[KIND, prompt:] != PROMPT).all()


def check_answer(snapshot, message: str, question: str) -> None:
    """Assert that the last answer and its attention are recorded."""
    trace = snapshot.answer
    assert trace is not None, "an answer leaves a trace"
    assert (trace.question, trace.answer) == (question, message.strip())
    assert trace.first_token_seconds > 0
    read = trace.attention.sum(1)
    layer = np.repeat(np.arange(len(read)), np.diff(trace.offsets))
    with_frames = np.bincount(layer[trace.token_frame >= 0], minlength=len(read)) > 0
    assert (read[with_frames] > 0).all(), "every layer that holds frames reads something of them"
    assert (read + trace.attention_rest[:, 1] > 0).all(), "every layer reads something of the video"
    np.testing.assert_allclose(read + trace.attention_rest.sum(1), 1, atol=1e-2)
    np.testing.assert_allclose(trace.attention_heads.mean(1), trace.attention, atol=1e-5)
