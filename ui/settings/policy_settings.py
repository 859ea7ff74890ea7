"""The panel of policy settings: validates changes and builds the message that the page displays. Independent of Gradio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from hermes.policies.presets import Preset, changes_of

if TYPE_CHECKING:
    from hermes.policies.settings import Setting, Value
    from hermes.serving.model_info import ModelInfo
    from hermes.view import StreamSettings

Changed = tuple[tuple[str, "Value"], ...]


def changed_settings(
    settings: Sequence[Setting], presets: Sequence[Preset], now: Changed, request: Mapping[str, Any]
) -> Changed:
    """Return the changed settings after a request of the browser.

    Args:
        settings: Settings of the policy, with the defaults of the model family.
        presets: Presets of the policy.
        now: The changed settings before the request.
        request: `{"name", "value"}` changes a setting, `{"name", "reset": true}` resets one, `{"reset": true}` resets
            all, `{"preset": name}` applies a preset.

    Returns:
        The settings that differ from their defaults, in the order of `settings`.

    Raises:
        HermesError: The setting or preset does not exist, or the value is invalid.
    """
    values: dict[str, Any] = dict(now)
    name = request.get("name")
    if "preset" in request:
        found = next((preset for preset in presets if preset.name == request["preset"]), None)
        if found is None:
            raise HermesError("This policy has no such preset.")
        values = dict(found.changed)
    elif name is None:
        values = {} if request.get("reset") else values
    elif all(setting.name != name for setting in settings):
        raise HermesError("This policy has no such setting.")
    elif request.get("reset"):
        values.pop(name, None)
    else:
        values[name] = request.get("value")
    known = [(setting, values[setting.name]) for setting in settings if setting.name in values]
    checked = [(setting, setting.checked(value)) for setting, value in known]
    return tuple((setting.name, value) for setting, value in checked if value != setting.default)


def apply(
    policy: Any,
    info: ModelInfo | None,
    now: Callable[[], StreamSettings],
    request: Mapping[str, Any],
    change: Callable[[Changed, str | None], Sequence[str]],
) -> dict[str, Any]:
    """Apply a request (see `changed_settings`) and return the panel's message, also if the request is rejected.

    Args:
        policy: The selected policy.
        info: The model, whose family can have its own defaults; None if it is not loaded.
        now: Returns the settings of the stream.
        request: The request of the panel.
        change: Applies the changed settings and the guidance mode of a preset (None: unchanged), and returns messages about
            when they take effect; raises HermesError.
    """
    settings = policy.settings_for(info.constants) if info else policy.settings
    presets = changes_of(policy.name)
    message, is_error = "", False
    try:
        changed = changed_settings(settings, presets, now().changed, request)
        guidance = next((preset.guidance for preset in presets if preset.name == request.get("preset")), None)
        message = " ".join(change(changed, guidance))
    except HermesError as error:
        message, is_error = str(error), True
    hints = {f"prompt_{name}": text for name, text in info.guidance} if info else {}
    return panel(policy, settings, presets, now(), message, is_error=is_error, hints=hints)


def panel(
    policy: Any,
    settings: Sequence[Setting],
    presets: Sequence[Preset],
    now: StreamSettings,
    message: str = "",
    *,
    is_error: bool = False,
    hints: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the message that the panel displays.

    Args:
        policy: The policy, with `name`, `title` and `badge`.
        settings: Its settings, with the defaults of the model family.
        presets: Its presets.
        now: The settings of the stream.
        message: When the change takes effect, or why it was rejected.
        is_error: Whether `message` is an error.
        hints: Placeholder texts by name of the setting.
    """
    changed = dict(now.changed)
    return {
        "policy": {"name": policy.name, "title": policy.title},
        "model": now.model,
        "defaults": "the paper’s values" if all(s.source == "paper" for s in settings) else "the defaults",
        "settings": [
            _setting_row(setting, changed.get(setting.name, setting.default), hints or {}) for setting in settings
        ],
        "presets": [
            {
                "name": p.name,
                "title": p.title.split(", ", 1)[-1],
                "about": p.about,
                "on": p.changed == now.changed and p.guidance in (None, now.guidance),
            }
            for p in presets
        ],
        "changed": [
            {"label": setting.label, "words": setting.words(changed[setting.name])}
            for setting in settings
            if setting.name in changed
        ],
        "notice": message,
        "bad": is_error,
    }


def _setting_row(setting: Setting, value: Value, hints: Mapping[str, str]) -> dict[str, Any]:
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
    """Return the policy's badge, or the number of changed settings: a changed policy is not the published one."""
    if not changed:
        return str(policy.badge)
    return f"{len(changed)} setting{'s' * (len(changed) != 1)} changed"


def words_of_change(before: StreamSettings, after: StreamSettings, policies: Mapping[str, Any]) -> str:
    """Return what changed in the settings of a memory, in words; "" if nothing did."""
    parts = []
    if before.policy != after.policy:
        parts.append(f"policy {policies[before.policy].title} → {policies[after.policy].title}")
    if before.budget != after.budget:
        parts.append(f"budget {before.budget:,} → {after.budget:,}")
    if before.guidance != after.guidance:
        parts.append(f"importance probe {before.guidance} → {after.guidance}")
    if before.policy == after.policy and before.changed != after.changed:
        known = dict(before.changed)
        differing = [(name, value) for name, value in after.changed if name not in known or known[name] != value]
        gone = len(known.keys() - dict(after.changed).keys())
        named = {setting.name: setting for setting in policies[after.policy].settings}
        parts += [f"{named[name].label} {named[name].words(value)}" for name, value in differing if name in named]
        parts += ["settings reset to the defaults"] if gone else []
    return ", ".join(parts)


def title_of(policy: Any, changed: Changed) -> str:
    """Return the policy's title with the changed settings, to be stored with an answer."""
    if not changed:
        return str(policy.title)
    named = {setting.name: setting for setting in policy.settings}
    words = [f"{named[name].label} {named[name].words(value)}" for name, value in changed if name in named]
    return f"{policy.title} ({', '.join(words[:2])}{f' and {len(words) - 2} more' if len(words) > 2 else ''})"
