"""The archive of a stream: keys and values that left the model's memory, in host memory up to a limit, then on disk.

It decides nothing: policies put blocks in and say which they want back. Keys lie here unrotated, so that a block
can be read at any position. Files are memory-mapped, lie in a temporary folder and are deleted with the archive.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from hermes.errors import HermesError
from hermes.memory.cache import FRAME, KIND, LayerMemory
from hermes.memory.positions import Rotary, compact, rotate
from hermes.snapshot import SUMMARY, VISION

STRIDE = 1 << 14
"""Positions set aside for one frame in the archive; more than any frame takes."""


class ArchiveError(HermesError):
    """The archive cannot grow or be read."""


class Growing:
    """A tensor [rows, ...] that grows at its end; storage doubles."""

    def __init__(self, first: Tensor) -> None:
        """Begin with the rows of `first`."""
        self._storage, self.length = first.clone(), len(first)

    def append(self, rows: Tensor) -> None:
        """Add rows."""
        stop = self.length + len(rows)
        if stop > len(self._storage):
            new = self._storage.new_empty((max(stop, 2 * len(self._storage)), *self._storage.shape[1:]))
            new[: self.length] = self._storage[: self.length]
            self._storage = new
        self._storage[self.length : stop] = rows
        self.length = stop

    @property
    def rows(self) -> Tensor:
        """The rows so far, a view."""
        return self._storage[: self.length]


@dataclass
class ArchiveLayer:
    """The archived tokens of one layer, in blocks, oldest first.

    Attributes:
        payload: Raw keys and values in host memory [tokens, 2, kv_heads, head_dim]; None while all is on disk.
        mapped: The tokens before them, memory-mapped, same shape; None while none is on disk.
        labels: int32 [tokens, 4], see `Provenance`.
        figures: float32 [tokens, 5].
        positions: Positions in which frames follow each other in steps of `STRIDE`, int64 [tokens, axes].
        starts: First token of each block, and behind them the number of tokens, int64 [blocks + 1].
        representatives: Mean raw key of each block, on the model's device, float32 [blocks, kv_heads, head_dim].
    """

    labels: Growing
    figures: Growing
    positions: Growing
    starts: Growing
    representatives: Growing
    payload: Growing | None = None
    mapped: Tensor | None = None

    @property
    def tokens(self) -> int:
        """Tokens archived."""
        return self.labels.length

    @property
    def blocks(self) -> int:
        """Blocks archived."""
        return self.representatives.length

    def tokens_of(self, blocks: Tensor) -> Tensor:
        """Indices of the tokens of `blocks` (int64 ascending), in order."""
        starts = self.starts.rows
        begin, size = starts[blocks], starts[blocks + 1] - starts[blocks]
        shift = begin - (size.cumsum(0) - size)
        return torch.arange(int(size.sum())) + shift.repeat_interleave(size)

    def read(self, tokens: Tensor) -> Tensor:
        """Raw keys and values of `tokens` (int64 ascending): [tokens, 2, kv_heads, head_dim]."""
        on_disk = 0 if self.mapped is None else len(self.mapped)
        old, new = tokens[tokens < on_disk], tokens[tokens >= on_disk] - on_disk
        parts = [] if self.mapped is None else [self.mapped.index_select(0, old)]
        if self.payload is not None:
            parts.append(self.payload.rows.index_select(0, new))
        return torch.cat(parts)


@dataclass
class Archive:
    """The archive of one stream, all layers.

    Attributes:
        limit: Bytes of keys and values that may lie in host memory; beyond it they go to disk.
        layers: One `ArchiveLayer` a layer, once something was archived.
        bytes_read: Bytes of keys and values that were read back so far.
    """

    limit: int
    layers: list[ArchiveLayer] = field(default_factory=list)
    bytes_read: int = 0
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def append(self, index: int, layer: LayerMemory, chosen: Tensor, rotary: Rotary) -> None:
        """Archive the tokens `chosen` (int64 ascending) of a layer: every frame a block, summaries beside it another.

        Raises:
            ArchiveError: There is no room left on the disk.
        """
        if not chosen.shape[0]:
            return
        part = layer.copy_of(chosen)
        raw = part.raw_keys(rotary)
        labels, positions = part.labels.T.cpu(), in_strides(part.positions, part.labels[FRAME]).T.cpu()
        code = part.labels[FRAME].long() * 2 + (part.labels[KIND] == SUMMARY)
        block, sizes = torch.unique_consecutive(code, return_inverse=True, return_counts=True)[1:]
        means = raw.new_zeros(len(sizes), raw.shape[0], raw.shape[2]).index_add_(0, block, raw.transpose(0, 1))
        means /= sizes[:, None, None]
        payload = torch.stack((raw.to(part.keys.dtype), part.values)).permute(2, 0, 1, 3).cpu()
        figures = part.figures.T.cpu()
        starts = sizes.cpu().cumsum(0)
        if index == len(self.layers):
            first = torch.cat((starts.new_zeros(1), starts))
            grown = (labels, figures, positions, first, means)
            self.layers.append(ArchiveLayer(*(Growing(rows) for rows in grown), payload=Growing(payload)))
        else:
            known = self.layers[index]
            starts = starts + known.tokens
            for growing, rows in (
                (known.labels, labels),
                (known.figures, figures),
                (known.positions, positions),
                (known.starts, starts),
                (known.representatives, means),
            ):
                growing.append(rows)
            if known.payload is None:
                known.payload = Growing(payload)
            else:
                known.payload.append(payload)
        if self._bytes_in_memory() > self.limit:
            self._spill()

    def _bytes_in_memory(self) -> int:
        return sum(layer.payload.rows.nbytes for layer in self.layers if layer.payload is not None)

    def _spill(self) -> None:
        """Move what lies in host memory to disk, and map it."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="hermes-archive-")
        for i, layer in enumerate(self.layers):
            if layer.payload is None:
                continue
            path = Path(self._folder.name) / f"layer-{i}"
            rows = layer.payload.rows
            on_disk = 0 if layer.mapped is None else len(layer.mapped)
            try:
                with path.open("ab") as file:
                    file.write(memoryview(rows.contiguous().view(torch.uint8).numpy()).cast("B"))
            except OSError as error:
                raise ArchiveError(f"The archive cannot grow any further on this machine’s disk: {error}") from error
            size = (on_disk + len(rows)) * rows[0].numel()
            whole = torch.from_file(str(path), shared=False, size=size, dtype=rows.dtype)
            layer.mapped = whole.view(-1, *rows.shape[1:])
            layer.payload = None

    def recall(
        self, index: int, blocks: Tensor, prompt: LayerMemory, rotary: Rotary, behind: LayerMemory | None = None
    ) -> LayerMemory:
        """A layer's prompt with archived blocks behind it, at consecutive positions.

        Args:
            index: The layer.
            blocks: Which blocks, int64 ascending.
            prompt: The prompt's tokens of that layer; not changed.
            rotary: The model's rotary embedding.
            behind: Tokens of the memory that follow the blocks; None: none.
        """
        known, device = self.layers[index], prompt.keys.device
        tokens = known.tokens_of(blocks.cpu())
        payload = known.read(tokens)
        self.bytes_read += payload.nbytes
        keys, values = payload.to(device).permute(1, 2, 0, 3)
        parts = [keys, values, known.positions.rows[tokens].T.to(device)]
        parts += [known.labels.rows[tokens].T.to(device), known.figures.rows[tokens].T.to(device)]
        if behind is not None and behind.length:
            own = in_strides(behind.positions, behind.labels[FRAME])
            more = (behind.raw_keys(rotary).to(keys.dtype), behind.values, own, behind.labels, behind.figures)
            parts = [torch.cat(pair, dim=1) for pair in zip(parts, more, strict=True)]
        return placed_behind(prompt, *parts, rotary)

    def tokens_of_frames(self, index: int, frames: int) -> Tensor:
        """Archived vision tokens of each frame of the stream in one layer, int64 [frames]."""
        labels = self.layers[index].labels.rows
        seen = labels[labels[:, KIND] == VISION, FRAME].long()
        return torch.bincount(seen[seen >= 0], minlength=frames)[:frames]

    @property
    def nbytes(self) -> int:
        """Bytes of the archived keys and values, in memory and on disk."""
        mapped = sum(layer.mapped.nbytes for layer in self.layers if layer.mapped is not None)
        return mapped + self._bytes_in_memory()

    @property
    def bytes_on_disk(self) -> int:
        """Of those, what lies on disk."""
        return self.nbytes - self._bytes_in_memory()

    def state(self) -> dict[str, Tensor]:
        """Everything by name, to be written to a file."""
        tensors = {}
        for i, layer in enumerate(self.layers):
            names = ("labels", "figures", "positions", "starts", "representatives")
            tensors |= {f"{i}.{name}": getattr(layer, name).rows.cpu().clone() for name in names}
            tensors[f"{i}.payload"] = layer.read(torch.arange(layer.tokens))
        return tensors

    @classmethod
    def of_state(cls, tensors: dict[str, Tensor], limit: int, device: torch.device) -> Archive:
        """What `state` gave."""
        archive = cls(limit)
        for i in range(len([name for name in tensors if name.endswith(".payload")])):
            parts = {name: tensors[f"{i}.{name}"] for name in ("labels", "figures", "positions", "starts")}
            archive.layers.append(
                ArchiveLayer(
                    **{name: Growing(rows) for name, rows in parts.items()},
                    representatives=Growing(tensors[f"{i}.representatives"].to(device)),
                    payload=Growing(tensors[f"{i}.payload"]),
                )
            )
        if archive._bytes_in_memory() > limit:
            archive._spill()
        return archive

    def close(self) -> None:
        """Let go of everything; files on disk are deleted."""
        self.layers = []
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def in_strides(positions: Tensor, frame: Tensor) -> Tensor:
    """Positions counted from each frame's first, frames `STRIDE` apart: what a block keeps of where it stood.

    Args:
        positions: [axes, tokens].
        frame: Frame of each token, ascending [tokens].

    Returns:
        int64 [axes, tokens]; rises with the frames whatever was compacted between them.
    """
    own, block = torch.unique_consecutive(frame, return_inverse=True)
    least = positions.new_full((positions.shape[0], len(own)), torch.iinfo(positions.dtype).max)
    least.scatter_reduce_(1, block.expand_as(positions), positions, "amin")
    return positions - least[:, block] + frame.long() * STRIDE


def placed_behind(
    prompt: LayerMemory,
    keys: Tensor,
    values: Tensor,
    positions: Tensor,
    labels: Tensor,
    figures: Tensor,
    rotary: Rotary,
) -> LayerMemory:
    """A layer of its own: the prompt, and behind it tokens with raw keys, rotated to consecutive positions.

    Args:
        prompt: The prompt's tokens.
        keys: Raw keys [kv_heads, tokens, head_dim].
        values: [kv_heads, tokens, head_dim].
        positions: Where the tokens stand to each other [axes, tokens]; only the order counts, see `compact`.
        labels: int32 [4, tokens].
        figures: float32 [5, tokens].
        rotary: The model's rotary embedding.
    """
    device, length = prompt.keys.device, prompt.length
    whole = torch.cat((prompt.positions[:, :length], positions.to(device)), dim=1)
    whole = compact(whole, length)
    origin = whole.new_zeros(whole.shape[0], 1)
    rotated = rotate(keys.float(), origin.expand(-1, keys.shape[1]), whole[:, length:], rotary).to(prompt.keys.dtype)
    return LayerMemory(
        keys=torch.cat((prompt.keys[:, :length], rotated), dim=1),
        values=torch.cat((prompt.values[:, :length], values.to(prompt.values.dtype)), dim=1),
        positions=whole,
        labels=torch.cat((prompt.labels[:, :length], labels.to(device)), dim=1),
        figures=torch.cat((prompt.figures[:, :length], figures.to(device)), dim=1),
        length=whole.shape[1],
        intact=False,
    )
