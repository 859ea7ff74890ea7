"""Checks of values that come from untrusted files. Each returns the checked value or raises `InvalidValueError`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError
from hermes.files.limits import LARGEST_NUMBER, LATEST

Array = npt.NDArray[Any]


class InvalidValueError(HermesError):
    """A value in a file has the wrong type, shape or range; the message is a sentence that names it."""


def parse_json(data: bytes, limit: int, name: str) -> Any:
    """Parse JSON of at most `limit` bytes."""
    if len(data) > limit:
        raise InvalidValueError(f"The {name} is larger than {limit:,} bytes.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"The {name} is not valid JSON.") from error


def mapping(value: Any, name: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise InvalidValueError(f"The {name} is not an object.")
    return value


def sequence(value: Any, name: str, most: int) -> list[Any]:
    """A JSON array of at most `most` elements."""
    if not isinstance(value, list) or len(value) > most:
        raise InvalidValueError(f"The {name} is not a list of at most {most:,} elements.")
    return value


def member(value: dict[str, Any], key: str, name: str) -> Any:
    """A required member of a JSON object."""
    if key not in value:
        raise InvalidValueError(f"The {name} lacks “{key}”.")
    return value[key]


def text(value: Any, name: str, most: int) -> str:
    """A string that can be encoded as UTF-8, cut to `most` characters."""
    if not isinstance(value, str):
        raise InvalidValueError(f"The {name} is not a string.")
    cut = value[:most]
    try:
        cut.encode()
    except UnicodeEncodeError as error:
        raise InvalidValueError(f"The {name} is not valid Unicode.") from error
    return cut


def number(value: Any, name: str, low: float = -LARGEST_NUMBER, high: float = LARGEST_NUMBER) -> float:
    """A finite number within a range; a bool is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidValueError(f"The {name} is not a number from {low:g} to {high:g}.")
    return value


def whole(value: Any, name: str, low: int = 0, high: int = int(LARGEST_NUMBER)) -> int:
    """An integer within a range; a bool or a float is not an integer."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidValueError(f"The {name} is not an integer from {low} to {high}.")
    return value


def flag(value: Any, name: str) -> bool:
    """A bool."""
    if not isinstance(value, bool):
        raise InvalidValueError(f"The {name} is neither true nor false.")
    return value


def seconds(value: Any, name: str) -> float:
    """A stream time in seconds."""
    return float(number(value, name, 0.0, LATEST))


def shaped(values: Array, shape: tuple[int | None, ...], name: str) -> Array:
    """An array of a shape; None allows any size of a dimension."""
    if len(values.shape) != len(shape) or any(
        want is not None and want != have for want, have in zip(shape, values.shape, strict=True)
    ):
        want = " x ".join("any" if side is None else str(side) for side in shape)
        raise InvalidValueError(f"The {name} has the shape {list(values.shape)} instead of {want}.")
    return values


def within(values: Array, low: float, high: float, name: str, *, nan: bool = False) -> Array:
    """An array of numbers within a range; NaN only where allowed."""
    if values.dtype.kind not in "iufb":
        raise InvalidValueError(f"The {name} are not numbers.")
    if values.dtype.kind == "f":
        most = float(np.finfo(values.dtype).max)
        low, high = min(max(low, -most), most), min(max(high, -most), most)
    fits = (values >= low) & (values <= high)
    if nan and values.dtype.kind == "f":
        fits |= np.isnan(values)
    if not fits.all():
        raise InvalidValueError(f"The {name} must be finite numbers from {low:g} to {high:g}.")
    return values


def rising(values: Array, name: str) -> Array:
    """An array of one dimension whose values do not decrease."""
    if values.ndim != 1 or (values[1:] < values[:-1]).any():
        raise InvalidValueError(f"The {name} are not in ascending order.")
    return values


def offsets(values: Array, count: int, name: str) -> Array:
    """Offsets that start at 0, do not decrease and end at `count`."""
    rising(values, name)
    if not len(values) or values[0] != 0 or values[-1] != count:
        raise InvalidValueError(f"The {name} do not match the tokens.")
    return values
