"""A session file that is being read or written: its JSON header and its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.files.checks import InvalidValueError, member


@dataclass(frozen=True)
class SessionFile:
    """A session file whose header and tensors are being checked.

    Attributes:
        header: The JSON header.
        tensors: The tensors by name.
        model: The model that the session will use.
    """

    header: dict[str, Any]
    tensors: Mapping[str, Tensor]
    model: Backbone

    def part(self, name: str) -> Any:
        """A required member of the header."""
        return member(self.header, name, "header")

    def tensor(self, name: str, shape: tuple[int | None, ...], dtype: torch.dtype, *, finite: bool = True) -> Tensor:
        """Return a required tensor after checking shape (None: any size), type and values (finite, or NaN if allowed)."""
        if name not in self.tensors:
            raise InvalidValueError(f"The tensor “{name}” is missing.")
        value = self.tensors[name]
        if value.dtype != dtype:
            raise InvalidValueError(f"The tensor “{name}” has the type {value.dtype}.")
        if value.dim() != len(shape) or any(
            want not in (None, have) for want, have in zip(shape, value.shape, strict=True)
        ):
            raise InvalidValueError(f"The tensor “{name}” has the shape {list(value.shape)}.")
        if value.is_floating_point() and not (value.isfinite() | (value.isnan() & (not finite))).all():
            raise InvalidValueError(f"The tensor “{name}” has values that are not finite.")
        return value

    def array(self, name: str, *dtypes: Any) -> np.ndarray[Any, Any]:
        """Return a required tensor as an array after checking that it has one of some types."""
        if name not in self.tensors:
            raise InvalidValueError(f"The tensor “{name}” is missing.")
        value = self.tensors[name]
        if value.dtype == torch.bfloat16 or value.numpy().dtype not in dtypes:
            raise InvalidValueError(f"The tensor “{name}” has the type {value.dtype}.")
        return value.numpy()


def limited(values: Tensor, low: float, high: float, name: str) -> None:
    """Check that every value of a tensor is within a range."""
    if values.numel() and not (low <= float(values.min()) and float(values.max()) <= high):
        raise InvalidValueError(f"The {name} must be from {low:g} to {high:g}.")
