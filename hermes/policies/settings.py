"""Settings of a policy that a person may change: what each is, what it may be, and where its value comes from.

A policy lists them in `Policy.settings`; page, command line and lab are made from that list. No torch here.
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
"""Characters of a text where its setting names no limit."""
_YES, _NO = ("on", "yes", "true", "1"), ("off", "no", "false", "0")


class SettingError(HermesError):
    """A setting that the policy does not have, or a value that it cannot take."""


@dataclass(frozen=True)
class Setting:
    """One thing that can be changed about a policy.

    Attributes:
        name: The policy's field.
        label: Its name for people.
        about: One sentence: what it does.
        kind: "switch" (on or off), "number", "choice" (one of `choices`) or "text".
        default: The value without a change. A number whose default is whole (`4`, not `4.0`) takes whole values only.
        low: Least number.
        high: Largest number; of a text its most characters.
        step: What a slider moves by.
        choices: What a choice may be.
        source: Where the default comes from.
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

    def checked(self, value: object) -> Value:
        """The value as this setting holds it.

        Raises:
            SettingError: It is not of this kind or out of range; the message says what fits.
        """
        if self.kind == "switch":
            return self._switch(value)
        if self.kind == "number":
            return self._number(value)
        if not isinstance(value, str):
            raise SettingError(f"“{self.label}” ({self.name}) is a text, not {value!r}.")
        if self.kind == "choice":
            if value not in self.choices:
                raise SettingError(
                    f"“{self.label}” ({self.name}) is {', '.join(self.choices[:-1])} or {self.choices[-1]}, "
                    f"not “{value[:LONGEST_TEXT]}”."
                )
            return value
        return self._text(value)

    def parse(self, text: str) -> Value:
        """The value that a person typed; see `checked` for errors."""
        if self.kind == "switch":
            word = text.strip().lower()
            return self._switch(True if word in _YES else False if word in _NO else text)
        if self.kind == "number":
            try:
                return self._number(float(text))
            except ValueError:
                raise SettingError(f"“{self.label}” ({self.name}) is a number, not “{text}”.") from None
        return self.checked(text.strip())

    def _switch(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise SettingError(f"“{self.label}” ({self.name}) is either on or off, not {value!r}.")
        return value

    def _number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingError(f"“{self.label}” ({self.name}) is a number, not {value!r}.")
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
            raise SettingError(f"“{self.label}” ({self.name}) is {len(text)} characters long; at most {limit} fit.")
        return text

    def words(self, value: Value) -> str:
        """A value as people read it: "on", "0.5", "lazy"; an empty text is "the model’s own"."""
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, str):
            return value or "the model’s own"
        return f"{value:g}"


def setting_of(settings: Sequence[Setting], name: str, policy: str) -> Setting:
    """The setting of a name.

    Raises:
        SettingError: There is none; the message lists those that there are.
    """
    for setting in settings:
        if setting.name == name:
            return setting
    known = ", ".join(setting.name for setting in settings)
    raise SettingError(
        f"The policy “{policy}” has no setting “{name}”. " + (f"It has: {known}." if known else "It has none.")
    )


def only_changed(
    settings: Sequence[Setting], values: Mapping[str, object] | Iterable[tuple[str, object]], policy: str
) -> tuple[tuple[str, Value], ...]:
    """Those values that differ from their defaults, checked, in the order of `settings`.

    Raises:
        SettingError: There is no such setting, or it cannot take the value.
    """
    checked = {name: setting_of(settings, name, policy).checked(value) for name, value in dict(values).items()}
    return tuple((s.name, checked[s.name]) for s in settings if s.name in checked and checked[s.name] != s.default)


def parse_assignments(settings: Sequence[Setting], texts: Iterable[str], policy: str) -> dict[str, Value]:
    """Settings as typed on a command line, `name=value` each; the last of a name counts.

    Raises:
        SettingError: One is not `name=value`, names no setting, or has a value that does not fit.
    """
    values: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise SettingError(f"A setting is given as name=value, not “{text}”.")
        setting = setting_of(settings, name.strip(), policy)
        values[setting.name] = setting.parse(value)
    return values


REINDEXING = Setting(
    "reindexing",
    "Re-indexing",
    "When positions are closed up after evictions: lazily, near the end of the range that the model was trained on, "
    "or eagerly, at every eviction.",
    "choice",
    "lazy",
    choices=("lazy", "eager"),
)
"""What every policy that evicts can offer: HERMES's paper is lazy on streams, eager on offline video."""

OUR_REINDEXING = replace(REINDEXING, source="ours")
"""The same where the publication keeps original positions, or says nothing of evicting."""
