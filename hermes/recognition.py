"""What a vision tower recognises in a picture, apart from the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHOWN: Final = 0.5
"""Probability above which a picture is taken to show an object."""


@dataclass(frozen=True)
class Recognised:
    """The tower's prediction for one picture.

    Attributes:
        name: The most likely object.
        confidence: Probability that the picture shows this object.
        shown: Probability that the picture shows any of the objects.
    """

    name: str
    confidence: float
    shown: float

    @property
    def named(self) -> str | None:
        """The object if the picture is taken to show one, else None."""
        return self.name if self.shown > SHOWN else None
