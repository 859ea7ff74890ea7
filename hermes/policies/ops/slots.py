"""Update of a fixed-slot state, `K̄, V̄ <- a · old + (1 - a) · new` at the same patch, unrolled over a chunk."""

from __future__ import annotations

import torch
from torch import Tensor


def slot_weights(patch: Tensor, old: Tensor, patches: int, decay: float) -> Tensor:
    """Weight of each token in its slot.

    The first token at a patch, which may be the current state (`old`), initialises the slot. Each later token gets a share
    of `1 - decay`.

    Args:
        patch: Patch of each token, oldest first [tokens].
        old: Whether a token is the current state [tokens].
        patches: Number of slots.
        decay: Share of the state that remains after a new token, 0 to 1.

    Returns:
        float32 [patches, tokens]; each row sums to 1, or to 0 if its patch has no token.
    """
    at = torch.nn.functional.one_hot(patch, patches).T.float()
    later = at.flip(1).cumsum(1).flip(1) - at
    first = (at.cumsum(1) == 1) & (at > 0)
    share = torch.where(first | old, 1.0, 1.0 - decay)
    return at * share * decay**later


def blended(states: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums: [heads, tokens, dim] and [slots, tokens] -> float32 [heads, slots, dim]."""
    return torch.einsum("st,htd->hsd", weight, states.float())
