"""What a policy remembers of a stream beside the cache: named tensors, and an archive where it off-loads.

Policies themselves hold no data, so that one can serve many streams; this belongs to the session and is saved with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hermes.memory.archive import Archive
from hermes.memory.cache import FRAME
from hermes.memory.chunk import vision_of


@dataclass
class StreamState:
    """State of one stream under one policy.

    Attributes:
        tensors: By name. A tensor is replaced, never changed in place, so that a failed chunk can be undone.
        archive: Keys and values that left the memory; None where the policy archives nothing.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    archive: Archive | None = None

    def opened_archive(self, megabytes: float) -> Archive:
        """The archive, made at the first call, with room for `megabytes` in host memory."""
        if self.archive is None:
            self.archive = Archive(int(megabytes * 1_000_000))
        return self.archive

    @property
    def feature_bytes(self) -> int:
        """Bytes of the tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def archive_bytes(self) -> int:
        """Bytes kept outside the model's memory: archived keys and values, and stored features."""
        return self.feature_bytes + (self.archive.nbytes if self.archive else 0)

    def archived(self, layers: int, frames: int) -> Tensor:
        """Patches of each frame that lie outside the memory, for each layer: int64 [layers, frames]; [0, 0] if none do."""
        if self.archive is not None and self.archive.layers:
            return torch.stack([self.archive.tokens_of_frames(i, frames) for i in range(layers)])
        if "store.labels" in self.tensors:
            labels = self.tensors["store.labels"]
            seen = labels[FRAME, vision_of(labels)].long()
            return torch.bincount(seen, minlength=frames)[:frames].expand(layers, -1)
        return torch.zeros(0, 0)

    def number(self, name: str, default: int = 0) -> int:
        """A counter that `count` stored."""
        return int(self.tensors[name]) if name in self.tensors else default

    def count(self, name: str, value: int) -> None:
        """Store a counter."""
        self.tensors[name] = torch.tensor(value)

    def close(self) -> None:
        """Let go of everything."""
        self.tensors = {}
        if self.archive is not None:
            self.archive.close()
            self.archive = None
