"""Checks of a session file against the model, before a session is built from it.

Each function raises `InvalidValueError` or another `HermesError`, whose message is a sentence.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from hermes.analysis.token_history import ScoreRecord
from hermes.backbones.base import Backbone
from hermes.files.checks import (
    InvalidValueError,
    flag,
    mapping,
    member,
    number,
    rising,
    sequence,
    text,
    whole,
    within,
)
from hermes.files.limits import LARGEST_NUMBER, SESSION_LIMITS
from hermes.memory.archive_layer import STRIDE
from hermes.memory.cache import FIRST, FRAME, KIND, MASS, PATCH, SECONDS
from hermes.memory.encoded import Layout
from hermes.memory.linear_state import StateTensors
from hermes.memory.tiers import FamilyConstants, Ramp
from hermes.policies import Policy, make_policy, policy_of
from hermes.policies.base import reserve
from hermes.policies.ops.frame_store import STORE_FIELDS
from hermes.session.record import SessionStats
from hermes.snapshot import KINDS, PROMPT, STORED_NAMES, VISION, AnswerTrace, Eviction
from hermes.trace.consistency import check_answer, check_answer_arrays, check_history, check_records
from hermes.trace.moments import RunHistory

LARGEST_CHUNK: Final = 4096
LARGEST_SIDE: Final = 16_384
"""Largest width or height of a pending frame, in pixels."""
MOST_PENDING: Final = 64
LARGEST_COUNT: Final = 1 << 50
"""Largest value of a counter; the session increments it further."""
LARGEST_STATE: Final = 1e4
"""Largest magnitude of a key or value: above it, attention in half precision overflows."""
_ANSWER: Final = {
    "attention": np.float32, "attention_heads": np.float32, "attention_rest": np.float32, "attention_patch": np.float32,
    "token_frame": np.int32, "token_patch": np.int16, "offsets": np.int64, "tokens_read": np.int64,
}  # fmt: skip
_EVICTION: Final = {"evicted": np.int64, "merged": np.int64, "reindexed": np.bool_}
_RECORD: Final = {
    "offsets": np.int64, "frame": np.int32, "patch": np.int16, "importance": np.uint8, "kept": np.bool_,
    "merged": np.bool_,
}  # fmt: skip


@dataclass(frozen=True)
class SessionFile:
    """A session file whose header and tensors are being checked.

    Attributes:
        header: The JSON header.
        tensors: The tensors by name.
        model: The model that the session will use.
    """

    header: dict[str, Any]
    tensors: Mapping[str, Tensor]
    model: Backbone

    def part(self, name: str) -> Any:
        """A required member of the header."""
        return member(self.header, name, "header")

    def tensor(self, name: str, shape: tuple[int | None, ...], dtype: torch.dtype, *, finite: bool = True) -> Tensor:
        """Return a required tensor after checking shape (None: any size), type and values (finite, or NaN if allowed)."""
        if name not in self.tensors:
            raise InvalidValueError(f"The tensor “{name}” is missing.")
        value = self.tensors[name]
        if value.dtype != dtype:
            raise InvalidValueError(f"The tensor “{name}” has the type {value.dtype}.")
        if value.dim() != len(shape) or any(
            want not in (None, have) for want, have in zip(shape, value.shape, strict=True)
        ):
            raise InvalidValueError(f"The tensor “{name}” has the shape {list(value.shape)}.")
        if value.is_floating_point() and not (value.isfinite() | (value.isnan() & (not finite))).all():
            raise InvalidValueError(f"The tensor “{name}” has values that are not finite.")
        return value

    def array(self, name: str, dtype: Any) -> np.ndarray[Any, Any]:
        """Return a required tensor as an array after checking its type."""
        if name not in self.tensors:
            raise InvalidValueError(f"The tensor “{name}” is missing.")
        value = self.tensors[name]
        if value.dtype == torch.bfloat16 or value.numpy().dtype != dtype:
            raise InvalidValueError(f"The tensor “{name}” has the type {value.dtype}.")
        return value.numpy()


def limited(values: Tensor, low: float, high: float, name: str) -> None:
    """Check that every value of a tensor is within a range."""
    if values.numel() and not (low <= float(values.min()) and float(values.max()) <= high):
        raise InvalidValueError(f"The {name} must be from {low:g} to {high:g}.")


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
    if len(question) + len(answer) > 4 * SESSION_LIMITS.text or any(
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
        whole(member(listed, "frames_per_step", "layout"), "layout", 1, MOST_PENDING),
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
    for i, value in enumerate(sequence(file.part("pending"), "waiting frames", MOST_PENDING)):
        seconds = float(number(value, "time of a waiting frame"))
        if newest is not None and seconds < newest:
            raise InvalidValueError("A waiting frame is earlier than the one before it.")
        frame = file.tensor(f"pending.{i}", (None, None, 3), torch.uint8)
        if not 1 <= min(frame.shape[:2]) <= max(frame.shape[:2]) <= LARGEST_SIDE:
            raise InvalidValueError("A waiting frame has no pixels or too many.")
        pending.append((frame.numpy(), seconds))
        newest = seconds
    return pending


def check_memory(file: SessionFile, frames: int, patches: int) -> None:
    """Check the tensors of the cache against the model.

    Args:
        file: The file.
        frames: Frames that the memory has seen; at least 1.
        patches: Tokens of a frame.
    """
    model = file.model
    prompt = whole(file.part("prompt_len"), "number of prompt tokens")
    released = model.released_text() if read_released_chat(file) else None
    if prompt != len(model.tokenize(model.head_text() if released is None else released[0])):
        raise InvalidValueError("The prompt is not that of this model.")
    intact = sequence(file.part("intact"), "list of layers", model.num_layers)
    if len(intact) != model.num_layers:
        raise InvalidValueError("The list of layers is incomplete.")
    for value in intact:
        flag(value, "list of layers")
    for i in range(model.num_layers):
        state = (model.kv_heads, None, model.head_dim)
        tokens = file.tensor(f"layer.{i}.keys", state, model.dtype).shape[1]
        if not prompt <= tokens <= model.max_positions:
            raise InvalidValueError(f"Layer {i} holds {tokens} tokens.")
        file.tensor(f"layer.{i}.values", (model.kv_heads, tokens, model.head_dim), model.dtype)
        for name in ("keys", "values"):
            limited(file.tensors[f"layer.{i}.{name}"], -LARGEST_STATE, LARGEST_STATE, f"{name} of tokens")
        positions = file.tensor(f"layer.{i}.positions", (model.axes, tokens), torch.int64)
        limited(positions, 0, model.max_positions - 1, "positions of tokens")
        labels = file.tensor(f"layer.{i}.labels", (4, tokens), torch.int32)
        figures = file.tensor(f"layer.{i}.figures", (5, tokens), torch.float32, finite=False)
        _check_provenance(labels, figures, prompt, frames, patches)
        if any(f"heads.{i}.{name}" in file.tensors for name in ("positions", "labels", "figures")):
            _check_heads(file, i, tokens, prompt, frames, patches)


def read_linear_states(file: SessionFile) -> dict[int, dict[str, StateTensors]]:
    """Return the states of the layers that hold no tokens, by number of the layer and by name, on the layer's device."""
    model, tensors = file.model, file.tensors
    names = {name.rsplit(".", 1)[0] for name in tensors if name.startswith("linear.")}
    moments = ["now", "prompt"] + ["held"] * any(name.endswith(".held") for name in names)
    if names != {f"linear.{layer}.{moment}" for layer in model.state_layers for moment in moments}:
        raise InvalidValueError("The states of layers are not those of this model.")
    found: dict[int, dict[str, StateTensors]] = {}
    for layer, (conv, recurrent, device) in model.state_shapes().items():
        found[layer] = {}
        for moment in moments:
            name = f"linear.{layer}.{moment}"
            parts = (
                file.tensor(f"{name}.conv", conv, model.dtype),
                file.tensor(f"{name}.recurrent", recurrent, torch.float32),
            )
            for part in parts:
                limited(part, -LARGEST_STATE, LARGEST_STATE, "states of layers")
            found[layer][moment] = StateTensors(*(part.to(device) for part in parts))
    return found


def _check_heads(file: SessionFile, layer: int, tokens: int, prompt: int, frames: int, patches: int) -> None:
    heads = file.model.kv_heads
    positions = file.tensor(f"heads.{layer}.positions", (heads, file.model.axes, tokens), torch.int64)
    limited(positions, 0, file.model.max_positions - 1, "positions of tokens")
    labels = file.tensor(f"heads.{layer}.labels", (heads, 4, tokens), torch.int32)
    figures = file.tensor(f"heads.{layer}.figures", (heads, 5, tokens), torch.float32, finite=False)
    for label, figure in zip(labels, figures, strict=True):
        _check_provenance(label, figure, prompt, frames, patches)


def _check_provenance(labels: Tensor, figures: Tensor, prompt: int, frames: int, patches: int) -> None:
    """Check the provenance of the tokens of a layer or of one head: labels [4, tokens], figures [5, tokens]."""
    kind = labels[KIND]
    limited(kind, 0, len(KINDS) - 1, "kinds of tokens")
    if (kind[:prompt] != PROMPT).any() or (kind[prompt:] == PROMPT).any():
        raise InvalidValueError("The prompt does not precede the other tokens.")
    limited(labels[FRAME], -1, frames - 1, "frames of tokens")
    limited(labels[FRAME, :prompt], -1, -1, "frames of prompt tokens")
    limited(labels[PATCH], -1, patches - 1, "patches of tokens")
    limited(labels[FIRST], -1, frames - 1, "first frames of tokens")
    seen = labels[:, kind == VISION].long()
    limited(seen[FRAME], 0, frames - 1, "frames of vision tokens")
    limited(seen[PATCH], 0, patches - 1, "patches of vision tokens")
    if (torch.diff(seen[FRAME] * patches + seen[PATCH]) <= 0).any():
        raise InvalidValueError("The tokens are not in the order of the stream.")
    mass, seconds = figures[MASS], figures[SECONDS, prompt:]
    if not mass.isfinite().all() or not seconds.isfinite().all():
        raise InvalidValueError("Tokens lack a mass or a time.")
    limited(mass, 0, LARGEST_NUMBER, "masses of tokens")
    limited(figures.nan_to_num(), -LARGEST_NUMBER, LARGEST_NUMBER, "scores and times of tokens")


def read_evictions(file: SessionFile) -> list[Eviction]:
    """Return every eviction, oldest first; see also `check_history_of`."""
    evictions = []
    for i, value in enumerate(sequence(file.part("evictions"), "evictions", SESSION_LIMITS.parts)):
        arrays = _arrays(file, f"eviction.{i}", _EVICTION)
        evictions.append(Eviction(**_moment(value, "eviction"), **arrays))
    return evictions


def read_records(file: SessionFile) -> list[ScoreRecord]:
    """Return the score records, oldest first; see also `check_history_of`."""
    records = []
    for i, value in enumerate(sequence(file.header.get("life", []), "score records", SESSION_LIMITS.parts)):
        arrays = _arrays(file, f"life.{i}", _RECORD)
        complete = flag(member(mapping(value, "score record"), "complete", "score record"), "score record")
        records.append(ScoreRecord(**_moment(value, "score record"), **arrays, complete=complete))
    return records


def _arrays(file: SessionFile, prefix: str, types: Mapping[str, Any]) -> dict[str, Any]:
    return {name: file.array(f"{prefix}.{STORED_NAMES.get(name, name)}", dtype) for name, dtype in types.items()}


def _moment(value: Any, name: str) -> dict[str, Any]:
    values = mapping(value, name)
    return {
        "sequence": whole(member(values, "sequence", name), f"number of an {name}"),
        "seconds": float(number(member(values, "seconds", name), f"time of an {name}")),
        "frames_seen": whole(member(values, "frames_seen", name), f"frames of an {name}"),
    }


def read_answer(file: SessionFile) -> AnswerTrace | None:
    """Return the last answer; see also `check_history_of`."""
    if "answer" not in file.header:
        return None
    values = mapping(file.part("answer"), "answer")
    held: dict[str, Any] = {name: file.array(f"answer.{name}", dtype) for name, dtype in _ANSWER.items()}
    asked = member(values, "asked_seconds", "answer")
    return AnswerTrace(
        question=text(member(values, "question", "answer"), "question", SESSION_LIMITS.json_bytes),
        answer=text(member(values, "answer", "answer"), "answer", SESSION_LIMITS.json_bytes),
        asked_seconds=math.nan if asked != asked else float(number(asked, "time of an answer")),  # noqa: PLR0124 - nan
        frames_seen=whole(member(values, "frames_seen", "answer"), "frames of an answer", 1, SESSION_LIMITS.frames),
        first_token_seconds=float(number(member(values, "first_token_seconds", "answer"), "time to first token", 0.0)),
        moved_bytes=whole(member(values, "moved_bytes", "answer"), "moved bytes of an answer"),
        **held,
    )


def check_history_of(
    times: list[float],
    evictions: list[Eviction],
    records: list[ScoreRecord],
    answer: AnswerTrace | None,
    layers: int,
    patches: int,
) -> None:
    """Check evictions, score records and the answer against the stream."""
    check_history(RunHistory(np.asarray(times), tuple(evictions), []), layers)
    check_records(records, layers, len(times), patches)
    for before, after in itertools.pairwise(records):
        if after.sequence < before.sequence:
            raise InvalidValueError("The score records are not in order.")
    if answer is not None:
        check_answer_arrays(answer)
        check_answer(answer, layers, len(times), patches)


def check_state(file: SessionFile, policy: Policy, frames: int, patches: int) -> dict[str, Tensor]:
    """Return the tensors of the policy's state outside the cache, by name."""
    state = {name.removeprefix("state."): value for name, value in file.tensors.items() if name.startswith("state.")}
    sizes = {"hidden": int(file.model.text_config.hidden_size), "patches": patches, "axes": file.model.axes}
    vision = getattr(file.model.model.config, "vision_config", None)
    sizes["streams"] = 1 + len(getattr(vision, "deepstack_visual_indexes", ()))
    expected = policy.state_fields
    checked = state
    if expected is None:  # a snapshot reads the frame store whatever the policy is
        expected, checked = STORE_FIELDS, {name: value for name, value in state.items() if name.startswith("store.")}
    for name, value in checked.items():
        known = "store.deepstack" if name.startswith("store.deepstack") else name
        if known not in expected or not expected[known].fits(value, sizes, frames, file.model.dtype):
            raise InvalidValueError(f"The state “{name}” is not one of the policy {policy.name}.")
        for side, size in zip(expected[known].shape, value.shape, strict=True):
            if isinstance(side, str) and side != "any":
                sizes.setdefault(side, size)
    for group in {field.group for field in expected.values() if field.group}:
        if len({name in state for name, field in expected.items() if field.group == group}) > 1:
            raise InvalidValueError(f"A part of the state “{group}” is missing.")
    if any(name.startswith("store.") for name in state):
        _check_store(state, frames, patches)
    return state


def _check_store(state: Mapping[str, Tensor], frames: int, patches: int) -> None:
    """Check that the tensors of a frame store fit together, see `hermes.policies.ops.frame_store`."""
    names = ("embeddings", "step", "patch", "offsets", "labels", "figures")
    if any(f"store.{name}" not in state for name in names):
        raise InvalidValueError("The frame store is incomplete.")
    embeddings, step, patch, positions, labels, figures = (state[f"store.{name}"] for name in names)
    tokens = embeddings.shape[1]
    if not tokens or any(part.shape[-1] != tokens for part in (step, patch, positions, labels, figures)):
        raise InvalidValueError("The tensors of the frame store have different lengths.")
    _check_provenance(labels, figures, 0, frames, patches)
    limited(labels[FRAME], 0, frames - 1, "frames of stored tokens")
    limited(labels[KIND], VISION, len(KINDS) - 1, "kinds of stored tokens")
    if (torch.diff(labels[FRAME]) < 0).any():
        raise InvalidValueError("The stored tokens are not in the order of the stream.")
    if (patch != labels[PATCH]).any():
        raise InvalidValueError("Stored tokens have two different patches.")
    vision = int((patch >= 0).sum())
    if any(len(value) != vision for name, value in state.items() if name.startswith("store.deepstack")):
        raise InvalidValueError("The tensors of the frame store have different lengths.")


def check_archive(file: SessionFile, frames: int, patches: int) -> dict[str, Tensor]:
    """Return the tensors of the archive, by name; empty without an archive."""
    model = file.model
    archive = {
        name.removeprefix("archive."): value for name, value in file.tensors.items() if name.startswith("archive.")
    }
    if not archive:
        return archive
    for i in range(model.num_layers):
        prefix = f"archive.{i}"
        payload = file.tensor(f"{prefix}.payload", (None, 2, model.kv_heads, model.head_dim), model.dtype)
        tokens = len(payload)
        limited(payload, -LARGEST_STATE, LARGEST_STATE, "keys and values of archived tokens")
        labels = file.tensor(f"{prefix}.labels", (tokens, 4), torch.int32).T
        file.tensor(f"{prefix}.figures", (tokens, 5), torch.float32, finite=False)
        positions = file.tensor(f"{prefix}.positions", (tokens, model.axes), torch.int64)
        limited(positions, -STRIDE, (frames + 1) * STRIDE, "positions of archived tokens")
        means = file.tensor(f"{prefix}.representatives", (None, model.kv_heads, model.head_dim), torch.float32)
        starts = file.tensor(f"{prefix}.starts", (len(means) + 1,), torch.int64)
        if int(starts[0]) != 0 or int(starts[-1]) != tokens or (torch.diff(starts) <= 0).any():
            raise InvalidValueError("The blocks of the archive do not match its tokens.")
        limited(labels[KIND], VISION, len(KINDS) - 1, "kinds of archived tokens")
        limited(labels[FRAME], -1, frames - 1, "frames of archived tokens")
        limited(labels[PATCH], -1, patches - 1, "patches of archived tokens")
        limited(labels[FIRST], -1, frames - 1, "first frames of archived tokens")
    if len(archive) != 6 * model.num_layers:
        raise InvalidValueError("The archive has other layers than the model.")
    return archive
