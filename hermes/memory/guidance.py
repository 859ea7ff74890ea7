"""Guidance: generic prompts that stand in for a question that nobody has asked yet (paper section 3.3).

Builds the prompts and measures how much each cached video token is attended to by them; nothing is stored in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from hermes.backbones.attention import AttentionRecorder
from hermes.backbones.base import Backbone, attention_mask
from hermes.memory.cache import MemoryCache, Provenance
from hermes.memory.tiers import LONG_TERM, SENSORY, WORKING

GuidanceMode = Literal["forward", "embedding"]
"""`forward`: the true forward pass of the prompts (the paper). `embedding`: every layer's queries come from the word
embeddings, without a causal mask, as in the released code; cheaper, and not what the paper describes."""


def prompts_of_tiers(local: str, global_: str, conversation: tuple[str, str] | None) -> dict[int, str]:
    """The guidance prompt of each tier: sensory *local*, working *mixed*, long-term *global*.

    Args:
        local: Asks for the current scene.
        global_: Asks for the story so far.
        conversation: The last question and its answer, put in front of both so that memory follows the conversation.

    Returns:
        Tier -> prompt; *mixed* is local + "; " + global.
    """
    if conversation is not None:
        context = " ".join(part.strip() for part in conversation if part.strip())
        local, global_ = f"{context} {local}", f"{context} {global_}"
    return {SENSORY: local, WORKING: f"{local}; {global_}", LONG_TERM: global_}


@torch.inference_mode()
def measure(
    backbone: Backbone,
    cache: MemoryCache,
    prompts: Mapping[int, str],
    wanted: Sequence[bool],
    mode: GuidanceMode,
) -> list[Tensor | None]:
    """Attention of the guidance prompts on every video token, `a_l(i)`: mean over heads and over the prompt's tokens.

    All prompts that are needed run in one pass, side by side, blind to each other.

    Args:
        backbone: The model.
        cache: The memory; unchanged afterwards.
        prompts: Tier -> prompt.
        wanted: Whether each layer's attention is needed [layers].
        mode: How queries are computed, see `GuidanceMode`.

    Returns:
        For each layer float32 [video tokens], or None where it was not wanted.
    """
    tiers = backbone.tiers
    needed = sorted({tiers[i] for i, want in enumerate(wanted) if want})
    if not needed:
        return [None] * len(tiers)
    segments = [backbone.tokenize(prompts[tier]) for tier in needed]
    lengths = [len(segment) for segment in segments]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    windows = {tier: slice(a, a + n) for tier, a, n in zip(needed, starts, lengths, strict=True)}
    recorder = AttentionRecorder(
        keys=[layer.length for layer in cache.layers],
        rows=[windows[tiers[i]] if want else None for i, want in enumerate(wanted)],
    )
    embeddings = backbone.embed(torch.cat(segments))
    first = cache.next_positions()
    positions = torch.cat([backbone.text_positions(first, n) for n in lengths], dim=2)
    blocks = [torch.ones(n, n, dtype=torch.bool, device=backbone.device) for n in lengths]
    branch = cache.branch()
    try:
        if mode == "forward":
            visible = torch.block_diag(*[block.tril() for block in blocks]).bool()
            provenance = Provenance.of_text(embeddings.shape[1], backbone.device)
            backbone.prefill(embeddings, positions, provenance, branch, recorder, visible)
        else:
            visible = torch.block_diag(*blocks).bool()
            _attend_from_embeddings(backbone, embeddings, positions, branch, recorder, visible)
    finally:
        cache.release(branch)
    return [recorder.mean(i).mean(0)[cache.prompt_len :] if want else None for i, want in enumerate(wanted)]


def _attend_from_embeddings(
    backbone: Backbone,
    embeddings: Tensor,
    positions: Tensor,
    branch: MemoryCache,
    recorder: AttentionRecorder,
    visible: Tensor,
) -> None:
    """Every wanted layer's attention as if the embeddings were its input, as in the released code."""
    branch.begin(positions, Provenance.of_text(embeddings.shape[1], backbone.device))
    cos, sin = backbone.rotary_embeddings(embeddings, positions)
    for i, layer in enumerate(backbone.decoder.layers):
        if recorder.windows[i] is None:
            continue
        layer.self_attn(
            hidden_states=layer.input_layernorm(embeddings),
            position_embeddings=(cos[i : i + 1], sin[i : i + 1]),
            attention_mask=attention_mask(embeddings.shape[1], branch.layers[i].length, backbone.device, visible),
            past_key_values=branch,
            recorder=recorder,
        )
