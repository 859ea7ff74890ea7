"""Evidence attribution on small memories: two tokens per frame, ten frames, three layers, one per tier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hermes.analysis.evidence import attribute_evidence, is_right, read_most, tally
from hermes.analysis.evidence_text import layers_in_words, named_layers, share_in_words, time_in_words
from hermes.snapshot import TIERS, AnswerTrace, Snapshot

FRAMES, PATCHES, LAYERS = 10, 2, 3
TIMES = np.arange(FRAMES) / 2  # 0, 0.5 … 4.5 s
SPAN = (1.0, 2.0)  # frames 2 and 3


def snapshot():
    empty = np.zeros(0, np.float32)
    return Snapshot(
        sequence=1, model="m", policy="p", budget=8, guidance="none", guidance_prompts={}, seconds=4.5, grid=(1, PATCHES),
        prompt_len=1, tiers=np.array([0, 1, 2], np.int8), frame_times=TIMES, kept=np.zeros((LAYERS, FRAMES), np.uint16),
        offsets=np.zeros(LAYERS + 1, np.int64), frame=np.zeros(0, np.int32), patch=np.zeros(0, np.int16),
        kind=np.zeros(0, np.int8), mass=empty, position=empty, importance=empty, guidance_attention=empty, recency=empty,
        tokens_seen=FRAMES * PATCHES, cache_bytes=0, full_cache_bytes=0,
    )  # fmt: skip


def trace(held, attention, answer="Red circle.", seen=FRAMES):
    """`held`: frames of each layer's tokens; `attention`: layer -> {frame: share}; the rest is on the prompt."""
    shares = np.zeros((LAYERS, seen), np.float32)
    for layer, of in attention.items():
        for frame, share in of.items():
            shares[layer, frame] = share
    tokens = [[-1, *frames] for frames in held]  # a prompt token first
    flat = np.array([frame for layer in tokens for frame in layer], np.int32)
    return AnswerTrace(
        question="?", answer=answer, asked_seconds=float(TIMES[seen - 1]), frames_seen=seen, first_token_seconds=0.1,
        attention=shares, attention_heads=shares[:, None], attention_rest=np.zeros((LAYERS, 3), np.float32),
        attention_patch=np.zeros(len(flat), np.float32), token_frame=flat, token_patch=np.zeros(len(flat), np.int16),
        offsets=np.cumsum([0, *[len(layer) for layer in tokens]]),
    )  # fmt: skip


NEWEST = [6, 6, 7, 7, 8, 8, 9, 9]
WITH_EVIDENCE = [2, 3, 7, 7, 8, 8, 9, 9]  # one token of each frame of the evidence, six of others


def test_layers_are_named_by_their_numbers_in_the_decoder():
    hybrid = replace(snapshot(), state_layers=(0, 1, 2, 4, 5, 6, 8, 9, 10))  # tokens in layers 3, 7 and 11
    verdict = attribute_evidence(
        trace([NEWEST, WITH_EVIDENCE, WITH_EVIDENCE], {2: {2: 0.5, 7: 0.01}}), hybrid, [SPAN], "Red circle."
    )
    assert verdict.layer_numbers == (3, 7, 11)
    assert "is still in layers 7 and 11 (up to 50 % of its tokens), and evicted from 3." in verdict.sentence
    assert named_layers(verdict, range(verdict.tiers[1].layers[0], verdict.tiers[1].layers[1] + 1)) == "layer 7"


def test_not_sampled():
    verdict = attribute_evidence(trace([NEWEST] * 3, {}), snapshot(), [(0.6, 0.9)], "Blue star.")
    assert verdict.outcome == "not sampled"
    assert verdict.right is False
    assert len(verdict.frames) == 0
    assert verdict.evicted_from == ()
    assert verdict.sentence == "Never sampled: no frame was taken at 0:00.6–0:00.9, so the model never saw it."
    assert all(np.isnan(tier.held) for tier in verdict.tiers)


def test_frames_that_came_after_the_question_are_no_evidence():
    early = trace([[0, 0, 1, 1]] * 3, {}, seen=2)
    assert attribute_evidence(early, snapshot(), [SPAN], "Red circle.").outcome == "not sampled"


def test_a_merged_frame_reaches_back():
    assert attribute_evidence(trace([NEWEST] * 3, {}), snapshot(), [(0.6, 0.9)], "x", reach=0.5).moments[
        0
    ].frames.tolist() == [2]


def test_sampled_then_evicted():
    verdict = attribute_evidence(
        trace([NEWEST, NEWEST, [2, *NEWEST[1:]]], {2: {9: 0.5}}), snapshot(), [SPAN], "Blue star."
    )
    assert verdict.outcome == "evicted"  # one token for two frames is not one a frame
    assert verdict.frames.tolist() == [2, 3]
    assert verdict.moments[0].held.tolist() == [0, 0, 0.25]
    assert verdict.evicted_from == (0, 1)
    assert "0:01.0–0:02.0 was seen in 2 frames, and no layer still holds" in verdict.sentence


def archiving(tokens, layers=range(LAYERS)):
    """A memory that archives `tokens` (of each frame) in some layers."""
    archived = np.zeros((LAYERS, FRAMES), np.uint16)
    for layer in layers:
        archived[layer, list(tokens)] = list(tokens.values())
    return replace(snapshot(), archived=archived)


def test_archived_but_not_retrieved():
    reading = trace([NEWEST, NEWEST, [2, *NEWEST[1:]]], {2: {9: 0.5}})
    verdict = attribute_evidence(reading, archiving({2: 2, 3: 2}, [1, 2]), [SPAN], "Blue star.")
    assert verdict.outcome == "not retrieved"
    assert verdict.moments[0].held.tolist() == [0, 0, 0.25]
    assert verdict.moments[0].stored.tolist() == [0, 2, 2]
    assert verdict.sentence == (
        "Archived, but not retrieved: what was shown at 0:01.0–0:02.0 was seen in 2 frames and is in the archive of "
        "layers 1–2, but no layer read one token per frame of it for this answer."
    )
    # One token a frame is enough, on average; less is as good as evicted, and an archive of other frames does not help.
    assert attribute_evidence(reading, archiving({3: 2}), [SPAN], "x").outcome == "not retrieved"
    assert attribute_evidence(reading, archiving({3: 1}), [SPAN], "x").outcome == "evicted"
    assert attribute_evidence(reading, archiving({4: 2, 5: 2}), [SPAN], "x").outcome == "evicted"


def test_in_a_part_of_memory_that_the_answer_did_not_read():
    kept = np.zeros((LAYERS, FRAMES), np.uint16)
    kept[:, 2:4] = 1
    verdict = attribute_evidence(trace([NEWEST] * 3, {}), replace(snapshot(), kept=kept), [SPAN], "Blue star.")
    assert verdict.outcome == "not retrieved"
    assert verdict.sentence.startswith("In memory, but not retrieved:")
    assert "is in the memory of all layers" in verdict.sentence


def test_fetched_tokens_count_as_held():
    reading = trace([NEWEST, NEWEST, WITH_EVIDENCE], {2: {2: 0.3, 9: 0.1}})
    verdict = attribute_evidence(reading, archiving({2: 2, 3: 2}), [SPAN], "x")
    assert verdict.outcome == "read"
    assert "was fetched for layer 2 (up to 50 % of its tokens), not for 0–1." in verdict.sentence
    assert "evicted" not in verdict.sentence


def test_not_retrieved_is_worse_than_held_and_better_than_evicted():
    fetched, stored, gone = (4.5, 5.0), (1.0, 2.0), (0.0, 0.5)
    reading, memory = trace([NEWEST] * 3, {1: {9: 0.9}}), archiving({2: 2, 3: 2})
    assert attribute_evidence(reading, memory, [fetched, stored], "x").outcome == "not retrieved"
    assert attribute_evidence(reading, memory, [fetched, stored], "x", every=False).outcome == "read"
    assert attribute_evidence(reading, memory, [gone, stored], "x").outcome == "evicted"
    assert attribute_evidence(reading, memory, [gone, stored], "x", every=False).outcome == "not retrieved"


def test_held_but_not_attended():
    attention = {2: {2: 0.05, 3: 0.05, 9: 0.3}}  # 0.1 on two tokens, 0.3 on six: each gets as much as another
    verdict = attribute_evidence(trace([NEWEST, NEWEST, WITH_EVIDENCE], attention), snapshot(), [SPAN], "Blue star.")
    assert verdict.outcome == "unread"
    assert verdict.evicted_from == (0, 1)
    deep = verdict.tiers[2]
    assert (deep.held, deep.attention, deep.even) == pytest.approx((0.5, 0.1, 0.4 * 2 / 8))
    assert deep.attention_ratio == pytest.approx(1.0)
    assert np.isnan(verdict.tiers[0].attention_ratio)
    assert "still in layer 2 (up to 50 % of its tokens), and evicted from 0–1" in verdict.sentence
    assert "(at most 1.0×, in the long-term tier)" in verdict.sentence


def test_held_and_attended():
    attention = {2: {2: 0.2, 3: 0.1, 9: 0.1}}  # 0.15 a token against 0.1 / 6
    verdict = attribute_evidence(trace([NEWEST, NEWEST, WITH_EVIDENCE], attention), snapshot(), [SPAN], "red circle")
    assert verdict.outcome == "read"
    assert verdict.right is True
    assert verdict.tiers[2].attention_ratio == pytest.approx(9.0)
    assert verdict.tiers[2].attends
    assert verdict.tiers[2].most_read == ((2, pytest.approx(0.2)), (9, pytest.approx(0.1)))
    assert "In the long-term tier, one of its tokens got 9.0×" in verdict.sentence


def test_exactly_the_threshold_is_attended():
    attention = {2: {2: 0.3, 9: 0.3}}  # 0.15 a token against 0.05
    assert (
        attribute_evidence(trace([NEWEST, NEWEST, WITH_EVIDENCE], attention), snapshot(), [SPAN], "x").outcome == "read"
    )


def test_where_nothing_else_is_held():
    verdict = attribute_evidence(trace([NEWEST, NEWEST, [2, 2, 3, 3]], {2: {2: 0.1}}), snapshot(), [SPAN], "x")
    assert verdict.outcome == "read"
    assert "and in the long-term tier no other frame was attended to." in verdict.sentence


def test_of_several_moments_the_worst_off_counts_where_all_are_needed_else_the_best_off():
    gone, held = (0.0, 0.5), (4.5, 5.0)  # frame 0 left long ago, frame 9 is in every layer
    reading = trace([NEWEST] * 3, {1: {9: 0.9}})
    assert attribute_evidence(reading, snapshot(), [gone, held], "x").outcome == "evicted"
    assert attribute_evidence(reading, snapshot(), [gone, held], "x", every=False).outcome == "read"
    assert attribute_evidence(reading, snapshot(), [gone, (0.1, 0.2)], "x").outcome == "not sampled"
    assert attribute_evidence(reading, snapshot(), [gone, (0.1, 0.2)], "x", every=False).outcome == "evicted"
    assert (
        "1 of the 2 moments needed; what was shown at 0:00.0"
        in attribute_evidence(reading, snapshot(), [gone, held], "x").sentence
    )


def test_without_evidence_or_truth():
    reading = trace([NEWEST] * 3, {1: {9: 0.9}}, answer="Yes.")
    absent = attribute_evidence(reading, snapshot(), [], "No.")
    assert (absent.outcome, absent.right, absent.moments) == ("absent", False, ())
    unknown = attribute_evidence(reading, snapshot(), None, None)
    assert (unknown.outcome, unknown.right, unknown.truth) == ("unknown", None, None)
    assert unknown.tiers[1].most_read == ((9, pytest.approx(0.9)),)
    assert unknown.sentence
    assert absent.sentence != unknown.sentence


def test_a_tier_without_layers_is_left_out():
    bare = snapshot()
    bare.tiers[:] = [1, 1, 2]
    verdict = attribute_evidence(trace([NEWEST] * 3, {}), bare, [SPAN], "x")
    assert [(TIERS[tier.tier], tier.layers) for tier in verdict.tiers] == [("working", (0, 1)), ("long-term", (2, 2))]


def test_a_policy_without_tiers_is_judged_by_depth():
    bare = replace(snapshot(), tiered=False)
    verdict = attribute_evidence(trace([WITH_EVIDENCE] * 3, {2: {2: 0.3, 9: 0.1}}), bare, [SPAN], "x")
    assert [tier.layers for tier in verdict.tiers] == [(0, 0), (1, 1), (2, 2)]
    assert [tier.attends for tier in verdict.tiers] == [False, False, True]
    assert "In the deep layers, one of its tokens got 9.0×" in verdict.sentence


def test_a_remnant_that_is_attended_to_is_held():
    one_left = [2, *NEWEST[1:]]  # one token for two frames
    read = attribute_evidence(trace([NEWEST, NEWEST, one_left], {2: {2: 0.3, 9: 0.3}}), snapshot(), [SPAN], "x")
    assert (read.outcome, read.moments[0].outcome) == ("read", "held")
    assert read.evicted_from == (0, 1)
    gone = attribute_evidence(trace([NEWEST, NEWEST, one_left], {2: {2: 0.1, 9: 0.3}}), snapshot(), [SPAN], "x")
    assert gone.outcome == "evicted"


def test_remarks_if_answer_and_evidence_disagree():
    misread = attribute_evidence(
        trace([NEWEST, NEWEST, WITH_EVIDENCE], {2: {2: 0.3}}), snapshot(), [SPAN], "Blue star."
    )
    assert misread.sentence.endswith("The answer is wrong although its evidence was kept and used.")
    span = (0.0, 4.5)  # one token is left of nine frames
    scant = attribute_evidence(
        trace([[9, 9], [9, 9], [2, 9, 9, 9]], {2: {2: 0.4, 9: 0.1}}), snapshot(), [span], "Blue star."
    )
    assert scant.sentence.endswith("of its tokens may be too little.")
    assert "(up to 6 % of its tokens)" in scant.sentence
    lucky = attribute_evidence(trace([NEWEST] * 3, {}), snapshot(), [SPAN], "Red circle.")
    assert lucky.sentence.endswith("it may be a guess, or other tokens may carry the information.")


def test_tally_of_wrong_answers():
    right = attribute_evidence(trace([NEWEST, NEWEST, WITH_EVIDENCE], {2: {2: 0.3}}), snapshot(), [SPAN], "Red circle.")
    lost = attribute_evidence(trace([NEWEST] * 3, {}), snapshot(), [SPAN], "Blue star.")
    unread = attribute_evidence(trace([NEWEST, NEWEST, WITH_EVIDENCE], {2: {9: 0.3}}), snapshot(), [SPAN], "Blue star.")
    unseen = attribute_evidence(trace([NEWEST] * 3, {}), snapshot(), [(0.6, 0.9)], "Blue star.")
    absent = attribute_evidence(trace([NEWEST] * 3, {}), snapshot(), [], "No.")
    unknown = attribute_evidence(trace([NEWEST] * 3, {}), snapshot(), None, None)
    counted = tally([right, lost, lost, unread, unseen, absent, unknown])
    assert (counted.answers, counted.wrong) == (6, 5)
    stored = attribute_evidence(trace([NEWEST] * 3, {}), archiving({2: 2, 3: 2}), [SPAN], "Blue star.")
    assert tally([stored, lost]).not_retrieved == tally([stored, lost]).evicted == 1
    assert (counted.not_sampled, counted.evicted, counted.unread, counted.read, counted.absent) == (1, 2, 1, 0, 1)


def test_frames_read_most_are_apart():
    profile = np.array([0.0, 0.3, 0.29, 0.0, 0.1, 0.0, 0.0, 0.2, 0.0, 0.0])
    assert [frame for frame, _ in read_most(profile)] == [1, 7, 4]
    long = np.zeros(90, np.float32)
    long[[10, 11, 12, 50, 80]] = [0.3, 0.5, 0.2, 0.1, 0.4]
    assert [frame for frame, _ in read_most(long)] == [11, 80, 50]
    assert read_most(np.zeros(4)) == ()
    assert read_most(np.zeros(0)) == ()


def test_words():
    assert layers_in_words([0, 1, 2, 6]) == "layers 0–2 and 6"
    assert layers_in_words([4]) == "layer 4"
    assert layers_in_words([0, 2, 4, 5]) == "layers 0, 2 and 4–5"
    assert time_in_words(67.54) == "1:07.5"
    assert time_in_words(1.25) == "0:01.3"  # as the page rounds
    assert share_in_words(0.004) == "under 1 %"
    assert time_in_words(3723) == "1:02:03.0"
    assert is_right("Blue star top left", "Blue star, top left.")
    assert not is_right("Blue star.", "Blue star, top left.")
