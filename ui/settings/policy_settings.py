"""The panel that changes a policy's settings, made from the settings that the policy lists. Plain dicts, no Gradio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError

if TYPE_CHECKING:
    from hermes.policies.presets import Preset
    from hermes.policies.settings import Setting, Value
    from hermes.serving.engine import ModelInfo
    from hermes.view import StreamSettings

Changed = tuple[tuple[str, "Value"], ...]


def presets_of(policy: str) -> tuple[Preset, ...]:
    """The presets that change some settings of a policy."""
    from hermes.policies.presets import changes_of  # noqa: PLC0415 - policies need torch, recorded runs do not

    return changes_of(policy)


def wished(settings: Sequence[Setting], presets: Sequence[Preset], now: Changed, wish: Mapping[str, Any]) -> Changed:
    """The changed settings after a wish of the browser.

    Args:
        settings: Those of the policy, with the defaults of the model's family.
        presets: Those of the policy.
        now: The changed settings before it.
        wish: `{"name", "value"}` sets one, `{"name", "reset": true}` puts one back, `{"reset": true}` all,
            `{"preset": name}` takes exactly a preset's.

    Returns:
        Those that differ from their defaults, in the order of `settings`.

    Raises:
        HermesError: There is no such setting or preset, or the setting cannot take the value.
    """
    values: dict[str, Any] = dict(now)
    name = wish.get("name")
    if "preset" in wish:
        found = next((preset for preset in presets if preset.name == wish["preset"]), None)
        if found is None:
            raise HermesError("There is no such preset for this policy.")
        values = dict(found.changed)
    elif name is None:
        values = {} if wish.get("reset") else values
    elif all(setting.name != name for setting in settings):
        raise HermesError("This policy has no such setting.")
    elif wish.get("reset"):
        values.pop(name, None)
    else:
        values[name] = wish.get("value")
    known = [(setting, values[setting.name]) for setting in settings if setting.name in values]
    checked = [(setting, setting.checked(value)) for setting, value in known]
    return tuple((setting.name, value) for setting, value in checked if value != setting.default)


def answer(
    policy: Any,
    info: ModelInfo | None,
    now: Callable[[], StreamSettings],
    wish: Mapping[str, Any],
    change: Callable[[Changed], Sequence[str]],
) -> dict[str, Any]:
    """Carry out a wish, see `wished`; returns what the panel shows then, also where it was refused.

    Args:
        policy: The policy that is chosen.
        info: The model, whose family may have its own defaults; None: not known yet.
        now: Gives the stream's settings.
        wish: What the panel asks for.
        change: Takes the changed settings; returns sentences on what applies when, or raises HermesError.
    """
    settings = policy.settings_for(info.constants) if info else policy.settings
    presets = presets_of(policy.name)
    said, bad = "", False
    try:
        said = " ".join(change(wished(settings, presets, now().changed, wish)))
    except HermesError as error:
        said, bad = str(error), True
    hints = {f"prompt_{name}": text for name, text in info.guidance} if info else {}
    return panel(policy, settings, presets, now(), said, bad=bad, hints=hints)


def panel(
    policy: Any,
    settings: Sequence[Setting],
    presets: Sequence[Preset],
    now: StreamSettings,
    said: str = "",
    *,
    bad: bool = False,
    hints: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the panel shows.

    Args:
        policy: The policy, with `name`, `title` and `badge`.
        settings: Its settings, with the defaults of the model's family.
        presets: Its presets.
        now: The stream's settings.
        said: What applies when, or why nothing changed.
        bad: Whether `said` is an error.
        hints: What stands in an empty text, by name of the setting.
    """
    changed = dict(now.changed)
    return {
        "policy": {"name": policy.name, "title": policy.title},
        "model": now.model,
        "defaults": "the paper’s values" if all(s.source == "paper" for s in settings) else "the defaults",
        "settings": [_told(setting, changed.get(setting.name, setting.default), hints or {}) for setting in settings],
        "presets": [
            {"name": p.name, "title": p.title.split(", ", 1)[-1], "about": p.about, "on": p.changed == now.changed}
            for p in presets
        ],
        "changed": [
            {"label": setting.label, "words": setting.words(changed[setting.name])}
            for setting in settings
            if setting.name in changed
        ],
        "said": said,
        "bad": bad,
    }


def _told(setting: Setting, value: Value, hints: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": setting.name,
        "label": setting.label,
        "about": setting.about,
        "kind": setting.kind,
        "value": value,
        "low": setting.low,
        "high": setting.high,
        "step": setting.step,
        "choices": list(setting.choices),
        "changed": value != setting.default,
        "default": setting.words(setting.default)
        if setting.default == ""
        else f"{setting.source}: {setting.words(setting.default)}",
        "hint": hints.get(setting.name, ""),
    }


def badge_of(policy: Any, changed: Changed) -> str:
    """A policy's badge; where settings were changed it is no longer what was published, and says so."""
    if not changed:
        return str(policy.badge)
    return f"{len(changed)} setting{'s' * (len(changed) != 1)} changed"


def title_of(policy: Any, changed: Changed) -> str:
    """A policy's title for the record of an answer, with the changed settings."""
    if not changed:
        return str(policy.title)
    named = {setting.name: setting for setting in policy.settings}
    words = [f"{named[name].label} {named[name].words(value)}" for name, value in changed if name in named]
    return f"{policy.title} ({', '.join(words[:2])}{f' and {len(words) - 2} more' if len(words) > 2 else ''})"
