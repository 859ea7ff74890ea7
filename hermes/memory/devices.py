"""Layers of a large model lie on several devices; what is read of all of them meets on one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def together(parts: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of several layers on the first one's device; nothing is copied where they lie there already."""
    return [part.to(parts[0].device) for part in parts]
