"""Guidance: generic prompts as a proxy for a future question (paper section 3.3).

Measures the attention of the prompts on each cached video token; `hermes.memory.guidance_prompts` has their texts. The cache
is not modified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from hermes.memory.cache import MemoryCache
from hermes.memory.watched_attention import AttentionRecorder, attention_mask

GuidanceMode = Literal["forward", "embedding"]
"""`forward`: a full forward pass of the prompts, as the paper describes; no published number was made with it. `embedding`:
every layer's queries are computed from the word embeddings, without a causal mask, as in the released code, which produced
all published numbers; cheaper, but different from the paper."""


class GuidanceModel(Protocol):
    """The parts of a model that the guidance pass needs; `hermes.backbones.base.Backbone` provides them."""

    device: torch.device
    token_layers: tuple[int, ...]
    layer_devices: tuple[torch.device, ...]
    decoder_devices: tuple[torch.device, ...]

    @property
    def decoder(self) -> Any:
        """The text decoder, with its `layers`."""

    @property
    def tiers(self) -> tuple[int, ...]:
        """Tier of each layer that holds tokens."""

    def tokenize(self, text: str) -> Tensor:
        """Return the token ids of `text`, int64 [tokens]."""

    def embed(self, ids: Tensor) -> Tensor:
        """Return the word embeddings of token ids, [1, tokens, hidden]."""

    def text_positions(self, start: Tensor, tokens: int) -> Tensor:
        """Return the positions of `tokens` text tokens after `start`."""

    def rotary_embeddings(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cosines and sines for `positions`."""


@torch.inference_mode()
def measure(
    backbone: GuidanceModel,
    cache: MemoryCache,
    prompts: Mapping[int, str],
    wanted: Sequence[bool],
    mode: GuidanceMode,
    tiers: Sequence[int] | None = None,
) -> list[Tensor | None]:
    """Measure the attention of the guidance prompts on every video token, `a_l(i)`: mean over heads and prompt tokens.

    All required prompts run in one pass and cannot attend to each other. Layers with linear attention have no mask that
    separates prompts, so a forward pass through them runs each prompt separately, on copies of their states.

    Args:
        backbone: The model.
        cache: The memory; not modified.
        prompts: Tier -> prompt.
        wanted: Whether each layer's attention is needed [layers].
        mode: How queries are computed, see `GuidanceMode`.
        tiers: Tier whose prompt each layer uses, non-decreasing [layers]; None uses each layer's own tier.

    Returns:
        For each layer float32 [video tokens], or None where `wanted` is false.
    """
    tiers = backbone.tiers if tiers is None else tiers
    needed = sorted({tiers[i] for i, want in enumerate(wanted) if want})
    if not needed:
        return [None] * len(tiers)
    if cache.states and mode == "forward" and len(needed) > 1:
        found: list[Tensor | None] = [None] * len(tiers)
        for tier in needed:
            own = [want and tiers[i] == tier for i, want in enumerate(wanted)]
            part = measure(backbone, cache, prompts, own, mode, tiers)
            found = [mean if known is None else known for known, mean in zip(found, part, strict=True)]
        return found
    segments = [backbone.tokenize(prompts[tier]) for tier in needed]
    lengths = [len(segment) for segment in segments]
    starts = {tier: sum(lengths[:i]) for i, tier in enumerate(needed)}
    # Prompts are ordered by tier, and tiers by depth: a prompt is dropped once no deeper layer needs it.
    begins = [min((starts[tier] for tier in needed if tier >= own), default=0) for own in tiers]
    sizes = dict(zip(needed, lengths, strict=True))
    recorder = AttentionRecorder(
        keys=[layer.length for layer in cache.layers],
        rows=[slice(sizes[tiers[i]]) if want else None for i, want in enumerate(wanted)],
    )
    embeddings = backbone.embed(torch.cat(segments))
    first = cache.next_positions()
    positions = torch.cat([backbone.text_positions(first, n) for n in lengths], dim=2)
    blocks = [torch.ones(n, n, dtype=torch.bool, device=backbone.device) for n in lengths]
    visible = torch.block_diag(*[block.tril() if mode == "forward" else block for block in blocks]).bool()
    branch = cache.branch()
    try:
        _attend(backbone, embeddings, positions, branch, recorder, visible, begins, mode)
    finally:
        cache.release(branch)
    # The layers of a large model are on several devices; move all scores to one.
    means = [recorder.mean(i).mean(0).to(backbone.device) if want else None for i, want in enumerate(wanted)]
    return [None if mean is None else mean[cache.prompt_len :] for mean in means]


def _attend(
    backbone: GuidanceModel,
    embeddings: Tensor,
    positions: Tensor,
    branch: MemoryCache,
    recorder: AttentionRecorder,
    visible: Tensor,
    begins: list[int],
    mode: GuidanceMode,
) -> None:
    """Run the prompts through the decoder, up to the last layer whose attention is recorded.

    `begins` has the first row that each layer, or a deeper one, still needs [layers that hold tokens].
    """
    branch.begin(positions, None)
    cos, sin = backbone.rotary_embeddings(embeddings, positions)
    last = max(i for i, window in enumerate(recorder.windows) if window is not None)
    hidden, left = embeddings, 0
    masks: dict[tuple[int, torch.device], Tensor | None] = {}
    numbers = {number: index for index, number in enumerate(backbone.token_layers)}
    for number, layer in enumerate(backbone.decoder.layers[: backbone.token_layers[last] + 1]):
        if number not in numbers:
            if mode == "forward":
                hidden = hidden.to(backbone.decoder_devices[number])
                hidden = layer(hidden, position_embeddings=None, attention_mask=None, past_key_values=branch)
            continue
        i = numbers[number]
        if begins[i] > left:
            skip, left, masks = begins[i] - left, begins[i], {}
            hidden, cos, sin, visible = hidden[:, skip:], cos[:, skip:], sin[:, skip:], visible[skip:, skip:]
        device, past = backbone.layer_devices[i], branch.layers[i].length
        if (past, device) not in masks:
            masks[past, device] = attention_mask(len(visible), past, device, visible.to(device))
        hidden = hidden.to(device)
        arguments = {
            "position_embeddings": (cos[i : i + 1].to(device), sin[i : i + 1].to(device)),
            "attention_mask": masks[past, device],
            "past_key_values": branch,
            "recorder": recorder,
            "memory_layer": i,
        }
        if mode == "forward" and i < last:
            hidden = layer(hidden, **arguments)
        elif recorder.windows[i] is not None:
            # The output of this layer is not needed: it is the last one, or every layer's input is the word embeddings.
            layer.self_attn(hidden_states=layer.input_layernorm(hidden), **arguments)
