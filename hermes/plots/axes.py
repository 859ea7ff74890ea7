"""Axes of layers and frames: numbers of layers in the decoder, and joined columns for long streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hermes.plots.theme import PlotError

MAX_TICKS: Final = 16


def numbers_of(layers: int, layer_numbers: Sequence[int] | None) -> list[int]:
    """Numbers of the layers of a record in the decoder: the given ones, or 0, 1, … if there are none.

    Raises:
        PlotError: There is not one number for each of the `layers`.
    """
    numbers = list(range(layers)) if layer_numbers is None else list(layer_numbers)
    if len(numbers) != layers:
        raise PlotError(f"The record has {layers} layers, but {len(numbers)} layer numbers were given.")
    return numbers


def row_of(layer: int, numbers: Sequence[int]) -> int:
    """Index of a layer among those that hold tokens.

    Raises:
        PlotError: The decoder has no such layer, or the layer holds no tokens.
    """
    if layer in numbers:
        return list(numbers).index(layer)
    if 0 <= layer < numbers[-1]:
        raise PlotError(f"Layer {layer} holds no tokens. Layers with tokens: {', '.join(str(n) for n in numbers)}.")
    raise PlotError(f"There is no layer {layer}: layers are numbered from 0 to {numbers[-1]}.")


def layer_title(numbers: Sequence[int]) -> str:
    """Title of an axis of layers, given their numbers in the decoder."""
    every = list(numbers) == list(range(len(numbers)))
    return "Layer (0 is the first)" if every else "Decoder layer (only those with tokens)"


def layer_rows(numbers: Sequence[int]) -> dict[str, Any]:
    """Options of a y axis with a row for each layer that holds tokens, row 0 at the top. Ticks show the layers' numbers."""
    shown = range(0, len(numbers), max(1, -(-len(numbers) // MAX_TICKS)))
    ticks = {"tickvals": list(shown), "ticktext": [str(numbers[row]) for row in shown]}
    return {"title_text": layer_title(numbers), "autorange": "reversed", "showgrid": False, **ticks}


def binned(values: npt.NDArray[np.float64], most: int | None) -> tuple[npt.NDArray[np.float64], int]:
    """Join neighbouring columns, so that at most `most` are left; None: join none.

    Args:
        values: [rows, columns]; nan: no value.
        most: Largest number of columns of the result.

    Returns:
        The mean of the values in each joined column (nan if there are none), and how many columns were joined in each; the
        last one may have fewer.
    """
    columns = values.shape[1]
    size = 1 if most is None else max(1, -(-columns // most))
    if size == 1:
        return values, 1
    starts = np.arange(0, columns, size)
    known = np.isfinite(values)
    count = np.add.reduceat(known.astype(np.int64), starts, axis=1)
    total = np.add.reduceat(np.where(known, values, 0.0), starts, axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), size


def frame_cells(size: int) -> dict[str, Any]:
    """Options of a heatmap with `size` frames in each column: their place on an axis of frame numbers."""
    return {"x0": (size - 1) / 2, "dx": size}
