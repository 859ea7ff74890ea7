"""Checks of the cache, the policy's state and the archive in a session file, before a session is built from them.

Each function raises `InvalidValueError`, whose message is a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from hermes.files.checks import InvalidValueError, flag, sequence, whole
from hermes.files.limits import LARGEST_NUMBER
from hermes.memory.archive_layer import STRIDE
from hermes.memory.layer import FIRST, FRAME, KIND, MASS, PATCH, SECONDS
from hermes.memory.linear_state import StateTensors
from hermes.policies import Policy
from hermes.policies.ops.frame_store import STORE_FIELDS
from hermes.session.header_checks import read_released_chat
from hermes.session.session_file import SessionFile, limited
from hermes.snapshot import KINDS, PROMPT, VISION

LARGEST_STATE: Final = 1e4
"""Largest magnitude of a key or value: above it, attention in half precision overflows."""


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
