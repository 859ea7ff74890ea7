"""Values that a browser sent, of any type: what is not as expected counts as not given."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Final

LONGEST_NAME: Final = 200


def event_data(event: Any) -> dict[str, Any]:
    """The data of a Gradio event; empty where it is not an object."""
    data = event._data  # noqa: SLF001 - Gradio has no public attribute for it
    return data if isinstance(data, dict) else {}


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
