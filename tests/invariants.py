"""What must hold of every memory, whatever its policy: checked on a snapshot, reused by many tests."""

from __future__ import annotations

import numpy as np

from hermes.snapshot import PROMPT, SUMMARY, TEXT, VISION


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
        assert ((frame[kind == TEXT] >= 0) & (patch[kind == TEXT] == -1)).all(), "text stands beside frames"
        assert ((frame[vision] >= 0) & (frame[vision] < snapshot.frames_seen)).all(), "kept is a subset of seen"
        assert ((patch[vision] >= 0) & (patch[vision] < snapshot.tokens_per_frame)).all()
        np.testing.assert_array_equal(patch[vision], layer["row"][vision] * snapshot.grid[1] + layer["column"][vision])
        times = snapshot.frame_times[frame[vision]].astype(np.float32)
        np.testing.assert_array_equal(layer["token_seconds"][vision], times, "every token has its frame's time")
        where = frame[vision] * snapshot.tokens_per_frame + patch[vision]
        assert (np.diff(where) > 0).all(), "tokens lie in stream order, none twice"
        rises = np.diff(position) >= 0 if axes > 1 else np.diff(position) > 0
        assert rises.all(), "positions rise in stream order"
        assert position.max() < max_positions, "positions stay inside the model's range"
        if snapshot.budget >= 0:
            assert len(kind) - prompt <= snapshot.budget, "no layer is over its budget"
        assert (layer["mass"][kind != SUMMARY] == 1).all()
        assert (layer["mass"][kind == SUMMARY] > 1).all() or not (kind == SUMMARY).any()
        np.testing.assert_array_equal(
            snapshot.kept[index], np.bincount(frame[vision], minlength=snapshot.frames_seen)[: snapshot.frames_seen]
        )
    assert snapshot.tokens_seen >= snapshot.frames_seen * snapshot.tokens_per_frame


def check_answer(snapshot, said: str, question: str) -> None:
    """Assert that the last answer is on record as it was said, with where its attention went."""
    trace = snapshot.answer
    assert trace is not None, "an answer leaves a trace"
    assert (trace.question, trace.answer) == (question, said.strip())
    assert trace.first_token_seconds > 0
    read = trace.attention.sum(1)
    assert (read > 0).all(), "every layer reads something of the frames"
    np.testing.assert_allclose(read + trace.attention_rest.sum(1), 1, atol=1e-2)
    np.testing.assert_allclose(trace.attention_heads.mean(1), trace.attention, atol=1e-5)
