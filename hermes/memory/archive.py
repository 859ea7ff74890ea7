"""Archive of a stream: keys and values offloaded from the cache to host memory, and to disk beyond a limit.

Policies choose the blocks to store and to recall. Keys are stored without rotation, so that a block can be recalled at
any position. Files are memory-mapped from a temporary folder and deleted when the archive is closed.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from hermes.errors import HermesError
from hermes.memory.archive_layer import ArchiveLayer, Growing, append_to_prompt, strided_positions
from hermes.memory.layer import FRAME, KIND, LayerMemory
from hermes.memory.positions import Rotary
from hermes.snapshot import SUMMARY, VISION


class ArchiveError(HermesError):
    """The archive cannot grow or be read."""


@dataclass
class Archive:
    """Archive of one stream, all layers.

    Attributes:
        limit: Bytes of keys and values kept in host memory; anything beyond is moved to disk.
        layers: One `ArchiveLayer` per decoder layer; empty until something is archived.
        bytes_read: Bytes of keys and values recalled so far.
    """

    limit: int
    layers: list[ArchiveLayer] = field(default_factory=list)
    bytes_read: int = 0
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def append(self, index: int, layer: LayerMemory, chosen: Tensor, rotary: Rotary) -> None:
        """Archive the tokens `chosen` (int64, ascending) of a layer.

        Each frame becomes one block; its summary tokens become a block of their own.

        Raises:
            ArchiveError: The disk is full.
        """
        if not chosen.shape[0]:
            return
        part = layer.copy_of(chosen)
        raw = part.raw_keys(rotary)
        labels, positions = part.labels.T.cpu(), strided_positions(part.positions, part.labels[FRAME]).T.cpu()
        code = part.labels[FRAME].long() * 2 + (part.labels[KIND] == SUMMARY)
        block, sizes = torch.unique_consecutive(code, return_inverse=True, return_counts=True)[1:]
        means = raw.new_zeros(len(sizes), raw.shape[0], raw.shape[2]).index_add_(0, block, raw.transpose(0, 1))
        means /= sizes[:, None, None]
        payload = torch.stack((raw.to(part.keys.dtype), part.values)).permute(2, 0, 1, 3).cpu()
        figures = part.figures.T.cpu()
        starts = sizes.cpu().cumsum(0)
        if index == len(self.layers):
            first = torch.cat((starts.new_zeros(1), starts))
            self.layers.append(ArchiveLayer.create(labels, figures, positions, first, means, payload))
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
        """Move the payload in host memory to disk and memory-map it."""
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
                    file.write(rows.contiguous().view(torch.uint8).numpy().data)
            except OSError as error:
                raise ArchiveError(f"The archive cannot grow any further on this machine’s disk: {error}") from error
            size = (on_disk + len(rows)) * rows[0].numel()
            whole = torch.from_file(str(path), shared=False, size=size, dtype=rows.dtype)
            layer.mapped = whole.view(-1, *rows.shape[1:])
            layer.payload = None

    def recall(
        self, index: int, blocks: Tensor, prompt: LayerMemory, rotary: Rotary, behind: LayerMemory | None = None
    ) -> LayerMemory:
        """Return a layer's prompt followed by archived blocks, at consecutive positions.

        Args:
            index: Layer index.
            blocks: Blocks to recall, int64, ascending.
            prompt: Prompt tokens of that layer; not modified.
            rotary: The model's rotary embedding.
            behind: Cached tokens to append after the blocks, if any.
        """
        known, device = self.layers[index], prompt.keys.device
        tokens = known.tokens_of(blocks.cpu())
        payload = known.read(tokens)
        self.bytes_read += payload.nbytes
        keys, values = payload.to(device).permute(1, 2, 0, 3)
        positions, labels, figures = (
            table.rows[tokens].T.to(device) for table in (known.positions, known.labels, known.figures)
        )
        if behind is not None and behind.length:
            own = strided_positions(behind.positions, behind.labels[FRAME])
            keys = torch.cat((keys, behind.raw_keys(rotary).to(keys.dtype)), dim=1)
            values = torch.cat((values, behind.values), dim=1)
            positions = torch.cat((positions, own), dim=1)
            labels = torch.cat((labels, behind.labels), dim=1)
            figures = torch.cat((figures, behind.figures), dim=1)
        return append_to_prompt(prompt, keys, values, positions, labels, figures, rotary)

    def tokens_of_frames(self, index: int, frames: int) -> Tensor:
        """Number of archived vision tokens per frame of the stream in one layer, int64 [frames]."""
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
        """Bytes of the archived keys and values on disk."""
        return self.nbytes - self._bytes_in_memory()

    def state(self) -> dict[str, Tensor]:
        """Return all tensors by name, for serialization."""
        tensors: dict[str, Tensor] = {}
        for i, layer in enumerate(self.layers):
            names = ("labels", "figures", "positions", "starts", "representatives")
            tensors |= {
                f"{i}.{name}": getattr(layer, name).rows.cpu().clone(memory_format=torch.contiguous_format)
                for name in names
            }
            tensors[f"{i}.payload"] = layer.read(torch.arange(layer.tokens)).contiguous()
        return tensors

    @classmethod
    def of_state(cls, tensors: dict[str, Tensor], limit: int, device: torch.device) -> Archive:
        """Restore an archive from the tensors returned by `state`."""
        archive = cls(limit)
        for i in range(len([name for name in tensors if name.endswith(".payload")])):
            labels, figures, positions, starts = (
                tensors[f"{i}.{name}"] for name in ("labels", "figures", "positions", "starts")
            )
            means, payload = tensors[f"{i}.representatives"].to(device), tensors[f"{i}.payload"]
            archive.layers.append(ArchiveLayer.create(labels, figures, positions, starts, means, payload))
        if archive._bytes_in_memory() > limit:
            archive._spill()
        return archive

    def close(self) -> None:
        """Free all memory and delete the files on disk."""
        self.layers = []
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
