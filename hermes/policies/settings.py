"""User settings of a policy: description, valid values and origin of the default.

A policy lists them in `Policy.settings`; the page, the command line and the lab are built from that list. This module does
not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from hermes.errors import HermesError

Value = bool | float | str
Kind = Literal["switch", "number", "choice", "text"]
Origin = Literal["paper", "released code", "ours"]

LONGEST_TEXT: Final = 240
"""Default limit of a text setting, in characters."""
_YES, _NO = ("on", "yes", "true", "1"), ("off", "no", "false", "0")


class SettingError(HermesError):
    """The policy has no such setting, or the value is invalid."""


@dataclass(frozen=True)
class Setting:
    """A user setting of a policy.

    Attributes:
        name: Name of the policy's field.
        label: Display name.
        about: One sentence: what the setting does.
        kind: "switch" (on or off), "number", "choice" (one of `choices`) or "text".
        default: Default value. A number with an integer default (`4`, not `4.0`) accepts only whole numbers.
        low: Minimum of a number.
        high: Maximum of a number; for a text, the maximum number of characters.
        step: Step of the slider.
        choices: Valid values of a choice.
        source: Origin of the default.
        empty: What an empty text means, for display.
    """

    name: str
    label: str
    about: str
    kind: Kind
    default: Value
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    source: Origin = "paper"
    empty: str = "the model’s own"

    def checked(self, value: object) -> Value:
        """Return the validated value.

        Raises:
            SettingError: The type is wrong or the value is out of range; the message states the valid values.
        """
        if self.kind == "switch":
            return self._switch(value)
        if self.kind == "number":
            return self._number(value)
        if not isinstance(value, str):
            raise SettingError(f"“{self.label}” ({self.name}) must be text, not {value!r}.")
        if self.kind == "choice":
            if value not in self.choices:
                raise SettingError(
                    f"“{self.label}” ({self.name}) must be {', '.join(self.choices[:-1])} or {self.choices[-1]}, "
                    f"not “{value[:LONGEST_TEXT]}”."
                )
            return value
        return self._text(value)

    def parse(self, text: str) -> Value:
        """Parse and validate a typed value; see `checked` for errors."""
        if self.kind == "switch":
            word = text.strip().lower()
            return self._switch(True if word in _YES else False if word in _NO else text)
        if self.kind == "number":
            try:
                return self._number(float(text))
            except ValueError:
                raise SettingError(f"“{self.label}” ({self.name}) must be a number, not “{text}”.") from None
        return self.checked(text.strip())

    def _switch(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise SettingError(f"“{self.label}” ({self.name}) must be on or off, not {value!r}.")
        return value

    def _number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingError(f"“{self.label}” ({self.name}) must be a number, not {value!r}.")
        if not math.isfinite(value):
            raise SettingError(f"“{self.label}” ({self.name}) must be a finite number.")
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if not low <= value <= high:
            parts = [f"at least {low:g}"] * math.isfinite(low) + [f"at most {high:g}"] * math.isfinite(high)
            raise SettingError(f"“{self.label}” ({self.name}) must be {' and '.join(parts)}, not {value:g}.")
        if isinstance(self.default, int) and not isinstance(self.default, bool):
            if value != int(value):
                raise SettingError(f"“{self.label}” ({self.name}) must be a whole number, not {value:g}.")
            return int(value)
        return float(value)

    def _text(self, value: str) -> str:
        limit = LONGEST_TEXT if self.high is None else int(self.high)
        text = " ".join("".join(char if char.isprintable() else " " for char in value).split())
        if len(text) > limit:
            raise SettingError(f"“{self.label}” ({self.name}) has {len(text)} characters; at most {limit} are allowed.")
        return text

    def words(self, value: Value) -> str:
        """Format a value for display: "on", "0.5", "lazy"; for an empty text `empty`."""
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, str):
            return value or self.empty
        return f"{value:g}"


def setting_of(settings: Sequence[Setting], name: str, policy: str) -> Setting:
    """Return a setting by name.

    Raises:
        SettingError: There is no such setting; the message lists the available ones.
    """
    for setting in settings:
        if setting.name == name:
            return setting
    known = ", ".join(setting.name for setting in settings)
    raise SettingError(
        f"The policy “{policy}” has no setting “{name}”. "
        + (f"Available: {known}." if known else "It has no settings.")
    )


def only_changed(
    settings: Sequence[Setting], values: Mapping[str, object] | Iterable[tuple[str, object]], policy: str
) -> tuple[tuple[str, Value], ...]:
    """Return the values that differ from their defaults, validated, in the order of `settings`.

    Raises:
        SettingError: There is no such setting, or its value is invalid.
    """
    checked = {name: setting_of(settings, name, policy).checked(value) for name, value in dict(values).items()}
    return tuple((s.name, checked[s.name]) for s in settings if s.name in checked and checked[s.name] != s.default)


def parse_assignments(settings: Sequence[Setting], texts: Iterable[str], policy: str) -> dict[str, Value]:
    """Parse settings of the form `name=value` from the command line; the last value of a name wins.

    Raises:
        SettingError: A text is not of the form `name=value`, the setting is unknown, or the value is invalid.
    """
    values: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise SettingError(f"Write a setting as name=value, not “{text}”.")
        setting = setting_of(settings, name.strip(), policy)
        values[setting.name] = setting.parse(value)
    return values


REINDEXING = Setting(
    "reindexing",
    "Re-indexing",
    "When positions are compacted after evictions: lazily, near the end of the range that the model was trained on, or "
    "eagerly, at every eviction.",
    "choice",
    "lazy",
    choices=("lazy", "eager"),
)
"""Setting for all policies that evict; the HERMES paper uses lazy on streams and eager on offline video."""

OUR_REINDEXING = replace(REINDEXING, source="ours")
"""The same for publications that keep the original positions or do not describe eviction."""
