"""The board's messages: differences must build the same board as a key frame, and bins must add up."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest

from hermes.snapshot import AnswerTrace, Snapshot
from ui.board.cells import Wanted
from ui.board.encoder import MAX_COLUMNS, BoardEncoder, room_for
from ui.board.history import HISTORY_BINS, RetentionHistory, bin_sum

LAYERS = 4
PER_FRAME = 9


def everything(_layer, _frame):
    return PER_FRAME


def snapshot(frames, sequence, keep=everything, answer=None):
    """A snapshot of `frames` frames; `keep` returns how many tokens of each frame a layer holds."""
    kept = np.array([[keep(layer, f) for f in range(frames)] for layer in range(LAYERS)], np.uint16).reshape(
        LAYERS, frames
    )
    tokens = int(kept.sum())
    counts = kept.sum(1)
    return Snapshot(
        sequence=sequence, model="m", policy="hermes", budget=90, guidance="forward", guidance_prompts={},
        seconds=frames / 2 - 0.5 if frames else float("nan"), grid=(3, 3), prompt_len=0,
        tiers=np.array([0, 1, 1, 2], np.int8), frame_times=np.arange(frames) / 2, kept=kept,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), frame=np.zeros(tokens, np.int32),
        patch=np.zeros(tokens, np.int16), kind=np.ones(tokens, np.int8), mass=np.ones(tokens, np.float32),
        position=np.zeros(tokens, np.float32), importance=np.zeros(tokens, np.float32),
        guidance_attention=np.zeros(tokens, np.float32), recency=np.zeros(tokens, np.float32),
        tokens_seen=frames * PER_FRAME, cache_bytes=tokens * 10, full_cache_bytes=frames * PER_FRAME * LAYERS * 10,
        answer=answer,
    )  # fmt: skip


class Browser:
    """The state in the browser: applies messages as `static/js/board/codec.js` does."""

    def __init__(self):
        self.seq = None
        self.thumbs = {}

    def receive(self, message):
        if message is None:
            return
        if message["base"] is None:
            self.thumbs = {}
            self.kept = np.zeros((message["meta"]["layers"], message["meta"]["columns"]), np.uint8)
            self.times = np.full(message["meta"]["columns"], np.nan, np.float32)
            self.history = {}
        else:
            assert message["base"] == self.seq
        self.seq = message["seq"]
        self.meta = message.get("meta") or self.meta
        if "columns" in message:
            index = np.frombuffer(base64.b64decode(message["columns"]["index"]), "<u2")
            values = np.frombuffer(base64.b64decode(message["columns"]["values"]), np.uint8)
            self.kept[:, index] = values.reshape(len(index), -1).T
            self.times[index] = np.frombuffer(base64.b64decode(message["columns"]["times"]), "<f4")
        for row in message.get("history", []):
            self.history[row["at"]] = np.frombuffer(base64.b64decode(row["values"]), np.uint8).reshape(4, -1)
        self.thumbs |= message.get("thumbs", {})


def encode(encoder, shot, acknowledged, duration=None, thumbnails=lambda _frames: {}, wanted=None):
    return encoder.encode(
        shot,
        acknowledged=acknowledged,
        duration=duration,
        fps=2.0,
        meters={"fps": 1.0},
        thumbnails=thumbnails,
        wanted=wanted,
    )


def forgetful(now):
    """A layer retains the newest frames; deeper layers retain them longer."""
    return lambda layer, frame: max(0, PER_FRAME - max(0, now - frame - 4 * (layer + 1)))


def test_differences_give_the_same_state_as_a_key_frame():
    encoder, browser = BoardEncoder(), Browser()
    for sequence, frames in enumerate(range(1, 90, 4)):
        shot = snapshot(frames, sequence, forgetful(frames))
        browser.receive(encode(encoder, shot, browser.seq, duration=60.0))
        assert np.array_equal(browser.kept[:, :frames], shot.kept)
        assert np.allclose(browser.times[:frames], shot.frame_times)
    fresh = Browser()
    message = encode(encoder, shot, None, duration=60.0)
    fresh.receive(message)
    assert message["base"] is None
    assert np.array_equal(fresh.kept, browser.kept)
    assert {at: row.tolist() for at, row in fresh.history.items()} == {
        at: row.tolist() for at, row in browser.history.items()
    }


def test_a_browser_that_missed_a_message_gets_a_key_frame():
    encoder = BoardEncoder()
    first = encode(encoder, snapshot(4, 0), None)
    second = encode(encoder, snapshot(5, 1), first["seq"])
    assert second["base"] == first["seq"]
    assert encode(encoder, snapshot(6, 2), first["seq"])["base"] is None


def test_nothing_new_is_no_message():
    encoder = BoardEncoder()
    shot = snapshot(4, 0)
    first = encode(encoder, shot, None)
    assert encode(encoder, shot, first["seq"]) is None


def test_an_unchanged_column_is_not_sent_again():
    encoder = BoardEncoder()
    first = encode(encoder, snapshot(40, 0), None, duration=60.0)
    second = encode(encoder, snapshot(41, 1), first["seq"], duration=60.0)
    assert np.frombuffer(base64.b64decode(second["columns"]["index"]), "<u2").tolist() == [40]


def test_a_stream_that_begins_again_empties_the_board():
    encoder, browser = BoardEncoder(), Browser()
    browser.receive(encode(encoder, snapshot(40, 7, forgetful(40)), None))
    message = encode(encoder, snapshot(2, 0), browser.seq)
    assert message["base"] is None
    assert message["frames"] == 2


@pytest.mark.parametrize(
    ("frames", "expected"), [(1, None), (61, None), (600, None), (601, None), (10_000, None), (5, 3600), (0, 1)]
)
def test_the_axis_has_room_and_is_never_too_fine(frames, expected):
    columns, size = room_for(frames, expected)
    assert columns * size >= max(frames, expected or 0, 1)
    assert columns <= MAX_COLUMNS
    assert size & (size - 1) == 0


def test_long_streams_are_binned_and_bins_add_up():
    encoder, browser = BoardEncoder(), Browser()
    shot = snapshot(2000, 0, forgetful(2000))
    browser.receive(encode(encoder, shot, None, duration=1000.0))
    size = browser.meta["bin"]
    assert size == 4
    assert np.array_equal(browser.kept[:, :500], bin_sum(shot.kept.astype(int), size))  # 36 tokens a column: exact
    assert np.allclose(browser.times[:500], shot.frame_times[::size])


def test_the_history_keeps_its_shape_on_a_longer_axis():
    history = RetentionHistory(HISTORY_BINS)
    for frames in range(1, HISTORY_BINS + 1):
        history.add(np.ones((3, frames), np.float32) * np.array([[0.2], [0.5], [1.0]], np.float32))
    wide = history.widened(HISTORY_BINS * 4)
    assert wide.step == 4
    assert [row.shape[1] for row in wide.rows] == list(range(1, HISTORY_BINS // 4 + 1))
    assert {int(value) for row in wide.rows for value in row[1]} == {128}
    assert wide.add(np.zeros((3, HISTORY_BINS + 1), np.float32)) == [HISTORY_BINS // 4]


def test_a_gap_in_the_history_is_filled():
    history = RetentionHistory(50)
    history.add(np.ones((3, 3), np.float32))
    assert history.add(np.ones((3, 9), np.float32)) == [3, 4, 5, 6, 7, 8]
    assert all(row.shape == (3, at + 1) for at, row in enumerate(history.rows))


def trace(frames):
    attention = np.zeros((LAYERS, frames), np.float32)
    attention[:, 1] = [0.1, 0.2, 0.3, 0.4]
    attention[:, 0] = 0.05
    return AnswerTrace(
        question="<b>q</b>", answer="a", asked_seconds=1.0, frames_seen=frames, first_token_seconds=0.01,
        attention=attention, attention_heads=attention[:, None], attention_patch=np.zeros(0, np.float32),
        attention_rest=np.tile(np.array([0.3, 0.1, 0.2], np.float32), (LAYERS, 1)), token_frame=np.zeros(0, np.int32),
        token_patch=np.zeros(0, np.int16), offsets=np.zeros(LAYERS + 1, np.int64),
    )  # fmt: skip


def test_an_answer_is_reported_once_and_again_in_key_frames():
    encoder = BoardEncoder()
    first = encode(encoder, snapshot(4, 0), None)
    assert "answer" not in first
    shot = snapshot(4, 1, answer=trace(4))
    second = encode(encoder, shot, first["seq"])
    values = np.frombuffer(base64.b64decode(second["answer"]["attention"]), np.uint8).reshape(LAYERS, 4)
    share = values / 255 * np.array(second["answer"]["largest"])[:, None]
    assert np.allclose(share, shot.answer.attention, atol=0.002)
    assert second["answer"]["rest"]["prompt"] == pytest.approx(0.3)
    assert "answer" not in (encode(encoder, replace(shot, sequence=2), second["seq"]) or {})
    assert encode(encoder, shot, None)["answer"]["question"] == "<b>q</b>"


def test_pictures_of_the_filmstrip_come_a_few_at_a_time_and_each_once():
    encoder, browser, sent = BoardEncoder(), Browser(), []
    shot = snapshot(120, 0)
    for _ in range(12):
        message = encode(
            encoder, shot, browser.seq, duration=60.0, thumbnails=lambda frames: dict.fromkeys(frames, b"jpeg"),
            wanted=Wanted(pictures=15),
        )  # fmt: skip
        browser.receive(message)
        sent.extend((message or {}).get("thumbs", {}))
    assert [int(frame) // 9 for frame in sent] == list(range(14)), "one picture a slot"
    held = shot.kept.sum(0)
    for frame in map(int, sent):
        assert held[frame] == held[frame // 9 * 9 : frame // 9 * 9 + 9].max(), "the one of which most is held"


def test_messages_stay_small():
    """28 layers x 600 columns: a key frame below 60 kB, a difference a fraction of it."""
    layers, frames = 28, 600
    generator = np.random.default_rng(0)
    kept = generator.integers(0, 10, (layers, frames)).astype(np.uint16)
    shot = replace(
        snapshot(frames, 0), kept=kept, tiers=np.repeat(np.array([0, 1, 2], np.int8), [2, 17, 9]),
        offsets=np.concatenate([[0], np.cumsum(kept.sum(1))]).astype(np.int64), kind=np.ones(int(kept.sum()), np.int8),
    )  # fmt: skip
    encoder = BoardEncoder()
    key = encode(encoder, shot, None, duration=300.0)
    assert len(json.dumps(key)) < 60_000
