"""The columns of a comparison: the frames of each, and the tokens that a memory holds and reads of them."""

from __future__ import annotations

import numpy as np

from hermes.session.stream_session import StreamSession
from ui.lab.lanes import MAX_COLUMNS, Axis, held, spots


def test_columns_are_frames_until_there_are_too_many():
    assert Axis.of(10, 20.0, 2.0) == Axis(40, 40)
    assert Axis.of(10, None, 2.0) == Axis(10, 10)
    long = Axis.of(10, 1800.0, 2.0)
    assert long == Axis(3600, MAX_COLUMNS)
    assert long.of_frames(3600)[[0, 22, 23, 3599]].tolist() == [0, 0, 1, MAX_COLUMNS - 1]


def test_tokens_held_and_read_by_column(tiny_model, noise):
    session = StreamSession(tiny_model, policy="sliding-window", budget=3 * tiny_model.tokens_per_frame)
    session.push(*noise(8))
    "".join(session.ask("What?", max_new_tokens=2))
    snapshot = session.snapshot()
    axis = Axis(16, 8)  # two frames a column, half the clip seen
    shares = held(snapshot, axis)
    assert shares.shape == (tiny_model.num_layers, 8)
    assert np.array_equal(shares[0], [0, 0, 127, 254, 255, 255, 255, 255])
    looked = spots(snapshot, axis)
    assert looked.max() == 255
    assert not looked[:2].any()
    assert not looked[4:].any()
