"""Encodes the frames of a session into its memory, in chunks, and branches the memory for questions."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hermes.memory.cache import MemoryCache
from hermes.memory.chunk import Chunk
from hermes.memory.encoded import Frames, Layout
from hermes.memory.eviction import reindex
from hermes.memory.guidance import GuidanceMode, measure
from hermes.memory.layer import Provenance
from hermes.memory.watched_attention import AttentionRecorder
from hermes.policies import Step
from hermes.policies.limits import reserve
from hermes.policies.step import Outcome
from hermes.session.inputs import checked
from hermes.snapshot import PROMPT, Eviction

if TYPE_CHECKING:
    from hermes.session.stream_session import StreamSession

logger = logging.getLogger(__name__)


def push(session: StreamSession, frames: Frames, times: Sequence[float] | npt.NDArray[np.floating]) -> None:
    """Encode frames in chunks; see `StreamSession.push`."""
    newest = session.state.pending[-1][1] if session.state.pending else session.seconds
    session.state.pending.extend(checked(frames, times, None if np.isnan(newest) else newest))
    while (ready := _ready_frames(session)) > 0:
        chunk, session.state.pending = session.state.pending[:ready], session.state.pending[ready:]
        try:
            _push_chunk(session, chunk)
        except BaseException:
            session.state.pending = []
            raise


def _ready_frames(session: StreamSession) -> int:
    """Number of frames of the next chunk: whole steps only, since models may merge frames."""
    if not session.state.pending:
        return 0
    merged = _layout_for(session, session.state.pending).frames_per_step
    most = max(session.chunk // merged, 1) * merged
    return min(len(session.state.pending) // merged * merged, most)


def _layout_for(session: StreamSession, pending: list[tuple[Frames, float]]) -> Layout:
    """Return the stream's layout, determined by the size and spacing of the first frames."""
    if session.state.layout is not None:
        return session.state.layout
    height, width = pending[0][0].shape[:2]
    gaps = np.diff([seconds for _, seconds in pending])
    return session.model.layout(height, width, float(np.median(gaps)) if len(gaps) else None)


@torch.inference_mode()
def _push_chunk(session: StreamSession, chunk: list[tuple[Frames, float]]) -> None:
    began = time.perf_counter()
    history = session.state.history
    layout = _layout_for(session, chunk)
    if session.state.layout is None:
        session.policy.check_layout(layout)
    cache = opened_cache(session)
    step = step_of(session, cache, layout)
    seconds = np.array([at for _, at in chunk])
    steps_before = len(history.times)
    encoded = session.encode([frame for frame, _ in chunk], seconds, steps_before, layout)
    tokens = encoded.embeddings.shape[1]
    # A step has the time of its last frame, when it is complete.
    step_seconds = seconds[layout.frames_per_step - 1 :: layout.frames_per_step]
    previous = dict(session.state.policy_state.tensors)
    try:
        reduced = session.policy.on_frames(step, Chunk.of(encoded, steps_before, torch.from_numpy(step_seconds)))
        if reduced.tokens:
            _note(session, session.policy.make_room(step, int(reduced.encoded.offsets.max()) + 1))
        step = _prefill(session, step, reduced, layout)
    except BaseException:
        session.state.policy_state.tensors = previous
        raise
    # The frames are in the memory now: record them even if the eviction below fails.
    session.state.layout = layout
    session.state.objects = encoded.objects[-1] if encoded.objects is not None else None
    history.times.extend(step_seconds)
    history.sequence += 1
    session.stats.frames_seen += len(chunk)
    session.stats.tokens_seen += tokens
    encoded_at = time.perf_counter()
    _note(session, session.policy.after_encode(step))
    session.stats.encode_seconds += encoded_at - began
    session.stats.management_seconds += time.perf_counter() - encoded_at


def _prefill(session: StreamSession, step: Step, chunk: Chunk, layout: Layout) -> Step:
    """Prefill a reduced chunk under the policy's attention mask; returns the step with its attention."""
    cache = step.cache
    cache.retract(chunk.retract)
    if not chunk.tokens:
        return replace(step, chunk=chunk)
    positions = session.model.chunk_positions(cache, chunk.encoded, chunk.first_step, layout)
    visible, rows = session.policy.encode_view(step, chunk), session.policy.watched_rows(step, chunk)
    recorder = None
    if rows is not None:
        keys = [layer.length + chunk.tokens for layer in cache.layers]
        recorder = AttentionRecorder(keys, [rows] * len(keys), past_visible=visible is None)
    embeddings, encoded = chunk.encoded.embeddings, chunk.encoded
    session.model.prefill(embeddings, positions, chunk.provenance, cache, recorder, encoded, visible, chunk.open_tokens)
    return replace(step, chunk=chunk, attention=recorder)


@torch.inference_mode()
def with_pending(session: StreamSession, cache: MemoryCache) -> MemoryCache:
    """Return the memory with the pending frames, whose step is completed by repeating the newest one.

    The step is prefilled on a branch, without eviction: cache, positions and counters are unchanged, and the branch may
    hold one step more than the budget. The released code repeats the last frame of a clip in the same way.

    Returns:
        A branch of `cache`; `cache` itself if no frame is pending or the model has no positions left for it.
    """
    if not session.state.pending:
        return cache
    layout, first = session.layout, session.steps_seen
    merged = layout.frames_per_step
    chunk = session.state.pending + session.state.pending[-1:] * (-len(session.state.pending) % merged)
    seconds = np.array([at for _, at in chunk])
    # Not `session.encode`, which may store the result as that of the real step.
    encoded = session.model.encode([frame for frame, _ in chunk], seconds, first, layout)
    branch = cache.branch()
    try:
        step = step_of(session, branch, layout)
        reduced = session.policy.on_frames(
            step, Chunk.of(encoded, first, torch.from_numpy(seconds[merged - 1 :: merged]))
        )
        for layer in branch.layers:
            layer.shared = bool(reduced.retract)  # replaced tokens belong to `cache`: copy before writing
        if reduced.tokens and not _has_room(session, branch, int(reduced.encoded.offsets.max()) + 1):
            logger.warning("no positions are left for the newest frame, so this answer does not see it")
            cache.release(branch)
            return cache
        _prefill(session, step, reduced, layout)
    except BaseException:
        cache.release(branch)
        raise
    return branch


def _has_room(session: StreamSession, branch: MemoryCache, positions: int) -> bool:
    """Return whether a branch has that many positions left; compacts it if that helps."""
    most = session.model.max_positions - reserve(session.model) // 2
    if int(branch.next_positions().max()) + positions <= most + 1:
        return True
    if session.policy.has_budget:
        for layer in branch.layers:
            layer.shared = True  # copy before the keys are rotated
            reindex(layer, branch.prompt_len, session.model.rotary)
    return int(branch.next_positions().max()) + positions <= most + 1


def _note(session: StreamSession, outcome: Outcome | None) -> None:
    """Record an eviction."""
    if outcome is None:
        return
    session.state.history.evictions.append(
        Eviction(
            sequence=session.state.history.sequence,
            seconds=session.seconds,
            frames_seen=session.steps_seen,
            evicted=np.asarray(outcome.evicted, np.int64),
            merged=np.asarray(outcome.merged, np.int64),
            reindexed=np.asarray(outcome.reindexed, np.bool_),
        )
    )
    if outcome.scores is not None:
        history = session.state.history
        session.token_history.add(outcome.scores.at(history.sequence, session.seconds, session.steps_seen))


def opened_cache(session: StreamSession) -> MemoryCache:
    """Return the cache; on first use, create it and prefill the prompt."""
    if session.state.cache is None:
        model = session.model
        released = model.released_text() if session.policy.answer_settings().released_chat else None
        session.state.released_chat = released is not None
        ids = model.tokenize(model.head_text() if released is None else released[0])
        chunk = session.chunk * model.tokens_per_frame
        budget = session.policy.budget if session.policy.has_budget else 4 * chunk
        cache = model.new_cache(len(ids) + budget + chunk + 512)
        zero = torch.zeros(model.num_layers, dtype=torch.long, device=model.device)
        provenance = Provenance.of_text(len(ids), model.device, PROMPT)
        model.prefill(model.embed(ids), model.text_positions(zero, len(ids)), provenance, cache)
        cache.prompt_len = len(ids)
        session.state.cache = cache
    return session.state.cache


def step_of(session: StreamSession, cache: MemoryCache, layout: Layout) -> Step:
    """Return what the policy receives about a step on `cache`, which may be a branch of the memory."""

    def measure_guidance(
        wanted: Sequence[bool], mode: GuidanceMode, tiers: Sequence[int] | None = None
    ) -> list[Tensor | None]:
        return measure(session.model, cache, tier_prompts(session), wanted, mode, tiers)

    return Step(session.model, cache, measure_guidance, session.state.policy_state, layout.grid)


def tier_prompts(session: StreamSession) -> dict[int, str]:
    """Return the guidance prompts of the tiers, by tier; they may refer to the last question and its answer."""
    return session.policy.tier_prompts(session.model.card.guidance, session.state.history.conversation)
