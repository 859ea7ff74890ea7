"""Shared code of the policies that archive frames and recall the ones relevant to a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hermes.memory.archive import Archive
from hermes.memory.layer import LayerMemory
from hermes.policies.ops.retrieval import recall_by_layer, similarity
from hermes.policies.step import Recall, Step


def archive_chunk(step: Step, megabytes: float) -> None:
    """Archive the tokens of the newest chunk, with one block per frame and layer."""
    if step.chunk is None or not step.chunk.tokens:
        return
    archive = step.state.open_archive(megabytes)
    for index, layer in enumerate(step.cache.layers):
        newest = torch.arange(layer.length - step.chunk.tokens, layer.length, device=layer.keys.device)
        archive.append(index, layer, newest, step.backbone.rotary)


def prompt_of(step: Step, index: int) -> LayerMemory:
    """Return a view of a layer's prompt tokens."""
    return replace(step.cache.layers[index], length=step.prompt_len, heads=None)


def frames_within(budget: int, archive: Archive, most: int) -> int:
    """Number of blocks that a question may read: at most `most`, and at most the budget in tokens; at least one."""
    layer = archive.layers[0]
    return max(min(most, budget * layer.blocks // max(layer.tokens, 1)), 1)


def own_tokens(step: Step, ids: Tensor) -> Tensor:
    """Token ids with which a question retrieves: those of the question alone; `ids` if they are unknown [tokens]."""
    return ids if step.question is None else step.question


def recall_blocks(step: Step, ids: Tensor, choose: Callable[[int, Tensor], Tensor]) -> Recall | None:
    """Recall archived blocks for a question; None if nothing is archived yet.

    Args:
        step: The current step.
        ids: Token ids of the question in the chat template [tokens]; only those of the question alone retrieve.
        choose: Layer index and its raw queries -> blocks to read, int64, ascending.
    """
    archive = step.state.archive
    if archive is None or not archive.layers:
        return None
    before = archive.bytes_read
    memory = recall_by_layer(
        step.backbone,
        own_tokens(step, ids),
        step.cache,
        lambda index, queries: archive.recall(
            index, choose(index, queries), prompt_of(step, index), step.backbone.rotary
        ),
    )
    return Recall(memory, archive.bytes_read - before)


def block_shares(query: Tensor, representatives: Tensor) -> Tensor:
    """Score blocks as StreamKV's released code does: softmax over blocks of the z-scores of dot products.

    Args:
        query: Mean raw query [kv_heads, dim].
        representatives: Mean raw key of each block [blocks, kv_heads, dim].

    Returns:
        Scores with sum 1 [blocks].
    """
    products = similarity(query, representatives)
    if len(products) < 2:
        return torch.ones_like(products)
    deviation = products.std().clamp(min=torch.finfo(products.dtype).tiny)
    return torch.softmax((products - products.mean()) / deviation, dim=0)


def block_counts(mass: Sequence[Tensor], total: int, least: int, most: int) -> list[int]:
    """Distribute `total` blocks over the layers (StreamKV's layer-adaptive budgets).

    Each layer keeps the fewest best blocks whose scores sum to a share p; bisection finds p, the same for all layers. Then
    the counts are mapped to the range from `least` to `most`, see `rescaled`.

    Args:
        mass: Scores of each layer's blocks, with sum 1 [blocks of that layer].
        total: Number of blocks in all layers together.
        least: Minimum number of blocks per layer.
        most: Maximum number of blocks per layer.

    Returns:
        Number of blocks per layer.
    """
    cumulative = [scores.sort(descending=True).values.cumsum(0) for scores in mass]

    def counts(share: float) -> list[int]:
        found = torch.stack([(own < share).sum() for own in cumulative]) + 1
        return [min(n, len(own)) for n, own in zip(found.tolist(), cumulative, strict=True)]

    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        if sum(counts(middle)) <= total:
            low = middle
        else:
            high = middle
    return rescaled(counts(low), least, most)


def rescaled(counts: Sequence[int], least: int, most: int) -> list[int]:
    """Map counts affinely so that they range from `least` to `most`, with the same sum (as StreamKV's released code).

    The mapped counts are scaled to the sum of `counts`, rounded and limited to the range. What then is missing from the sum
    is added one at a time from the smallest count on; what is too much is subtracted from the largest on. The released code
    does this once; here it is repeated until the sum is reached, so that the budget holds. Equal counts are only limited.
    """
    low, high, total = min(counts), max(counts), sum(counts)
    if low == high:
        mapped = [min(max(count, least), most) for count in counts]
    else:
        spread = [least + (count - low) / (high - low) * (most - least) for count in counts]
        ratio = total / sum(spread)
        mapped = [min(max(round(value * ratio), least), most) for value in spread]
    while (missing := total - sum(mapped)) != 0:
        sign = 1 if missing > 0 else -1
        order = sorted(range(len(mapped)), key=lambda index: sign * mapped[index])
        able = [index for index in order if (mapped[index] < most if sign > 0 else mapped[index] > least)]
        if not able:
            break
        for index in able[: abs(missing)]:
            mapped[index] += sign
    return mapped
