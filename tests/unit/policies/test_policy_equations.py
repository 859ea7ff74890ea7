"""Equations of the policies other than HERMES, on cases that were computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from hermes.memory.importance import protect_newest, retain
from hermes.memory.stream_state import StreamState
from hermes.policies.archiving import block_counts, block_shares, rescaled
from hermes.policies.ops.attention_scores import (
    by_kv_head,
    heavy_and_recent,
    mean_direction,
    pooled,
    temporal_redundancy,
    two_rules,
    value_norm,
)
from hermes.policies.ops.buckets import bucket_of, bucketed, page_scores
from hermes.policies.ops.features import (
    frame_similarity,
    momentum,
    novelty_rank,
    pair_to_drop,
    patch_similarity,
    pooled_patches,
    sequence_similarity,
)
from hermes.policies.ops.frame_store import spread
from hermes.policies.ops.merging import grouped
from hermes.policies.ops.prototypes import prototypes
from hermes.policies.ops.retrieval import best_blocks, group_queries, similarity
from hermes.policies.ops.scenes import attended, evenly, is_cut, left_depth
from hermes.policies.ops.segments import ended_segments, segment_ends
from hermes.policies.ops.slots import blended, slot_weights
from hermes.policies.streamingvlm import scheduled
from hermes.policies.videoscan import top_of_frames


def tensor(*values):
    return torch.tensor(values, dtype=torch.float32)


class TestNewestFrames:
    def test_they_stand_above_all_others_in_their_own_order(self):
        scores, frame = tensor(0.9, 0.1, 0.8, 0.3, 0.2), torch.tensor([0, 1, -1, 2, 2])
        assert retain(protect_newest(scores, frame, 1), 3).tolist() == [0, 3, 4]
        assert retain(protect_newest(scores, frame, 1), 1).tolist() == [3]
        assert retain(protect_newest(scores, frame, 2), 3).tolist() == [1, 3, 4]

    def test_a_summary_is_never_among_them(self):
        scores = protect_newest(tensor(0.5, 0.4), torch.tensor([-1, 0]), 9)
        torch.testing.assert_close(scores, tensor(0.5, 1.4))

    def test_none_of_them_changes_nothing(self):
        scores = tensor(0.5, 0.4)
        assert torch.equal(protect_newest(scores, torch.tensor([0, 1]), 0), scores)


class TestByHead:
    def test_heavy_hitters_differ_by_head(self):
        scores = tensor([9, 1, 2, 0, 0, 0], [0, 7, 1, 8, 0, 0])
        assert heavy_and_recent(scores, budget=4, recent=2).tolist() == [[0, 2, 4, 5], [1, 3, 4, 5]]

    def test_the_newest_stay_however_small_their_scores(self):
        assert heavy_and_recent(tensor([9, 8, 7, 0]), 2, 1).tolist() == [[0, 3]]

    def test_query_heads_share_a_key_head(self):
        assert by_kv_head(tensor([1, 3], [3, 5], [0, 2], [0, 0]), 2).tolist() == [[2, 4], [0, 1]]

    def test_votes_are_averaged_over_neighbours(self):
        # As SnapKV's released avg_pool1d: places beyond the ends count as 0.
        assert pooled(tensor([0, 0, 6, 0, 0, 3]), 3).tolist() == [[0, 2, 2, 2, 1, 1]]
        assert pooled(tensor([5, 0, 0, 0, 0, 10]), 5).tolist() == [[1, 1, 1, 2, 2, 2]]

    def test_a_patch_that_looks_different_now_is_kept(self):
        # Patch 0 looked east in the past and looks east now; patch 1 looked east and looks north now.
        east, north = [1.0, 0.0], [0.0, 1.0]
        now = mean_direction(tensor([east, [0.0, 4.0]]), torch.tensor([[0, 1]]), 2)
        assert now[0].tolist() == [east, north]
        past = tensor([[3.0, 0.0], [2.0, 0.0]])
        score = temporal_redundancy(past, torch.tensor([[0, 1]]), now)
        assert score.tolist() == [[-1.0, 0.0]]

    def test_values_fill_the_rest_after_changed_patches(self):
        change, norm = tensor([5, 4, 0, 0]), tensor([1, 9, 2, 3])
        assert two_rules(change, norm, budget=3, count=1).tolist() == [[0, 1, 3]]
        assert value_norm(tensor([[3, 4], [0, 0]])).tolist() == [[5, 0]]


class TestBuckets:
    def test_a_full_bucket_refuses_a_token(self):
        # Buckets of two places: (0 1)(2 3)(4 5). The best, 1, is placed freely; then 0 is refused although it scores next.
        bucket = bucket_of(torch.arange(6), 3)
        assert bucket.tolist() == [0, 0, 1, 1, 2, 2]
        scores = tensor(8, 9, 1, 2, 7, 6)
        assert bucketed(scores, bucket, capacity=1, first=1, total=3).tolist() == [1, 3, 4]

    def test_free_tokens_may_exceed_the_share_of_a_bucket(self):
        bucket = torch.tensor([0, 0, 0, 1])
        assert bucketed(tensor(9, 8, 7, 1), bucket, capacity=1, first=2, total=4).tolist() == [0, 1, 3]

    def test_never_more_than_in_all(self):
        assert len(bucketed(torch.rand(50), bucket_of(torch.arange(50), 10), 1, 5, 10)) <= 10

    def test_pages_are_read_by_their_mean_key(self):
        keys = tensor([[4, 0], [0, 0], [0, 9], [0, 9], [1, 1]])
        found = page_scores(tensor([[0, 3]]), keys, size=2)
        means = torch.tensor([0.0, 9.0, 1.0]) * 3 / math.sqrt(2)
        torch.testing.assert_close(found, torch.softmax(means, 0))


class TestRetrieval:
    def test_rekv_retrieval(self):
        # Two key heads of two dimensions; four query heads, two rows each.
        queries = torch.zeros(4, 2, 2)
        queries[0] = tensor([2, 0], [0, 0])  # mean (1, 0); its partner's is (0, 0): together (0.5, 0)
        queries[2] = tensor([0, 4], [0, 0])  # mean (0, 2); together (0, 1)
        query = group_queries(queries, 2)
        assert query.tolist() == [[0.5, 0.0], [0.0, 1.0]]
        blocks = tensor([[4, 0], [0, 0]], [[0, 9], [9, 0]], [[0, 0], [0, 3]], [[1, 0], [0, 1]])
        scores = similarity(query, blocks)
        assert scores.tolist() == [2.0, 0.0, 3.0, 1.5]
        assert best_blocks(scores, 2).tolist() == [0, 2]
        assert best_blocks(scores, 9).tolist() == [0, 1, 2, 3]

    def test_layers_with_concentrated_attention_read_less(self):
        sure, unsure = tensor(0.97, 0.01, 0.01, 0.01), tensor(0.25, 0.25, 0.25, 0.25)
        assert block_counts([sure, unsure], total=5, least=1, most=4) == [1, 4]
        assert block_counts([unsure, unsure], total=4, least=1, most=4) == [2, 2]
        assert block_counts([sure, unsure], total=5, least=2, most=3) == [2, 3]

    def test_counts_are_mapped_to_their_range_with_the_same_sum(self):
        # 2, 4, 6 become 3, 4, 5: the same sum.
        assert rescaled([2, 6, 4], least=3, most=5) == [3, 5, 4]
        # 1, 9, 2 become 2, 6, 2.5; times 12 / 10.5: 2.29, 6.86, 2.86; rounded and limited 2, 6, 3; 1 is missing.
        assert rescaled([1, 9, 2], least=2, most=6) == [3, 6, 3]
        # 1, 1, 10 become 2, 2, 6; times 12 / 10 this is 2.4, 2.4, 7.2; limited 2, 2, 6; 2 are missing.
        assert rescaled([1, 1, 10], least=2, most=6) == [3, 3, 6]
        assert rescaled([4, 4, 4], least=2, most=6) == [4, 4, 4]
        assert rescaled([1, 1], least=2, most=3) == [2, 2]  # no smaller counts are possible

    def test_shares_are_a_softmax_of_standardised_dot_products(self):
        # Products 5, 0, 1: mean 2, deviation sqrt(7).
        shares = block_shares(tensor([1, 0]), tensor([[5, 0]], [[0, 2]], [[1, 7]]))
        torch.testing.assert_close(shares, torch.softmax(tensor(3, -2, -1) / math.sqrt(7), 0))
        assert block_shares(tensor([1, 0]), tensor([[5, 0]])).tolist() == [1.0]
        assert block_shares(tensor([1, 0]), tensor([[5, 0]], [[5, 1]])).tolist() == [0.5, 0.5]


class TestSchedule:
    TEXT = torch.tensor([1, 0, 0, 1, 1, 0, 0, 1, 0, 0], dtype=torch.bool)
    SECONDS = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2, 2.0])

    def test_first_text_newest_text_and_the_last_seconds_of_video_stay(self):
        assert scheduled(self.TEXT, self.SECONDS, 1, 2, span=1.0, budget=9).tolist() == [0, 4, 7, 8, 9]
        assert scheduled(self.TEXT, self.SECONDS, 1, 1, span=1.5, budget=9).tolist() == [0, 5, 6, 7, 8, 9]

    def test_within_the_budget_the_newest_video_stays(self):
        assert scheduled(self.TEXT, self.SECONDS, 1, 1, span=9.0, budget=5).tolist() == [0, 6, 7, 8, 9]

    def test_a_stream_without_text_is_a_window(self):
        video = torch.zeros(6, dtype=torch.bool)
        assert scheduled(video, torch.arange(6.0), 4, 4, span=3.0, budget=9).tolist() == [3, 4, 5]


class TestStreamMem:
    def test_a_prototype_is_the_weighted_mean(self):
        keys = tensor([[4, 0], [0, 4], [8, 8]])
        made = prototypes(keys, keys * 2, tensor(3, 1, 5), torch.tensor([0, 0, 1]), torch.tensor([6, 7, 8]))
        torch.testing.assert_close(made.keys[0], tensor([3, 1], [8, 8]))
        torch.testing.assert_close(made.values[0], tensor([6, 2], [16, 16]))
        assert made.median.tolist() == [6, 8]
        assert made.size.tolist() == [2, 1]

    def test_a_frame_without_attention_is_averaged_evenly(self):
        keys = tensor([[2, 0], [0, 2]])
        made = prototypes(keys, keys, tensor(0, 0), torch.tensor([0, 0]), torch.arange(2))
        torch.testing.assert_close(made.keys[0, 0], tensor(1, 1))


class TestSegments:
    def test_a_segment_ends_before_the_frame_that_looks_different(self):
        assert segment_ends([1, 1, 1, 1, 0.5, 1], held=0, alike=0.99, least=4, most=64) == [3]

    def test_a_short_segment_does_not_end(self):
        assert segment_ends([1, 0.5, 1, 1, 1], held=0, alike=0.99, least=4, most=64) == []

    def test_a_segment_may_have_ended_with_the_last_chunk(self):
        assert segment_ends([0.5, 1], held=5, alike=0.99, least=4, most=64) == [-1]

    def test_a_long_segment_ends_whatever_comes(self):
        assert segment_ends([1] * 7, held=0, alike=0.99, least=2, most=3) == [2, 5]

    def test_the_summary_is_the_mean_frame_across_chunks(self):
        features = tensor([[6.0]], [[2.0]], [[10.0]])
        ended, held, total = ended_segments(features, 7, [0], held=2, held_sum=tensor([3.0])[None])
        assert (ended[0].first, ended[0].last, ended[0].summary.item()) == (5, 7, 3.0)
        assert (held, total.item()) == (2, 12.0)


class TestScenes:
    def test_depth_is_measured_from_the_peak_to_the_left(self):
        assert left_depth([0.2, 0.9, 0.8, 0.4]) == pytest.approx(0.25)
        assert left_depth([0.4, 0.9]) == 0.0

    def test_a_scene_is_cut_at_a_pronounced_dip(self):
        depths = tensor(0, 0, 0, 0.3)  # mean 0.075, deviation 0.13: the bar is at 0.14
        assert is_cut(0.3, depths, alpha=0.5)
        assert not is_cut(0.1, tensor(0, 0.3, 0.3, 0.1), alpha=0.5)
        assert not is_cut(0.3, depths[-1:], alpha=0.5)

    def test_memory_attends_to_itself_and_to_the_scene(self):
        memory, scene = tensor([2, 0]), tensor([0, 5])
        weight = torch.softmax(tensor(4, 0) / math.sqrt(2), 0)
        torch.testing.assert_close(attended(memory, scene)[0], tensor(2 * weight[0], 5 * weight[1]))
        assert evenly(torch.arange(5.0)[:, None], 3).flatten().tolist() == [0, 2, 4]


class TestFeatures:
    def test_unchanged_patches_are_similar(self):
        features = tensor([[1, 0], [0, 1]], [[2, 0], [1, 0]])
        assert patch_similarity(features, None).tolist() == [[1, 1], [1, 0]]
        assert patch_similarity(features, tensor([0, 1], [0, 1]))[0].tolist() == [0, 1]

    def test_frames_are_compared_by_mean_or_whole(self):
        features = tensor([[1, 0], [0, 1]], [[0, 1], [1, 0]])  # the same patches in other places
        assert frame_similarity(features, None)[1].item() == pytest.approx(1)
        assert sequence_similarity(features)[1].item() == pytest.approx(0)

    def test_novelty_is_ranked_within_a_frame(self):
        assert novelty_rank(tensor([0.1, 0.9, 0.2, 0.3])).tolist() == [[0.25, 1.0, 0.5, 0.75]]

    def test_momentum_is_the_recursion(self):
        change = torch.randn(6, 2, 3)
        known, expected = torch.randn(2, 3), []
        state = known
        for step in change:
            state = 0.8 * step + 0.2 * state
            expected.append(state)
        torch.testing.assert_close(momentum(change, known, 0.8), torch.stack(expected))

    def test_patches_are_averaged_onto_a_smaller_grid(self):
        patches = torch.arange(16.0)[:, None]
        assert pooled_patches(patches, (4, 4), 2).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
        assert torch.equal(pooled_patches(patches, (4, 4), 8), patches)

    def test_the_older_of_the_most_similar_neighbours_goes(self):
        means = tensor([1, 0], [0, 1], [0.1, 1], [1, 0])
        assert pair_to_drop(means).item() == 1

    def test_even_steps(self):
        assert spread(torch.arange(0, 50, 5), 4).tolist() == [0, 15, 30, 45]
        assert spread(torch.arange(3), 4).tolist() == [0, 1, 2]

    def test_best_patches_of_each_frame(self):
        frame = torch.tensor([0, 0, 0, 1, 1, 1])
        wanted = torch.tensor([True, True, True, True, True, False])
        assert top_of_frames(tensor(1, 3, 2, 5, 4, 9), frame, wanted, 2).tolist() == [
            False,
            True,
            True,
            True,
            True,
            False,
        ]


class TestMerging:
    def test_an_open_group_is_continued(self):
        state = StreamState()
        frames = tensor([[1.0]], [[3.0]], [[8.0]])[None]
        first = grouped(frames, torch.tensor([0, 0, 1]), torch.arange(3), tensor(0, 1, 2), state)
        assert first.features.flatten().tolist() == [2.0, 8.0]
        assert first.last.tolist() == [1, 2]
        more = grouped(tensor([[4.0]], [[9.0]])[None], torch.tensor([0, 1]), torch.tensor([3, 4]), tensor(3, 4), state)
        assert more.features.flatten().tolist() == [6.0, 9.0]
        assert (more.count.tolist(), more.first.tolist()) == ([2, 1], [2, 4])
        assert more.seconds.tolist() == [2.5, 4.0]

    def test_an_unchanged_group_is_not_reported(self):
        state = StreamState()
        grouped(tensor([[1.0]])[None], torch.tensor([0]), torch.tensor([0]), tensor(0), state)
        more = grouped(tensor([[5.0]])[None], torch.tensor([1]), torch.tensor([1]), tensor(1), state)
        assert more.features.flatten().tolist() == [5.0]
        assert more.first.tolist() == [1]

    def test_a_state_fades(self):
        # Slot 0 holds the state and sees two new tokens; slot 1 begins with its first token.
        patch, old = torch.tensor([0, 0, 1, 0, 1]), torch.tensor([True, False, False, False, False])
        weight = slot_weights(patch, old, 3, decay=0.9)
        torch.testing.assert_close(weight[0], tensor(0.81, 0.09, 0, 0.1, 0))
        torch.testing.assert_close(weight[1], tensor(0, 0, 0.9, 0, 0.1))
        assert weight[2].sum() == 0
        states = torch.arange(5.0)[None, :, None]
        torch.testing.assert_close(blended(states, weight)[0, :, 0], tensor(0.39, 2.2, 0))
