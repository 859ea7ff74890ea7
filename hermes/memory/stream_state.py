"""State of a policy for one stream besides the cache: named tensors, and an archive if it offloads tokens.

Policies are stateless, so that one policy can serve many streams. The session owns this state and saves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hermes.memory.archive import Archive
from hermes.memory.chunk import vision_of
from hermes.memory.layer import FRAME


@dataclass(frozen=True)
class StateField:
    """What a tensor of a policy's state may be, so that a session file can be checked before it is used.

    Attributes:
        shape: Size of each dimension: a number, "hidden" (size of the model's hidden states), "patches" (tokens of a frame),
            "axes" (of positions), "streams" (of features: embeddings, and those added to deeper layers), "any", or
            another name: the same size wherever that name is used.
        kind: "model" (the model's type), "float" (float32), "integer" (int64) or "label" (int32).
        low: Least value.
        high: Largest value; "newest" means the number of the newest frame, "seen" the number of frames.
        nan: Whether values may be NaN.
        group: Either all fields of a group exist or none; "" for a field without a group.
    """

    shape: tuple[int | str, ...] = ()
    kind: str = "float"
    low: float = -1e12
    high: float | str = 1e12
    nan: bool = False
    group: str = ""

    def fits(self, value: Tensor, sizes: Mapping[str, int], frames: int, dtype: torch.dtype) -> bool:
        """Return whether a tensor matches this field.

        Args:
            value: The tensor.
            sizes: Sizes by the names that `shape` uses.
            frames: Frames that the memory has seen.
            dtype: The model's type.
        """
        kinds = {"model": dtype, "float": torch.float32, "integer": torch.int64, "label": torch.int32}
        if value.dtype != kinds[self.kind] or value.dim() != len(self.shape):
            return False
        wanted = [side if isinstance(side, int) else sizes.get(side) for side in self.shape]
        if any(want not in (None, have) for want, have in zip(wanted, value.shape, strict=True)):
            return False
        high = {"newest": frames - 1, "seen": frames}[self.high] if isinstance(self.high, str) else self.high
        return bool((((value >= self.low) & (value <= high)) | (value.isnan() & self.nan)).all())


@dataclass
class StreamState:
    """State of one stream under one policy.

    Attributes:
        tensors: Tensors by name. Replace a tensor, never modify it in place, so that a failed chunk can be undone.
        archive: Offloaded keys and values; None if the policy archives nothing.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    archive: Archive | None = None

    def open_archive(self, megabytes: float) -> Archive:
        """Return the archive; the first call creates it with a limit of `megabytes` in host memory."""
        if self.archive is None:
            self.archive = Archive(int(megabytes * 1_000_000))
        return self.archive

    @property
    def feature_bytes(self) -> int:
        """Bytes of the tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def archive_bytes(self) -> int:
        """Bytes kept outside the cache: archived keys and values, and stored features."""
        return self.feature_bytes + (self.archive.nbytes if self.archive else 0)

    def archived(self, layers: int, frames: int) -> Tensor:
        """Number of patches per layer and frame outside the cache: int64 [layers, frames]; [0, 0] if there are none."""
        if self.archive is not None and self.archive.layers:
            return torch.stack([self.archive.tokens_of_frames(i, frames) for i in range(layers)])
        if "store.labels" in self.tensors:
            labels = self.tensors["store.labels"]
            seen = labels[FRAME, vision_of(labels)].long()
            return torch.bincount(seen, minlength=frames)[:frames].expand(layers, -1)
        return torch.zeros(0, 0)

    def number(self, name: str, default: int = 0) -> int:
        """Return the counter stored by `count`."""
        return int(self.tensors[name]) if name in self.tensors else default

    def count(self, name: str, value: int) -> None:
        """Store a counter."""
        self.tensors[name] = torch.tensor(value)

    def close(self) -> None:
        """Free all tensors and close the archive."""
        self.tensors = {}
        if self.archive is not None:
            self.archive.close()
            self.archive = None
