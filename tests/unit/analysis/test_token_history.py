"""Token history: records agree with the memory, and thinning loses only the scores of retained tokens."""

from __future__ import annotations

import numpy as np
import pytest

import hermes
from hermes.analysis.token_history import UNSCORED, ScoreRecord, TokenHistoryLog, from_bytes, to_bytes, token_history_of
from hermes.snapshot import SUMMARY

FRAMES = 80
BUDGET = 128


@pytest.fixture(scope="module")
def payload(pocket):
    """A stream of the shipped model, and a snapshot after every push of four frames."""
    session = hermes.StreamSession(pocket, "hermes", budget=BUDGET, chunk=4)
    generator = np.random.default_rng(3)
    shots = []
    for first in range(0, FRAMES, 4):
        frames = generator.integers(0, 256, (4, 48, 64, 3), dtype=np.uint8)
        session.push(frames, np.arange(first, first + 4) / 2)
        shots.append(session.snapshot())
    return session, shots


def test_a_record_an_eviction(payload):
    session, shots = payload
    records = session.token_history.records
    assert [r.sequence for r in records] == [e.sequence for e in shots[-1].evictions]
    for record, eviction in zip(records, shots[-1].evictions, strict=True):
        gone = np.bincount(record.layer_of[~record.kept], minlength=record.num_layers)
        assert np.array_equal(gone, eviction.evicted)
        assert np.array_equal(record.merged, eviction.merged > 0)
        assert (record.frames_seen, record.seconds) == (eviction.frames_seen, eviction.seconds)


def test_the_history_of_every_frame_agrees_with_the_snapshots(payload):
    session, shots = payload
    after = {shot.sequence: shot for shot in shots}
    for frame in range(FRAMES):
        history = token_history_of(session.token_history.records, frame)
        at = [r.sequence for r in session.token_history.records if r.frames_seen > frame]
        assert history.held.shape == (10, len(at))
        for m, sequence in enumerate(at):
            assert np.array_equal(history.held[:, m], after[sequence].kept[:, frame])
        assert np.array_equal(np.isnan(history.left).sum(1), shots[-1].kept[:, frame])
        assert not history.missed


def test_scores_are_those_of_the_snapshot(payload):
    """The last record's score of a token that is still there is the one that the snapshot shows."""
    session, shots = payload
    last = shots[-1]
    for layer in range(10):
        part = last.layer(layer)
        newest = token_history_of(session.token_history.records, int(part["frame"].max()))
        for frame in np.unique(part["frame"][part["frame"] >= 0])[:3]:
            history = token_history_of(session.token_history.records, int(frame))
            mine = part["frame"] == frame
            told_score = history.score[layer, -1, part["patch"][mine]]
            assert np.allclose(told_score, part["importance"][mine], atol=0.5 / 254 + 1e-6)
        assert np.isnan(newest.left[layer]).any()


def test_evicted_tokens_scored_below_the_cut_and_retained_ones_did_not(payload):
    session, _ = payload
    seen = 0
    for frame in range(FRAMES):
        history = token_history_of(session.token_history.records, frame)
        for m, seconds in enumerate(history.seconds):
            layer, patch = np.nonzero(history.left == seconds)
            assert (history.score[layer, m, patch] <= history.cut[layer, m] + 1 / 254).all()
            seen += len(layer)
    assert seen > 100


def test_merges_name_the_layers_that_merge_and_add_up(payload):
    session, shots = payload
    long_term = np.flatnonzero(shots[-1].tiers == 2)
    merges = [m for frame in range(FRAMES) for m in token_history_of(session.token_history.records, frame).merges]
    assert {merge.layer for merge in merges} == set(long_term.tolist())
    for layer in long_term:
        mass = shots[-1].layer(layer)["mass"][shots[-1].layer(layer)["kind"] == SUMMARY].sum()
        assert sum(merge.tokens for merge in merges if merge.layer == layer and merge.held) == mass


def record(sequence, frame, kept, *, merged=False, importance=100):
    tokens = len(frame)
    frame = np.array(frame, np.int32)
    return ScoreRecord(
        sequence, sequence / 2, 1 + max(frame), np.array([0, tokens]), frame, np.where(frame < 0, -1, 0).astype(np.int16),
        np.full(tokens, importance, np.uint8), np.array(kept, bool), np.array([merged]),
    )  # fmt: skip


def test_a_summary_is_followed_into_the_next():
    records = [
        record(1, [0, 1, 2], [False, True, True], merged=True),
        record(2, [1, 2, -1, 3], [True, True, True, False], merged=True),
        record(3, [1, 2, -1, -1, 4], [True, True, False, True, True], merged=True),
        record(4, [1, 2, 4, -1, -1, 5], [True, True, True, False, True, True]),
    ]
    first, second = token_history_of(records, 0).merges[0], token_history_of(records, 3).merges[0]
    assert (first.summaries, first.held) == ((1.5,), True)
    assert (second.summaries, second.held) == ((), False)


def test_thinning_keeps_who_left_and_the_limit_holds(payload):
    session, _ = payload
    whole = session.token_history.records
    log = TokenHistoryLog(limit=sum(r.nbytes for r in whole) * 2 // 3)
    for known in whole:
        log.add(known)
        assert log.nbytes <= log.limit
    assert log.thinned
    assert not log.lost
    for frame in range(FRAMES):
        full, thin = token_history_of(whole, frame), token_history_of(log.records, frame)
        assert np.array_equal(full.held, thin.held)
        assert np.array_equal(full.left, thin.left, equal_nan=True)
        assert full.merges == thin.merges
        assert np.array_equal(thin.score[:, ~thin.thinned], full.score[:, ~thin.thinned], equal_nan=True)


def test_far_past_the_limit_the_oldest_records_are_dropped_and_counted(payload):
    session, _ = payload
    log = TokenHistoryLog(limit=max(r.nbytes for r in session.token_history.records) * 2)
    for known in session.token_history.records:
        log.add(known)
        assert log.nbytes <= log.limit
    assert log.lost
    assert token_history_of(log.records, 0).missed
    assert TokenHistoryLog(limit=0).records == ()


def test_scores_survive_a_byte():
    scores = np.array([0, 0.25, 1, np.nan, 1.5], np.float32)
    stored = to_bytes(scores)
    assert stored[3] == UNSCORED
    assert np.allclose(from_bytes(stored), [0, 0.25, 1, np.nan, 1], atol=0.5 / 254, equal_nan=True)


def test_a_policy_without_scores_still_tells_who_left(pocket):
    session = hermes.StreamSession(pocket, "sliding-window", budget=64, chunk=4)
    session.push(np.zeros((12, 48, 64, 3), np.uint8), np.arange(12) / 2)
    history = token_history_of(session.token_history.records, 0)
    assert np.isnan(history.score).all()
    assert (history.held[:, -1] == 0).all()
    assert history.merges == ()


def test_a_saved_session_remembers_lives(payload, tmp_path):
    session, _ = payload
    session.save(tmp_path / "a.session")
    again = hermes.StreamSession.load(tmp_path / "a.session", session.model)
    before, after = token_history_of(session.token_history.records, 5), token_history_of(again.token_history.records, 5)
    assert np.array_equal(before.score, after.score, equal_nan=True)
    assert before.merges == after.merges
