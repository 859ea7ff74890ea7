"""Checks of the header of a session file and of its frames, before a session is built from them.

Each function raises `InvalidValueError` or another `HermesError`, whose message is a sentence.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import torch

from hermes.files.checks import InvalidValueError, flag, mapping, member, number, rising, sequence, text, whole, within
from hermes.files.limits import LARGEST_NUMBER, SESSION_LIMITS
from hermes.memory.encoded import Layout
from hermes.memory.tiers import FamilyConstants, Ramp
from hermes.policies import Policy, make_policy, policy_of
from hermes.policies.limits import reserve
from hermes.session.record import SessionStats
from hermes.session.session_file import SessionFile

LARGEST_CHUNK: Final = 4096
LARGEST_SIDE: Final = 16_384
"""Largest width or height of a pending frame, in pixels."""
MAX_PENDING: Final = 64
LARGEST_COUNT: Final = 1 << 49
"""Largest value of a counter that is saved and loaded; the session increments it further."""
LARGEST_TIME: Final = 1e12
"""Largest time in seconds of the newest frame."""
LONGEST_CONVERSATION: Final = 64_000
"""Characters of the last question and its answer together. They are tokenized, which takes time."""


def read_policy(file: SessionFile) -> Policy:
    """Return the policy with its settings, checked against the model."""
    values = mapping(file.part("policy"), "policy")
    kind = policy_of(text(member(values, "name", "policy"), "policy", 200))
    settings: dict[str, object] = {}
    for item in fields(kind):
        if item.name not in values:
            continue
        value = values[item.name]
        settings[item.name] = value if value is None else _setting(item.name, item.default, value)
    try:
        policy = make_policy(kind, **settings)
        policy.check(file.model)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidValueError("The settings of the policy are invalid.") from error
    return policy


def _setting(name: str, default: object, value: Any) -> object:
    what = f"setting “{name}”"
    if name == "constants":
        return read_constants(value)
    if isinstance(default, bool):
        return flag(value, what)
    if isinstance(default, int):
        return whole(value, what, min(default, 0))  # -1 means no budget
    if isinstance(default, str) or isinstance(value, str):
        return text(value, what, SESSION_LIMITS.text)
    return value if default is None and isinstance(value, bool) else number(value, what)


def read_constants(value: Any) -> FamilyConstants:
    """Published constants of a model family."""
    listed = mapping(value, "constants")

    def ramps(name: str) -> tuple[Ramp, Ramp, Ramp]:
        entries = sequence(member(listed, name, "constants"), "constants", 3)
        ramp = [
            Ramp(
                *(
                    float(number(member(mapping(e, "constants"), key, "constants"), "constants"))
                    for key in ("start", "change")
                )
            )
            for e in entries
        ]
        if len(ramp) != 3:
            raise InvalidValueError("The constants do not have three ramps.")
        return ramp[0], ramp[1], ramp[2]

    gamma = [float(number(g, "constants")) for g in sequence(member(listed, "gamma", "constants"), "constants", 3)]
    if len(gamma) != 3:
        raise InvalidValueError("The constants do not have three weights.")
    return FamilyConstants(ramps("alpha"), ramps("k"), (gamma[0], gamma[1], gamma[2]))


def read_stats(file: SessionFile) -> SessionStats:
    """Return the statistics of the session."""
    values = mapping(file.part("stats"), "statistics")
    stats = SessionStats()
    for item in fields(SessionStats):
        value = member(values, item.name, "statistics")
        what = f"statistic “{item.name}”"
        if isinstance(item.default, int):
            setattr(stats, item.name, whole(value, what, 0, LARGEST_COUNT))
        elif value is None and item.default is None:
            setattr(stats, item.name, None)
        else:
            setattr(stats, item.name, float(number(value, what, 0.0)))
    return stats


def read_times(file: SessionFile) -> list[float]:
    """Return the times of the frames that the memory has seen, in seconds."""
    times = file.tensor("times", (None,), torch.float64).numpy()
    if len(times) > SESSION_LIMITS.frames:
        raise InvalidValueError("There are too many frames.")
    rising(within(times, -LARGEST_NUMBER, LARGEST_NUMBER, "times of frames"), "times of frames")
    if len(times) and times[-1] > LARGEST_TIME:
        raise InvalidValueError("The times of frames are too large to continue.")
    values: list[float] = times.tolist()
    return values


def read_conversation(file: SessionFile) -> tuple[str, str] | None:
    """Return the last question and its answer."""
    value = file.part("conversation")
    if value is None:
        return None
    pair = sequence(value, "conversation", 2)
    if len(pair) != 2:
        raise InvalidValueError("The conversation is not a question and an answer.")
    question, answer = (text(part, "conversation", SESSION_LIMITS.json_bytes) for part in pair)
    if len(question) + len(answer) > LONGEST_CONVERSATION or any(
        len(file.model.tokenize(part)) > reserve(file.model) for part in (question, answer)
    ):
        raise InvalidValueError("The conversation is too long.")
    return question, answer


def read_released_chat(file: SessionFile) -> bool:
    """Return whether the stream started with the system prompt of the released code; older files do not say."""
    released = flag(file.header.get("released_chat", False), "chat format")
    if released and file.model.released_text() is None:
        raise InvalidValueError("This model has no chat format of the released code.")
    return released


def read_layout(file: SessionFile, *, seen: bool) -> Layout | None:
    """Return the layout of frames in tokens; None before the first frame."""
    value = file.part("layout")
    if value is None:
        if seen:
            raise InvalidValueError("The layout is missing.")
        return None
    listed = mapping(value, "layout")

    def pair(name: str, most: int) -> tuple[int, int]:
        sides = [whole(side, "layout", 1, most) for side in sequence(member(listed, name, "layout"), "layout", 2)]
        if len(sides) != 2:
            raise InvalidValueError("The layout does not have two sides.")
        return sides[0], sides[1]

    pixels = pair("pixels", LARGEST_SIDE)
    layout = Layout(
        pair("grid", SESSION_LIMITS.patches),
        pixels,
        whole(member(listed, "frames_per_step", "layout"), "layout", 1, MAX_PENDING),
        float(number(member(listed, "interval", "layout"), "layout", 0.0)),
    )
    expected = file.model.layout(pixels[1], pixels[0])
    if (layout.grid, layout.pixels, layout.frames_per_step) != (
        expected.grid, expected.pixels, expected.frames_per_step,
    ):  # fmt: skip
        raise InvalidValueError(
            f"The layout, with frames of {pixels[0]} x {pixels[1]} pixels, is not one of this model at its frame size."
        )
    return layout


def read_pending(file: SessionFile, newest: float | None) -> list[tuple[Any, float]]:
    """Return the pending frames, which wait for the frame that they are merged with."""
    pending = []
    for i, value in enumerate(sequence(file.part("pending"), "waiting frames", MAX_PENDING)):
        seconds = float(number(value, "time of a waiting frame"))
        if newest is not None and seconds < newest:
            raise InvalidValueError("A waiting frame is earlier than the one before it.")
        frame = file.tensor(f"pending.{i}", (None, None, 3), torch.uint8)
        if not 1 <= min(frame.shape[:2]) <= max(frame.shape[:2]) <= LARGEST_SIDE:
            raise InvalidValueError("A waiting frame has no pixels or too many.")
        pending.append((frame.numpy(), seconds))
        newest = seconds
    return pending
