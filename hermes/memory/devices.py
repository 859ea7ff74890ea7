"""Helper for models whose layers are on several devices."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def together(parts: Sequence[Tensor]) -> list[Tensor]:
    """Move tensors of several layers to the device of the first; tensors already there are not copied."""
    return [part.to(parts[0].device) for part in parts]
