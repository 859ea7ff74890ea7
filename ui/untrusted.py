"""Parses untrusted values from a browser. Invalid values are treated as missing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from typing import Any, Final

LONGEST_NAME: Final = 200


def event_data(event: Any) -> dict[str, Any]:
    """The data of a Gradio event; empty where it is not an object."""
    data = event._data  # noqa: SLF001 - Gradio has no public attribute for it
    return data if isinstance(data, dict) else {}


def finite_json(text: bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parse JSON. `pairs` makes each object from its names and values.

    Raises:
        ValueError: It is invalid, nested too deeply, or contains a number that is not finite, which replies cannot repeat.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=_finite_number, parse_float=_finite_number)
    except RecursionError:
        raise ValueError("The values are nested too deeply.") from None


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a finite number.")
    return number


def finite(value: Any, otherwise: float) -> float:
    """A finite number; `otherwise` for anything else."""
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:  # an integer beyond the range of floats
        return otherwise
    return number if math.isfinite(number) else otherwise


def display_name(value: Any) -> str:
    """The printable characters of a text, at most `LONGEST_NAME`, as a name to display and store; "" if there are none."""
    text = value if isinstance(value, str) else ""
    return " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * LONGEST_NAME]).split())[
        :LONGEST_NAME
    ]


def is_one_of(value: Any, options: Collection[Any]) -> bool:
    """Whether a value is one of `options`; never raises, also for values that cannot be hashed."""
    return isinstance(value, str | int | float) and value in options
