"""Shared code of the policies that archive frames and recall the ones relevant to a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hermes.memory.archive import Archive
from hermes.memory.cache import LayerMemory
from hermes.memory.chunk import Chunk
from hermes.policies.base import Recall, Step
from hermes.policies.ops.retrieval import recall_by_layer
from hermes.policies.settings import Setting

ARCHIVE_MEMORY = Setting(
    "archive_memory",
    "Archive in memory",
    "Megabytes of the archive kept in host memory. The rest goes to disk until the stream is closed.",
    "number",
    1024,
    low=1,
    high=1_000_000,
    step=1,
    source="ours",
)
NEEDS = "an archive of every frame outside the cache, in host memory and on disk"


def archive_chunk(step: Step, megabytes: float) -> None:
    """Archive the tokens of the newest chunk, with one block per frame and layer."""
    if step.chunk is None or not step.chunk.tokens:
        return
    archive = step.state.open_archive(megabytes)
    for index, layer in enumerate(step.cache.layers):
        newest = torch.arange(layer.length - step.chunk.tokens, layer.length, device=layer.keys.device)
        archive.append(index, layer, newest, step.backbone.rotary)


def local_window(step: Step, chunk: Chunk, window: int) -> list[Tensor | None] | None:
    """Return masks that let every token see the prompt and the `window` tokens before it; None if that is everything."""
    if max(step.video_tokens()) + chunk.tokens <= window:
        return None
    masks: dict[int, Tensor] = {}
    for layer in step.cache.layers:
        if layer.length not in masks:
            key = torch.arange(layer.length + chunk.tokens, device=step.backbone.device)
            query = key[layer.length :, None]
            masks[layer.length] = (key <= query) & ((key < step.prompt_len) | (key > query - window))
    return [masks[layer.length] for layer in step.cache.layers]


def prompt_of(step: Step, index: int) -> LayerMemory:
    """Return a view of a layer's prompt tokens."""
    return replace(step.cache.layers[index], length=step.prompt_len, heads=None)


def frames_within(budget: int, archive: Archive, most: int) -> int:
    """Number of blocks that a question may read: at most `most`, and at most the budget in tokens; at least one."""
    layer = archive.layers[0]
    return max(min(most, budget * layer.blocks // max(layer.tokens, 1)), 1)


def recall_blocks(step: Step, ids: Tensor, choose: Callable[[int, Tensor], Tensor]) -> Recall | None:
    """Recall archived blocks for a question; None if nothing is archived yet.

    Args:
        step: The current step.
        ids: Token ids of the question [tokens].
        choose: Layer index and its raw queries -> blocks to read, int64, ascending.
    """
    archive = step.state.archive
    if archive is None or not archive.layers:
        return None
    before = archive.bytes_read
    memory = recall_by_layer(
        step.backbone,
        ids,
        step.prompt_len,
        lambda index, queries: archive.recall(
            index, choose(index, queries), prompt_of(step, index), step.backbone.rotary
        ),
    )
    return Recall(memory, archive.bytes_read - before)


def block_shares(query: Tensor, representatives: Tensor) -> Tensor:
    """Softmax over blocks of the cosine of a query [kv_heads, dim] and mean keys [blocks, kv_heads, dim]: [blocks]."""
    likeness = torch.nn.functional.cosine_similarity(representatives.flatten(1), query.flatten()[None], dim=-1)
    return torch.softmax(likeness, dim=0)


def block_counts(mass: Sequence[Tensor], total: int, least: int, most: int) -> list[int]:
    """Distribute `total` blocks over the layers (StreamKV's layer-adaptive budgets).

    Each layer keeps the fewest best blocks whose scores sum to a share p; bisection finds p, the same for all layers.

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
        return [min(max(n, least), most, len(own)) for n, own in zip(found.tolist(), cumulative, strict=True)]

    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        if sum(counts(middle)) <= total:
            low = middle
        else:
            high = middle
    return counts(low)
