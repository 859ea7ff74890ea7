"""A stream session: push frames, ask questions and take snapshots at any time.

Not thread-safe: callers that share a session between threads must serialise access (see `hermes.serving.engine`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hermes.analysis.token_history import TokenHistoryLog
from hermes.backbones.base import NOMINAL_SIZE, Backbone
from hermes.errors import HermesError
from hermes.memory.encoded import Encode, Frames, Layout
from hermes.policies import SHARED_SETTINGS, Policy, make_policy, policy_of
from hermes.policies.limits import DEFAULT_BUDGET, PUBLISHED_CHUNK, largest_budget
from hermes.policies.presets import preset_of
from hermes.session import ingest, questions, storage
from hermes.session.record import SessionHistory, SessionStats
from hermes.session.snapshotting import take_snapshot
from hermes.session.state import SessionState
from hermes.snapshot import Snapshot


class StreamSession:
    """A stream of frames, its memory under a policy, and the conversation about it.

    Attributes:
        model: The backbone.
        policy: The current policy, with its settings.
        chunk: Maximum number of frames per prefill (published: 16).
        stats: Counters and wall times.
        token_history: Score records of all evictions, within a size limit.
        encode: Encodes frames, by default with the model.
        state: The memory, and what is known of the stream; see `SessionState`.
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
        self.encode = encode or model.encode
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
        ingest.push(self, frames, times)

    def question_text(self, question: str, prefix: str = "") -> str:
        """Return the text that is prefilled for a question, in the chat format with which the stream started.

        Args:
            question: The question.
            prefix: Start of the answer, if the question lists options.
        """
        return questions.question_text(self, question, prefix)

    # The conversation ---------------------------------------------------------------------------------------------

    def check_question(self, question: str, *, frames_follow: bool = False) -> str:
        """Check a question without the model; returns it without surrounding spaces.

        Args:
            question: The question.
            frames_follow: Whether frames may be pushed before it is asked; then the memory may still be empty.

        Raises:
            QuestionError: The question is empty, too long or not valid Unicode, or no frame was seen yet.
        """
        return questions.check_question(self, question, frames_follow=frames_follow)

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
        return questions.ask(
            self,
            question,
            max_new_tokens,
            asked,
            answer_prefix=answer_prefix,
            repetition_penalty=repetition_penalty,
            record=record,
        )

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


def _own_settings(policy: Policy) -> dict[str, object]:
    """All fields of a policy by name, except the settings shared by all policies."""
    return {
        item.name: getattr(policy, item.name)
        for item in fields(policy)
        if item.init and item.name not in SHARED_SETTINGS
    }
