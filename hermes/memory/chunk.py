"""A chunk of encoded frames before prefill, with operations to drop, merge and insert tokens.

Policies choose the tokens to drop, to merge and to insert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hermes.memory.encoded import Encoded
from hermes.memory.layer import FIRST, FRAME, KIND, MASS, PATCH, SECONDS, Provenance
from hermes.snapshot import VISION


@dataclass(frozen=True)
class Chunk:
    """Tokens to prefill next.

    Attributes:
        encoded: Embeddings of the tokens and their places in the chunk.
        provenance: Provenance of the tokens, in frames of the stream.
        first_step: Number of frames seen before this chunk.
        retract: Number of newest cached tokens that this chunk replaces, such as a group of frames that was still open.
        open_tokens: Number of this chunk's newest tokens that a later chunk may replace.
    """

    encoded: Encoded
    provenance: Provenance
    first_step: int
    retract: int = 0
    open_tokens: int = 0

    @classmethod
    def of(cls, encoded: Encoded, first_step: int, seconds: Tensor) -> Chunk:
        """Create a chunk from the encoder output; `seconds` is the time of each of its frames [frames]."""
        return cls(encoded, Provenance.of_chunk(first_step, seconds, encoded.step, encoded.patch), first_step)

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return self.encoded.embeddings.shape[1]

    @property
    def frame(self) -> Tensor:
        """Frame of each token in the stream, -1 for none, int32 [tokens]."""
        return self.provenance.labels[FRAME]

    def features(self) -> Tensor:
        """Vision features by frame: embeddings, then deepstack features [1 + deepstack, frames, patches, hidden].

        The chunk must be complete, as it was encoded.
        """
        vision = self.encoded.vision
        frames = int(self.encoded.step[-1]) + 1
        streams = (self.encoded.embeddings[0, vision], *self.encoded.deepstack)
        return torch.stack([stream.unflatten(0, (frames, -1)) for stream in streams])

    def select(self, keep: Tensor) -> Chunk:
        """Return the tokens where `keep` [tokens] is true, without the text of frames that keep no vision token.

        Positions are unchanged; dropped tokens leave gaps.
        """
        step, vision = self.encoded.step, self.encoded.vision
        frames = int(step.max()) + 1 if len(step) else 0
        alive = torch.zeros(frames, dtype=torch.bool, device=step.device)
        alive[step[keep & vision]] = True
        keep = keep & (vision | alive[step])
        return self._picked(keep.nonzero()[:, 0], keep[vision])

    def _picked(self, index: Tensor, vision: Tensor) -> Chunk:
        old = self.encoded
        encoded = Encoded(
            old.embeddings[:, index],
            old.step[index],
            old.patch[index],
            old.offsets[:, index],
            tuple(stream[vision] for stream in old.deepstack),
        )
        parts = Provenance(self.provenance.labels[:, index], self.provenance.figures[:, index])
        return replace(self, encoded=encoded, provenance=parts)

    def with_features(self, features: Tensor) -> Chunk:
        """Return the same tokens with new vision features [1 + deepstack, vision tokens, hidden]."""
        embeddings = self.encoded.embeddings.clone()
        embeddings[0, self.encoded.vision] = features[0]
        return replace(self, encoded=replace(self.encoded, embeddings=embeddings, deepstack=tuple(features[1:])))

    def with_merge_provenance(self, mass: Tensor, first: Tensor, seconds: Tensor) -> Chunk:
        """Return the chunk with new provenance of its vision tokens, after a merge.

        Args:
            mass: Number of tokens that each represents [vision tokens].
            first: First frame that each represents [vision tokens].
            seconds: Mean time of each, in seconds [vision tokens].
        """
        labels, figures = self.provenance.labels.clone(), self.provenance.figures.clone()
        vision = self.encoded.vision
        labels[FIRST, vision] = first.to(labels.dtype)
        figures[MASS, vision] = mass.float()
        figures[SECONDS, vision] = seconds.float()
        return replace(self, provenance=Provenance(labels, figures))

    def compacted(self) -> Chunk:
        """Return the chunk with consecutive positions on one axis; positions on three axes are unchanged."""
        if self.encoded.offsets.shape[0] > 1:
            return self
        offsets = torch.arange(self.tokens, device=self.encoded.offsets.device)[None]
        return replace(self, encoded=replace(self.encoded, offsets=offsets))

    def inserted(self, after: Tensor, embeddings: Tensor, provenance: Provenance) -> Chunk:
        """Return the chunk with pseudo-tokens inserted; on three axes each gets the position of the token before it.

        Args:
            after: Index of the token before each new token, int64 [new], ascending; -1 inserts before the first token.
            embeddings: [new, hidden].
            provenance: Provenance of the new tokens.
        """
        old = self.encoded
        where = torch.cat((torch.arange(self.tokens, device=after.device) * 2, after * 2 + 1))
        order = torch.sort(where, stable=True).indices
        beside = after.clamp(min=0)
        encoded = replace(
            old,
            embeddings=torch.cat((old.embeddings[0], embeddings.to(old.embeddings.dtype)))[order][None],
            step=torch.cat((old.step, old.step[beside]))[order],
            patch=torch.cat((old.patch, torch.full_like(after, -1)))[order],
            offsets=torch.cat((old.offsets, old.offsets[:, beside]), dim=1)[:, order],
        )
        parts = Provenance(
            torch.cat((self.provenance.labels, provenance.labels), dim=1)[:, order],
            torch.cat((self.provenance.figures, provenance.figures), dim=1)[:, order],
        )
        return replace(self, encoded=encoded, provenance=parts).compacted()


def pseudo_tokens(kind: int, frame: Tensor, first: Tensor, mass: Tensor, seconds: Tensor) -> Provenance:
    """Return the provenance of pseudo-tokens.

    Args:
        kind: Index into `KINDS`.
        frame: Frame of each, -1 for none [tokens].
        first: First frame that each represents [tokens].
        mass: Number of tokens that each represents [tokens].
        seconds: Time of each, in seconds [tokens].
    """
    of = Provenance.of_text(frame.shape[0], frame.device, kind)
    of.labels[FRAME] = frame.to(torch.int32)
    of.labels[FIRST] = first.to(torch.int32)
    of.figures[MASS] = mass.float()
    of.figures[SECONDS] = seconds.float()
    return of


def vision_of(labels: Tensor) -> Tensor:
    """Mask of the tokens of a label table [4, tokens] that are patches of a frame, bool [tokens]."""
    return (labels[KIND] == VISION) & (labels[PATCH] >= 0)


def concatenated(parts: Sequence[Encoded]) -> Encoded:
    """Concatenate the tokens of several chunks; steps and positions are unchanged."""
    deep = len(parts[0].deepstack)
    return Encoded(
        torch.cat([part.embeddings for part in parts], dim=1),
        torch.cat([part.step for part in parts]),
        torch.cat([part.patch for part in parts]),
        torch.cat([part.offsets for part in parts], dim=1),
        tuple(torch.cat([part.deepstack[i] for part in parts]) for i in range(deep)),
    )
