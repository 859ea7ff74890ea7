"""A stream session: push frames, ask questions and take snapshots at any time.

Not thread-safe: callers that share a session between threads must serialise access (see `hermes.serving.engine`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hermes.analysis.token_history import TokenHistoryLog
from hermes.backbones.base import NOMINAL_SIZE, Backbone
from hermes.errors import HermesError
from hermes.memory.cache import MemoryCache, Provenance, reindex
from hermes.memory.chunk import Chunk
from hermes.memory.encoded import Encode, Frames, Layout
from hermes.memory.guidance import GuidanceMode, measure
from hermes.memory.guidance_prompts import options_of
from hermes.memory.watched_attention import AttentionRecorder
from hermes.policies import SHARED_SETTINGS, Policy, Step, make_policy, policy_of
from hermes.policies.base import DEFAULT_BUDGET, PUBLISHED_CHUNK, Outcome, Recall, largest_budget, reserve
from hermes.policies.presets import preset_of
from hermes.session import storage
from hermes.session.answer import Answer
from hermes.session.inputs import checked
from hermes.session.record import SessionHistory, SessionStats
from hermes.session.snapshotting import take_snapshot
from hermes.session.state import SessionState
from hermes.snapshot import PROMPT, Eviction, Snapshot

logger = logging.getLogger(__name__)

LONGEST_QUESTION: Final = 8000
"""Characters of a question. A model with little context accepts fewer."""


class QuestionError(HermesError):
    """An invalid question."""


class StreamSession:
    """A stream of frames, its memory under a policy, and the conversation about it.

    Attributes:
        model: The backbone.
        policy: The current policy, with its settings.
        chunk: Maximum number of frames per prefill (published: 16).
        stats: Counters and wall times.
        token_history: Score records of all evictions, within a size limit.
    """

    def __init__(
        self,
        model: Backbone,
        policy: str | Policy = "hermes",
        budget: int | None = None,
        guidance: str | None = None,
        reindexing: str | None = None,
        chunk: int = PUBLISHED_CHUNK,
        changed: Mapping[str, object] | None = None,
        encode: Encode | None = None,
    ) -> None:
        """Start an empty stream.

        Args:
            model: A backbone, from `hermes.load`.
            policy: Name of a policy or preset (such as "released"), or a policy object.
            budget: Video tokens that a layer may hold; None: the published 4,000, or fewer if the model has less room.
            guidance: "forward" (paper) or "embedding" (released code); None: the policy's default.
            reindexing: "lazy" (streams) or "eager" (offline video); None: the policy's default.
            chunk: Maximum number of frames per prefill, at least 1.
            changed: Other settings of the policy by name, see `Policy.settings`; None: defaults.
            encode: Replaces the model's `encode`, for example with a cache shared by several sessions on the same frames
                (see `hermes.lab.seen_once`).

        Raises:
            HermesError: A setting is invalid; the message names it.
        """
        if chunk < 1:
            raise HermesError(f"A chunk must have at least one frame, not {chunk}.")
        if isinstance(policy, str):
            budget = min(DEFAULT_BUDGET, largest_budget(model)) if budget is None else budget
            preset = preset_of(policy)
            shared = {"budget": budget, "guidance": guidance or preset.guidance, "reindexing": reindexing}
            policy = make_policy(preset.policy, **(shared | dict(preset.changed) | dict(changed or {})))
        policy.check(model)
        self.model = model
        self.policy = policy
        self.chunk = chunk
        self.stats = SessionStats()
        self.token_history = TokenHistoryLog()
        self._encode = encode or model.encode
        self.state = SessionState()

    # The stream ---------------------------------------------------------------------------------------------------

    def push(self, frames: Frames, times: Sequence[float] | npt.NDArray[np.floating]) -> None:
        """Encode frames in chunks; after each chunk no layer exceeds `Policy.held_limit`.

        Args:
            frames: uint8 [T, H, W, 3] RGB.
            times: Stream time of each frame in seconds [T], ascending, not earlier than the frames before.

        Raises:
            FramesError: Shape, type or times are invalid; no frame was encoded.
            ContextFullError: The policy holds more tokens than the model supports; the memory so far is unchanged.
        """
        newest = self.state.pending[-1][1] if self.state.pending else self.seconds
        self.state.pending.extend(checked(frames, times, None if np.isnan(newest) else newest))
        while (ready := self._ready_frames()) > 0:
            chunk, self.state.pending = self.state.pending[:ready], self.state.pending[ready:]
            try:
                self._push_chunk(chunk)
            except BaseException:
                self.state.pending = []
                raise

    def _ready_frames(self) -> int:
        """Number of frames of the next chunk: whole steps only, since models may merge frames."""
        if not self.state.pending:
            return 0
        merged = self._layout_for(self.state.pending).frames_per_step
        most = max(self.chunk // merged, 1) * merged
        return min(len(self.state.pending) // merged * merged, most)

    def _layout_for(self, pending: list[tuple[Frames, float]]) -> Layout:
        """Return the stream's layout, determined by the size and spacing of the first frames."""
        if self.state.layout is not None:
            return self.state.layout
        height, width = pending[0][0].shape[:2]
        gaps = np.diff([seconds for _, seconds in pending])
        return self.model.layout(height, width, float(np.median(gaps)) if len(gaps) else None)

    @torch.inference_mode()
    def _push_chunk(self, chunk: list[tuple[Frames, float]]) -> None:
        began = time.perf_counter()
        history = self.state.history
        layout = self._layout_for(chunk)
        if self.state.layout is None:
            self.policy.check_layout(layout)
        cache = self._opened_cache()
        step = self._step(cache, layout)
        seconds = np.array([at for _, at in chunk])
        steps_before = len(history.times)
        encoded = self._encode([frame for frame, _ in chunk], seconds, steps_before, layout)
        tokens = encoded.embeddings.shape[1]
        # A step has the time of its last frame, when it is complete.
        step_seconds = seconds[layout.frames_per_step - 1 :: layout.frames_per_step]
        previous = dict(self.state.policy_state.tensors)
        try:
            reduced = self.policy.on_frames(step, Chunk.of(encoded, steps_before, torch.from_numpy(step_seconds)))
            if reduced.tokens:
                self._note(self.policy.make_room(step, int(reduced.encoded.offsets.max()) + 1))
            step = self._prefill(step, reduced, layout)
        except BaseException:
            self.state.policy_state.tensors = previous
            raise
        # The frames are in the memory now: record them even if the eviction below fails.
        self.state.layout = layout
        self.state.objects = encoded.objects[-1] if encoded.objects is not None else None
        history.times.extend(step_seconds)
        history.sequence += 1
        self.stats.frames_seen += len(chunk)
        self.stats.tokens_seen += tokens
        encoded_at = time.perf_counter()
        self._note(self.policy.after_encode(step))
        self.stats.encode_seconds += encoded_at - began
        self.stats.management_seconds += time.perf_counter() - encoded_at

    def _prefill(self, step: Step, chunk: Chunk, layout: Layout) -> Step:
        """Prefill a reduced chunk under the policy's attention mask; returns the step with its attention."""
        cache = step.cache
        cache.retract(chunk.retract)
        if not chunk.tokens:
            return replace(step, chunk=chunk)
        positions = self.model.chunk_positions(cache, chunk.encoded, chunk.first_step, layout)
        visible, rows = self.policy.encode_view(step, chunk), self.policy.watched_rows(step, chunk)
        recorder = None
        if rows is not None:
            keys = [layer.length + chunk.tokens for layer in cache.layers]
            recorder = AttentionRecorder(keys, [rows] * len(keys), past_visible=visible is None)
        embeddings, encoded = chunk.encoded.embeddings, chunk.encoded
        self.model.prefill(
            embeddings, positions, chunk.provenance, cache, recorder, encoded, visible, chunk.open_tokens
        )
        return replace(step, chunk=chunk, attention=recorder)

    @torch.inference_mode()
    def _with_pending(self, cache: MemoryCache) -> MemoryCache:
        """Return the memory with the pending frames, whose step is completed by repeating the newest one.

        The step is prefilled on a branch, without eviction: cache, positions and counters are unchanged, and the branch may
        hold one step more than the budget. The released code repeats the last frame of a clip in the same way.

        Returns:
            A branch of `cache`; `cache` itself if no frame is pending or the model has no positions left for it.
        """
        if not self.state.pending:
            return cache
        layout, first = self.layout, self.steps_seen
        merged = layout.frames_per_step
        chunk = self.state.pending + self.state.pending[-1:] * (-len(self.state.pending) % merged)
        seconds = np.array([at for _, at in chunk])
        # Not `self._encode`, which may store the result as that of the real step.
        encoded = self.model.encode([frame for frame, _ in chunk], seconds, first, layout)
        branch = cache.branch()
        try:
            step = self._step(branch, layout)
            reduced = self.policy.on_frames(
                step, Chunk.of(encoded, first, torch.from_numpy(seconds[merged - 1 :: merged]))
            )
            for layer in branch.layers:
                layer.shared = bool(reduced.retract)  # replaced tokens belong to `cache`: copy before writing
            if reduced.tokens and not self._has_room(branch, int(reduced.encoded.offsets.max()) + 1):
                logger.warning("no positions are left for the newest frame, so this answer does not see it")
                cache.release(branch)
                return cache
            self._prefill(step, reduced, layout)
        except BaseException:
            cache.release(branch)
            raise
        return branch

    def _has_room(self, branch: MemoryCache, positions: int) -> bool:
        """Return whether a branch has that many positions left; compacts it if that helps."""
        most = self.model.max_positions - reserve(self.model) // 2
        if int(branch.next_positions().max()) + positions <= most + 1:
            return True
        if self.policy.has_budget:
            for layer in branch.layers:
                layer.shared = True  # copy before the keys are rotated
                reindex(layer, branch.prompt_len, self.model.rotary)
        return int(branch.next_positions().max()) + positions <= most + 1

    def _note(self, outcome: Outcome | None) -> None:
        """Record an eviction."""
        if outcome is None:
            return
        self.state.history.evictions.append(
            Eviction(
                sequence=self.state.history.sequence,
                seconds=self.seconds,
                frames_seen=self.steps_seen,
                evicted=np.asarray(outcome.evicted, np.int64),
                merged=np.asarray(outcome.merged, np.int64),
                reindexed=np.asarray(outcome.reindexed, np.bool_),
            )
        )
        if outcome.scores is not None:
            history = self.state.history
            self.token_history.add(outcome.scores.at(history.sequence, self.seconds, self.steps_seen))

    def _opened_cache(self) -> MemoryCache:
        """Return the cache; on first use, create it and prefill the prompt."""
        if self.state.cache is None:
            model = self.model
            released = model.released_text() if self.policy.answer_settings().released_chat else None
            self.state.released_chat = released is not None
            ids = model.tokenize(model.head_text() if released is None else released[0])
            chunk = self.chunk * model.tokens_per_frame
            budget = self.policy.budget if self.policy.has_budget else 4 * chunk
            cache = model.new_cache(len(ids) + budget + chunk + 512)
            zero = torch.zeros(model.num_layers, dtype=torch.long, device=model.device)
            provenance = Provenance.of_text(len(ids), model.device, PROMPT)
            model.prefill(model.embed(ids), model.text_positions(zero, len(ids)), provenance, cache)
            cache.prompt_len = len(ids)
            self.state.cache = cache
        return self.state.cache

    def _step(self, cache: MemoryCache, layout: Layout) -> Step:
        def measure_guidance(
            wanted: Sequence[bool], mode: GuidanceMode, tiers: Sequence[int] | None = None
        ) -> list[Tensor | None]:
            return measure(self.model, cache, self._tier_prompts(), wanted, mode, tiers)

        return Step(self.model, cache, measure_guidance, self.state.policy_state, layout.grid)

    def _tier_prompts(self) -> dict[int, str]:
        return self.policy.tier_prompts(self.model.card.guidance, self.state.history.conversation)

    def question_text(self, question: str, prefix: str = "") -> str:
        """Return the text that is prefilled for a question, in the chat format with which the stream started.

        Args:
            question: The question.
            prefix: Start of the answer, if the question lists options.
        """
        released = self.model.released_text() if self.state.released_chat else None
        tail = self.model.tail_text(question) if released is None else released[1].replace("{question}", question)
        return tail + (prefix if options_of(question) else "")

    # The conversation ---------------------------------------------------------------------------------------------

    def check_question(self, question: str, *, frames_follow: bool = False) -> str:
        """Check a question without the model; returns it without surrounding spaces.

        Args:
            question: The question.
            frames_follow: Whether frames may be pushed before it is asked; then the memory may still be empty.

        Raises:
            QuestionError: The question is empty, too long or not valid Unicode, or no frame was seen yet.
        """
        question = question.strip()
        if not question:
            raise QuestionError("The question is empty.")
        if len(question) > LONGEST_QUESTION:
            raise QuestionError(
                f"The question is too long: it has {len(question):,} characters; at most {LONGEST_QUESTION:,} are allowed."
            )
        try:
            question.encode()
        except UnicodeEncodeError as error:
            raise QuestionError(
                "The question contains characters that are not valid Unicode. Type it again."
            ) from error
        if not frames_follow and not len(self.state.history.times):
            raise QuestionError("Nothing has been seen yet: let the stream run for a moment, then ask.")
        return question

    def ask(
        self,
        question: str,
        max_new_tokens: int | None = None,
        asked: float | None = None,
        *,
        answer_prefix: str | None = None,
        repetition_penalty: float | None = None,
        record: bool = True,
    ) -> Iterator[str]:
        """Ask about the frames seen so far; the answer is decoded greedily, piece by piece.

        Frames may be pushed between pieces: the answer uses the memory as it was when the question was asked. Question and
        answer are not stored in the memory. For models that merge frames, a pending frame is repeated to complete its step,
        so that the answer sees it; this is undone, and the frame still waits for its partner.

        Args:
            question: The question.
            max_new_tokens: Maximum length of the answer in tokens; None: the model's default.
            asked: Start of the time to first token, from `time.perf_counter()`; None: now.
            answer_prefix: Text with which the answer to a question with options “(A) … (B) …” starts; None: the policy's.
            repetition_penalty: Penalty of tokens that the answer contains, 1 or more; None: the policy's.
            record: Whether the session records the answer and its time; False for a warm-up, which leaves no trace.

        Returns:
            Iterator over the pieces of the answer. Closing it stops the answer.

        Raises:
            QuestionError: The question is empty or too long, or no frame was seen yet.
        """
        question = self.check_question(question)
        longest = max_new_tokens if max_new_tokens is not None else self.model.card.max_new_tokens
        if longest < 1:
            raise QuestionError(f"An answer must have at least one token, not {longest}.")
        own = self.policy.answer_settings()
        penalty = own.repetition_penalty if repetition_penalty is None else repetition_penalty
        if not 1 <= penalty < float("inf"):
            raise QuestionError(f"The repetition penalty must be 1 or more, not {penalty:g}.")
        asked = time.perf_counter() if asked is None else asked
        prefix = own.prefix if answer_prefix is None else answer_prefix
        ids = self.model.tokenize(self.question_text(question, prefix))
        room = reserve(self.model) // 2 - min(longest, reserve(self.model) // 4)
        if len(ids) > room:
            raise QuestionError(f"The question is too long: it has {len(ids)} tokens, and there is room for {room}.")
        longest = min(longest, reserve(self.model) // 4)
        cache, state = self._opened_cache(), self.state.policy_state
        tensors = dict(state.tensors)
        memory = self._with_pending(cache)
        try:
            step = replace(self._step(memory, self.layout), question=self.model.tokenize(question))
            recall = self.policy.before_answer(step, ids) or Recall(memory)
            answer = Answer(
                self.model, recall.memory, ids, longest, asked, self.steps_seen, recall.moved_bytes, penalty
            )
        except BaseException:
            cache.release(memory)
            raise
        finally:
            if memory is not cache:
                state.tensors = tensors  # as before the pending frames
        release = partial(cache.release, memory)
        if not record:
            return _unrecorded(answer, release)
        return self._answering(question, answer, self.seconds, release)

    def _answering(
        self, question: str, answer: Answer, asked_seconds: float, release: Callable[[], None]
    ) -> Iterator[str]:
        try:
            for piece in answer:
                self.stats.first_token_seconds = answer.first_token_seconds
                yield piece
        finally:
            answer.close()
            release()
            if math.isfinite(answer.first_token_seconds):  # otherwise it failed, or was stopped before it began
                self.stats.first_token_seconds = answer.first_token_seconds
                self.stats.questions += 1
                trace = answer.trace(question, asked_seconds)
                self.state.history.conversation = (question, trace.answer)
                self.state.history.answer = trace
                self.state.history.sequence += 1

    # State and settings -------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return the current content of the memory as numpy arrays, which never change."""
        return take_snapshot(self)

    def configure(
        self,
        policy: str | Policy | None = None,
        budget: int | None = None,
        changed: Mapping[str, object] | None = None,
        **settings: str | None,
    ) -> None:
        """Change policy, budget or settings from the next chunk on. Evicted tokens are not restored.

        Args:
            policy: Name of a policy, or a policy object; None: the current one.
            budget: Video tokens that a layer may hold; None: the current budget, or the default.
            changed: All settings of `Policy.settings` that differ from their defaults, by name; None: unchanged, or the
                defaults of a new policy.
            **settings: Settings that apply to every policy (`guidance`, `reindexing`); None: unchanged.

        Raises:
            HermesError: A setting is invalid; nothing was changed.
        """
        if not isinstance(policy, Policy):
            if budget is None:
                default = min(DEFAULT_BUDGET, largest_budget(self.model))
                budget = self.policy.budget if self.policy.has_budget else default
            # The current policy need not be registered.
            kind = policy_of(policy) if policy and policy != self.policy.name else type(self.policy)
            listed = {setting.name for setting in kind.settings}
            values: dict[str, object] = {key: value for key, value in settings.items() if value is not None}
            for key in ("guidance", "reindexing"):
                # A setting that `changed` can contain is taken from it alone: if missing, it returns to its default.
                if key not in values and not (changed is not None and key in listed):
                    values[key] = getattr(self.policy, key, None)
            if changed is None:
                changed = _own_settings(self.policy) if kind is type(self.policy) else {}
            policy = make_policy(kind, budget=budget, **(dict(changed) | values))
        policy.check(self.model)
        if self.state.layout is not None:
            policy.check_layout(self.state.layout)
        if policy.name != self.policy.name:
            self.state.policy_state.close()  # the archive and state of one policy are unusable for another
        self.policy = policy
        self.state.history.sequence += 1

    @property
    def steps_seen(self) -> int:
        """Number of frames in the memory; for models that merge frames, a group of merged frames counts as one."""
        return len(self.state.history.times)

    @property
    def seconds(self) -> float:
        """Time of the newest frame in seconds; nan before the first."""
        return self.state.history.times.newest

    @property
    def log_bytes(self) -> int:
        """Bytes of the logs of frames and evictions, without the memory and the token history."""
        return self.state.history.times.array.nbytes + self.state.history.evictions.nbytes

    @property
    def frames_waiting(self) -> int:
        """Number of pending frames, which wait for the frame they are merged with; a question sees them nevertheless."""
        return len(self.state.pending)

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings for the user, as sentences: a budget that holds very few frames of this size."""
        note = self.policy.note_on(self.state.layout) if self.state.layout is not None else ""
        return (note,) if note else ()

    @property
    def layout(self) -> Layout:
        """Layout of this stream's frames in tokens; before the first frame, that of a 4:3 stream."""
        return self.state.layout or self.model.layout(*NOMINAL_SIZE)

    @property
    def conversation(self) -> tuple[str, str] | None:
        """The last question and its answer; guidance prompts refer to it."""
        return self.state.history.conversation

    def remember(self, question: str, answer: str) -> None:
        """Replace the last question and answer, for example to mention an option instead of its letter."""
        self.state.history.conversation = (question, answer)
        self.state.history.sequence += 1

    def save(self, path: str | Path) -> None:
        """Write the session to a file for `StreamSession.load`; the loaded session gives the same answers.

        Raises:
            SessionFileError: The file cannot be written, or `load` would refuse it, for example because it is too large.
        """
        storage.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, model: Backbone) -> StreamSession:
        """Read a session that was saved with the same model.

        Raises:
            HermesError: The file is not a session, is damaged, or was saved with another model.
        """
        return storage.load(cls, Path(path), model)

    def close(self) -> None:
        """Free the memory; the session is empty afterwards."""
        self.state.cache, self.state.layout, self.state.pending = None, None, []
        self.state.policy_state.close()
        self.state.history = SessionHistory()
        self.token_history = TokenHistoryLog()
        self.stats = SessionStats()


def _unrecorded(answer: Answer, release: Callable[[], None]) -> Iterator[str]:
    try:
        yield from answer
    finally:
        answer.close()
        release()


def _own_settings(policy: Policy) -> dict[str, object]:
    """All fields of a policy by name, except the settings shared by all policies."""
    return {
        item.name: getattr(policy, item.name)
        for item in fields(policy)
        if item.init and item.name not in SHARED_SETTINGS
    }
