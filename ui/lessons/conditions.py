"""Conditions of lesson files, which compare measured metrics, and formatting of metrics in sentences.

A condition is one or more comparisons joined by "and": `hermes_ms < rekv_ms`, `deep > 2 * shallow and frames >= 40`,
`state == 'failed'`. Each side is the name of a metric, a number, a number times a metric, or a word in single quotes.
A comparison with a metric that could not be measured (nan) is false.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from hermes.formatting import format_bytes_short, format_clock

Value = float | str

_SIDE = r"(?:'[^']*'|(?:\d+(?:\.\d+)?\s*\*\s*)?[a-z][a-z0-9_]*|-?\d+(?:\.\d+)?)"
_COMPARISON = re.compile(rf"\s*({_SIDE})\s*(>=|<=|==|!=|>|<)\s*({_SIDE})\s*")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne}
)
UNMEASURED: Final = "nothing to measure"


class ConditionError(ValueError):
    """Invalid condition."""


def _comparisons(text: str) -> list[tuple[str, str, str]]:
    found = [_COMPARISON.fullmatch(part) for part in text.split(" and ")]
    if not text.strip() or any(match is None for match in found):
        raise ConditionError(f"“{text}” is not a valid condition")
    return [(match[1], match[2], match[3]) for match in found if match]


def names_in(text: str) -> set[str]:
    """Return the names of the metrics that a condition compares.

    Raises:
        ConditionError: The condition is invalid.
    """
    sides = [side for left, _, right in _comparisons(text) for side in (left, right)]
    return {name for side in sides if not side.startswith("'") for name in _NAME.findall(side)}


def places_in(sentence: str) -> set[str]:
    """Return the names of the metrics in a sentence, written as `{name}`."""
    return set(_PLACE.findall(sentence))


def _side(text: str, figures: Mapping[str, Value]) -> Value:
    if text.startswith("'"):
        return text[1:-1]
    if "*" in text:
        factor, name = (part.strip() for part in text.split("*"))
        value = figures[name]
        return float(factor) * value if isinstance(value, float | int) else math.nan
    return figures[text] if _NAME.fullmatch(text) else float(text)


def holds(text: str, figures: Mapping[str, Value]) -> bool:
    """Return whether a condition is true.

    Args:
        text: The condition.
        figures: The measured metrics by name, including all that the condition compares.
    """
    for left, sign, right in _comparisons(text):
        a, b = _side(left, figures), _side(right, figures)
        words = isinstance(a, str), isinstance(b, str)
        if any(words) and not all(words):
            return False
        if not any(words) and (math.isnan(float(a)) or math.isnan(float(b))):
            return False
        if not _COMPARE[sign](a, b):
            return False
    return True


def fill(sentence: str, written: Mapping[str, str]) -> str:
    """Insert the formatted metrics into a sentence, each in bold (`**`)."""
    return _PLACE.sub(lambda match: f"**{written[match[1]]}**", sentence)


def write(value: Value, unit: str) -> str:
    """Format a metric for display. The unit is "count", "bytes", "share", "times", "ms", "seconds" or "text"."""
    if isinstance(value, str):
        return value or "nothing"
    if math.isnan(value):
        return UNMEASURED
    writers: dict[str, Callable[[float], str]] = {
        "count": lambda v: f"{round(v):,}",
        "bytes": format_bytes_short,
        "share": _percent,
        "times": lambda v: f"{v:.1f} times" if v < 10 else f"{round(v):,} times",
        "ms": lambda v: f"{round(v):,} ms" if v >= 10 else f"{v:.1f} ms",
        "seconds": format_clock,
    }
    return writers[unit](value)


def _percent(share: float) -> str:
    value = share * 100
    if 0 < value < 0.1:
        return "under 0.1 %"
    return f"{value:.1f} %" if value < 10 and round(value, 1) % 1 else f"{round(value)} %"
