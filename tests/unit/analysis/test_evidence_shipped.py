"""Evidence attribution with the pocket model, on a bundled clip and on generated streams."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hermes
from hermes.analysis.evidence import ATTENDED, attribute_evidence, is_right, tally
from hermes.cards.questions import ask_all
from hermes.cards.truth import truth_of
from hermes.cards.world import render_stream
from hermes.video import sample
from ui.board.encoder import BoardEncoder
from ui.board.evidence import encode_verdict, judge_of

CLIPS = Path(__file__).parents[3] / "assets" / "clips"


@pytest.fixture(scope="module")
def clip(bundled_clips):
    return bundled_clips["first-card"]


def watched(model, clip, policy, seconds=60.0, **settings):
    """A session that has seen the clip up to `seconds`, two frames a second."""
    session = hermes.StreamSession(model, policy, **settings)
    with sample(clip.path, 2.0) as frames:
        pairs = [(frame, at) for frame, at in frames if at <= seconds]
    session.push(np.stack([frame for frame, _ in pairs]), [at for _, at in pairs])
    return session


@pytest.fixture(scope="module")
def minute(pocket, clip):
    """HERMES after 60 seconds. Questions leave its memory as it is."""
    return watched(pocket, clip, "hermes", budget=512)


@pytest.fixture(scope="module")
def ten_seconds(pocket, clip):
    """HERMES after 10 seconds."""
    return watched(pocket, clip, "hermes", budget=512, seconds=10.0)


def verdict_on(session, clip, question):
    answer = "".join(session.ask(question)).strip()
    return answer, judge_of(clip.events, clip.fps, lambda: 2.0)(session.snapshot())


def test_hermes_holds_and_reads_the_first_card_and_a_sliding_window_has_evicted_it(pocket, clip, minute):
    truth = json.loads((CLIPS / "first-card.json").read_text("utf-8"))
    question = next(q for q in truth["questions"] if q["kind"] == "first")
    answer, verdict = verdict_on(minute, clip, question["text"])
    assert answer == verdict.truth == question["answer"]
    assert (verdict.outcome, verdict.right) == ("read", True)
    assert [moment.span for moment in verdict.moments] == [tuple(question["evidence"])]
    assert verdict.tiers[-1].attention_ratio > ATTENDED
    assert verdict.tiers[-1].most_read[0][0] in verdict.frames
    assert verdict.tiers[-1].held > verdict.tiers[0].held

    answer, verdict = verdict_on(watched(pocket, clip, "sliding-window", budget=256), clip, question["text"])
    assert answer != question["answer"]
    assert (verdict.outcome, verdict.right) == ("evicted", False)
    assert verdict.evicted_from == tuple(range(pocket.num_layers))
    assert "Seen, then forgotten" in verdict.sentence


def test_messages_to_the_page(clip, minute):
    _, verdict = verdict_on(minute, clip, "What was the first card?")
    payload = encode_verdict(verdict, minute.snapshot(), lambda frames: dict.fromkeys(frames, b"jpeg"))
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload
    assert payload["right"] is True
    assert payload["frames"]
    assert all(
        verdict.moments[0].span[0] <= frame["seconds"] < verdict.moments[0].span[1] for frame in payload["frames"]
    )
    assert [tier["tier"] for tier in payload["tiers"]] == [0, 1, 2]
    assert len(json.dumps(payload)) < 20_000


def test_the_board_contains_the_verdict_or_reports_that_it_is_unknown(pocket, clip):
    session = watched(pocket, clip, "hermes", budget=512, seconds=20.0)
    list(session.ask("What was the first card?"))
    for judge, outcome in ((judge_of(clip.events, clip.fps), "read"), (None, "unknown")):
        message = BoardEncoder(judge).encode(
            session.snapshot(), acknowledged=None, duration=None, fps=2.0, meters={}, thumbnails=lambda _frames: {}
        )
        assert message["answer"]["verdict"]["outcome"] == outcome
        assert any(tier["peaks"] for tier in message["answer"]["verdict"]["tiers"])


def test_a_question_of_another_world_has_no_verdict(clip, ten_seconds):
    _, verdict = verdict_on(ten_seconds, clip, "Tell me a joke.")
    assert (verdict.outcome, verdict.right) == ("unknown", None)


def test_merged_frames_reach_back(clip, ten_seconds):
    list(ten_seconds.ask("What was the first card?"))
    snapshot = ten_seconds.snapshot()
    sparse = replace(snapshot, frame_times=snapshot.frame_times * 2)  # as if two sampled frames had become one
    (moment,) = judge_of(clip.events, clip.fps, lambda: 2.0)(sparse).moments
    start, end = moment.span
    assert moment.frames.tolist() == [i for i, at in enumerate(sparse.frame_times) if start <= at and at - 0.5 < end]
    (plain,) = judge_of(clip.events, clip.fps, lambda: 1.0)(sparse).moments
    assert len(plain.frames) <= len(moment.frames)


def test_the_threshold_separates_right_answers_from_wrong_ones(pocket):
    """Questions about one card: right answers attend to the evidence, and of the wrong ones a good part does not."""
    verdicts = []
    for seed in range(6):
        stream = render_stream(7000 + seed, 96, 2.0)
        session = hermes.StreamSession(pocket, "hermes", budget=64)
        rng = np.random.default_rng(seed)
        for at in (63, 95):
            begin = session.steps_seen
            session.push(stream.frames[begin : at + 1], stream.times[begin : at + 1])
            for question in ask_all(stream, at, rng):
                truth = truth_of(question.text, stream.events, at, stream.fps)
                if question.kind in ("now", "count") or not truth.spans:
                    continue
                answer = "".join(session.ask(question.text))
                verdict = attribute_evidence(
                    session.snapshot().answer, session.snapshot(), truth.spans, truth.answer, every=truth.every
                )
                assert verdict.right is is_right(answer, question.answer)
                verdicts.append(verdict)
    right = [verdict.outcome for verdict in verdicts if verdict.right]
    counted = tally(verdicts)
    assert len(right) > 40
    assert right.count("read") > 0.9 * len(right)
    assert counted.answers == len(verdicts)
    assert counted.wrong == len(verdicts) - len(right)
    lost = counted.not_sampled + counted.evicted + counted.not_retrieved
    assert counted.wrong == lost + counted.unread + counted.read + counted.absent
    assert counted.read < 0.7 * counted.wrong
