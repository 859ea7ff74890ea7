"""Checks that the parts of a recorded run are consistent, so that every view of an opened run can be created.

Numpy only. Each function raises `InvalidValueError` or `DamagedError`, whose message is a sentence.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from hermes.analysis.token_history import ScoreRecord
from hermes.files.checks import flag, mapping, number, offsets, rising, seconds, shaped, text, whole, within
from hermes.files.limits import LARGEST_NUMBER, LATEST, RUN_LIMITS, FileTooLargeError, MemoryBudget
from hermes.snapshot import KINDS, STORED_NAMES, VISION, AnswerTrace, Snapshot
from hermes.trace.block import Array, DamagedError
from hermes.trace.moments import RunHistory
from hermes.view import LiveView

STATES = ("empty", "playing", "paused", "ended", "failed")
LARGEST_FIGURE: Final = 65504.0
"""Largest importance, recency or guidance attention: the largest float16."""
LARGEST_SHARE: Final = 1.01
"""Largest share of attention: 1 plus the rounding error of float16."""
MAX_PROMPTS: Final = 64
MERGED_FRAMES: Final = 64
"""Most frames that a model may merge into one. Evictions in older files count frames before merging."""
PAGE_FRAMES: Final = 240
"""Number of frames whose patches a saved page contains, see `ui.board.standalone`."""
_CELL_BYTES: Final = 64
"""Memory that the board needs for one frame of one layer."""
_PATCH_BYTES: Final = 12
"""Memory that a saved page needs for one patch of one frame of one layer."""
_SCORE_BYTES: Final = 6
"""Memory that a token history needs for one patch at one eviction in one layer."""
_TOKEN_BYTES: Final = 8
"""Memory of one token in a score record."""


def checked_view(view: LiveView, clock: float) -> LiveView:
    """Check the types, shapes and ranges of a decoded moment, and return it.

    Args:
        view: From `hermes.trace.moments.decode`.
        clock: Time of the moment in the header of the file, in seconds.
    """
    snapshot = view.snapshot
    if snapshot is None or not isinstance(view.state, str) or view.state not in STATES:
        raise DamagedError("A moment is in an unknown state.")
    if seconds(view.clock, "time of a moment") != clock:
        raise DamagedError("The time of a moment differs from the header.")
    whole(view.frame_index, "number of a frame", -1, snapshot.frames_seen - 1)
    for name in ("dropped", "skipped"):
        whole(getattr(view, name), f"“{name}” of a moment")
    for name in ("behind", "ingest_fps"):
        number(getattr(view, name), f"“{name}” of a moment")
    flag(view.answering, "“answering” of a moment")
    return replace(
        view,
        source=_text(view.source, "source"),
        duration=None if view.duration is None else seconds(view.duration, "duration"),
        first_token_ms=None
        if view.first_token_ms is None
        else number(view.first_token_ms, "time to first token of a moment", 0.0),
        error=None if view.error is None else _text(view.error, "error"),
        snapshot=_checked_snapshot(snapshot),
    )


def _checked_snapshot(snapshot: Snapshot) -> Snapshot:
    grid = snapshot.grid
    if not isinstance(grid, tuple) or len(grid) != 2:
        raise DamagedError("The grid of a moment is not two numbers.")
    if whole(grid[0], "grid", 1) * whole(grid[1], "grid", 1) > RUN_LIMITS.patches:
        raise FileTooLargeError(f"A frame has more than {RUN_LIMITS.patches:,} tokens.")
    for name in (
        "sequence",
        "prompt_len",
        "tokens_seen",
        "cache_bytes",
        "full_cache_bytes",
        "archive_bytes",
        "state_bytes",
    ):
        whole(getattr(snapshot, name), f"“{name}” of a moment")
    whole(snapshot.budget, "budget of a moment", -1)
    seconds(snapshot.seconds, "time of a moment")
    flag(snapshot.tiered, "“tiered” of a moment")
    prompts = mapping(snapshot.guidance_prompts, "guidance prompts")
    if len(prompts) > MAX_PROMPTS:
        raise DamagedError("A moment has too many guidance prompts.")
    if not isinstance(snapshot.state_layers, tuple) or len(snapshot.state_layers) > RUN_LIMITS.layers:
        raise DamagedError("The layers without tokens of a moment are not a list.")
    numbers = [
        whole(number, "layer without tokens", 0, snapshot.num_layers + len(snapshot.state_layers) - 1)
        for number in snapshot.state_layers
    ]
    if any(before >= after for before, after in itertools.pairwise(numbers)):
        raise DamagedError("The layers without tokens of a moment are not in order.")
    _check_tokens(snapshot)
    if snapshot.answer is not None:
        check_answer(snapshot.answer, snapshot.num_layers, snapshot.frames_seen, snapshot.tokens_per_frame)
    return replace(
        snapshot,
        model=_text(snapshot.model, "model"),
        policy=_text(snapshot.policy, "policy"),
        guidance=_text(snapshot.guidance, "guidance"),
        guidance_prompts={
            _text(key, "guidance prompts"): _text(value, "guidance prompts") for key, value in prompts.items()
        },
    )


def _check_tokens(snapshot: Snapshot) -> None:
    frames, patches = snapshot.frames_seen, snapshot.tokens_per_frame
    frame, kind = snapshot.frame, snapshot.kind
    within(frame, -1, frames - 1, "frames of tokens")
    within(snapshot.patch, -1, patches - 1, "patches of tokens")
    within(kind, 0, len(KINDS) - 1, "kinds of tokens")
    within(frame[kind == VISION], 0, frames - 1, "frames of vision tokens")
    within(snapshot.mass, 0.0, LARGEST_NUMBER, "masses of tokens")
    within(snapshot.position, -LARGEST_NUMBER, LARGEST_NUMBER, "positions of tokens")
    within(snapshot.token_seconds, 0.0, LATEST, "times of tokens", nan=True)
    within(snapshot.token_seconds[frame >= 0], 0.0, LATEST, "times of tokens")
    for name in ("importance", "recency", "guidance_attention"):
        within(getattr(snapshot, name), -LARGEST_FIGURE, LARGEST_FIGURE, f"values of “{name}”", nan=True)
    if snapshot.first_frame.size:
        within(snapshot.first_frame, -1, frames - 1, "first frames of tokens")
    if snapshot.held_by.size:
        within(snapshot.held_by, 0.0, 1.0, "shares of heads")
    if snapshot.archived.size:
        shaped(snapshot.archived, snapshot.kept.shape, "archived tokens")
    if (np.diff(snapshot.offsets) < snapshot.prompt_len).any():
        raise DamagedError("A layer holds fewer tokens than the prompt has.")


def check_answer_arrays(answer: AnswerTrace) -> None:
    """Check that the arrays of an answer are consistent and contain shares of attention."""
    frames = answer.frames_seen
    layers = len(shaped(answer.offsets, (None,), "offsets of an answer")) - 1
    tokens = len(shaped(answer.token_frame, (None,), "tokens of an answer"))
    heads = shaped(answer.attention_heads, (layers, None, frames), "attention of an answer").shape[1]
    if not 1 <= layers <= RUN_LIMITS.layers or not 1 <= heads <= RUN_LIMITS.heads:
        raise DamagedError("An answer has too few or too many layers or heads.")
    shaped(answer.attention, (layers, frames), "attention of an answer")
    shaped(answer.attention_rest, (layers, 3), "attention of an answer")
    shaped(answer.attention_patch, (tokens,), "attention of an answer")
    shaped(answer.token_patch, (tokens,), "tokens of an answer")
    for name in ("attention", "attention_heads", "attention_rest", "attention_patch"):
        within(getattr(answer, name), 0.0, LARGEST_SHARE, f"“{name}” of an answer")
    within(answer.token_frame, -1, frames - 1, "frames of an answer’s tokens")
    if answer.attention_by_token.size or answer.token_ends.size:
        _check_by_token(answer, (layers, heads, frames))
    within(answer.token_patch, -1, RUN_LIMITS.patches - 1, "patches of an answer’s tokens")
    offsets(answer.offsets, tokens, "offsets of an answer")
    if answer.tokens_read.size:
        read = shaped(answer.tokens_read, (layers,), "numbers of tokens read")
        within(read, 0, LARGEST_NUMBER, "numbers of tokens read")


def _check_by_token(answer: AnswerTrace, shape: tuple[int, int, int]) -> None:
    """Check the optional attention of the single tokens of an answer; `shape` is layers, heads and frames."""
    what = "attention of an answer’s words"
    if answer.attention_by_token.dtype != np.float16:
        raise DamagedError(f"The {what} has the type {answer.attention_by_token.dtype.name}.")
    count = shaped(answer.attention_by_token, (None, *shape), what).shape[0]
    within(answer.attention_by_token, 0.0, LARGEST_SHARE, what)
    ends = shaped(answer.token_ends, (count,), "ends of an answer’s tokens")
    rising(within(ends, 0, len(answer.answer), "ends of an answer’s tokens"), "ends of an answer’s tokens")


def check_answer(answer: AnswerTrace, layers: int, frames: int, patches: int) -> None:
    """Check an answer against its stream.

    Args:
        answer: From `hermes.trace.records.unpack_answer`.
        layers: Number of layers of the model.
        frames: Number of frames seen.
        patches: Tokens per frame.
    """
    if answer.attention.shape[0] != layers:
        raise DamagedError("An answer has other layers than the moments.")
    if answer.frames_seen > frames:
        raise DamagedError("An answer refers to frames that were not seen yet.")
    within(answer.token_patch, -1, patches - 1, "patches of an answer’s tokens")


def check_history(history: RunHistory, layers: int) -> None:
    """Check evictions and answers against the number of layers."""
    frames = len(history.frame_times)
    for event in history.evictions:
        for name in ("evicted", "merged"):
            what = f"“{STORED_NAMES.get(name, name)}” of an eviction"
            within(shaped(getattr(event, name), (layers,), what), 0, LARGEST_NUMBER, "evicted tokens")
        if event.reindexed.size:
            shaped(event.reindexed, (layers,), "“reindexed” of an eviction")
        if event.frames_seen > frames * MERGED_FRAMES:
            raise DamagedError("An eviction is later than the last frame.")
    for answer in history.answers:
        check_answer(answer, layers, frames, RUN_LIMITS.patches)


def check_records(records: Sequence[ScoreRecord], layers: int, frames: int, patches: int) -> None:
    """Check score records against the stream."""
    numbers = [record.sequence for record in records]
    if len(set(numbers)) != len(numbers):
        raise DamagedError("Two score records belong to one moment.")
    for record in records:
        tokens = len(shaped(record.frame, (None,), "frames of scores"))
        for name in ("patch", "importance", "kept"):
            shaped(getattr(record, name), (tokens,), f"“{name}” of scores")
        shaped(record.merged, (layers,), "“folded” of scores")
        shaped(record.offsets, (layers + 1,), "offsets of scores")
        offsets(record.offsets, tokens, "offsets of scores")
        within(record.frame, -1, frames - 1, "frames of scores")
        within(record.patch, -1, patches - 1, "patches of scores")
        if record.frames_seen > frames:
            raise DamagedError("A score record is later than the last frame.")


def require_histories(
    records: Sequence[ScoreRecord], layers: int, frames: int, patches: int, budget: MemoryBudget
) -> None:
    """Check that token histories can be computed from score records within the budget and in little time.

    Raises:
        FileTooLargeError: They cannot.
    """
    budget.require(layers * len(records) * patches * _SCORE_BYTES)
    # A token history follows each summary token into which tokens of the frame were merged through all later records.
    merges = np.zeros(frames, np.int64)
    for record in records:
        merged = (record.frame >= 0) & (record.patch >= 0) & ~record.kept & record.merged[record.layer_of]
        pairs = np.unique(record.layer_of[merged] * frames + record.frame[merged])
        merges += np.bincount(pairs % frames, minlength=frames)
    if int(merges.max(initial=0)) * len(records) > RUN_LIMITS.history_steps:
        raise FileTooLargeError("Its scores describe longer token histories than can be shown.")


def check_past(past: Sequence[Array], layers: int, frames: int) -> None:
    """Check the numbers of tokens that the layers held at earlier moments."""
    for kept in past:
        if kept.shape[0] != layers or kept.shape[1] > frames:
            raise DamagedError("The earlier moments belong to another stream.")


def check_order(snapshots: Sequence[tuple[int, int, int, int, tuple[int, int]]]) -> None:
    """Check that a stream only grows from moment to moment.

    Args:
        snapshots: Of each moment: sequence number, frames seen, evictions, layers and grid.
    """
    for before, now in itertools.pairwise(snapshots):
        if before[3:] != now[3:]:
            raise DamagedError("Two moments have different layers or grids.")
        if any(later < earlier for earlier, later in zip(before[:3], now[:3], strict=True)):
            raise DamagedError("A moment is earlier than the one before it.")


def facts_of(snapshot: Snapshot) -> tuple[int, int, int, int, tuple[int, int]]:
    """Return the values that `check_order` compares."""
    return (
        snapshot.sequence, snapshot.frames_seen, len(snapshot.evictions), snapshot.num_layers, snapshot.grid,
    )  # fmt: skip


def require_views(layers: int, frames: int, patches: int, budget: MemoryBudget) -> None:
    """Check that the memory for the board and a saved page fits into the budget in addition to the moments.

    Raises:
        FileTooLargeError: They exceed the budget.
    """
    budget.require(layers * frames * _CELL_BYTES)
    budget.require(layers * patches * min(frames, PAGE_FRAMES) * _PATCH_BYTES)


def charge_records(records: int, moments: int, tokens: int, budget: MemoryBudget) -> None:
    """Charge the memory of score records that are completed from moments of at most `tokens` tokens.

    Raises:
        FileTooLargeError: They exceed the budget.
    """
    budget.charge(min(records, moments) * tokens * _TOKEN_BYTES)


def _text(value: Any, name: str) -> str:
    return text(value, name, RUN_LIMITS.text)
