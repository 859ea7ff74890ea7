"""Initial data of the lab: available policies, clips, budgets and recorded lab runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hermes.policies.fidelity import GROUPS
from hermes.policies.presets import PRESETS
from hermes.trace import LabRun
from ui.player.clips import Clip
from ui.runs.runs import lab_card

BUDGETS = (64, 128, 256, 512, 1024)


def choices(policies: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what can be compared, in groups by fidelity: every policy, and the presets of the ablations."""
    listed = [
        {"name": name, "title": str(policy.title), "badge": str(policy.badge), "group": GROUPS[policy.fidelity_of()]}
        for name, policy in policies.items()
    ]
    names = {row["name"] for row in listed}
    listed += [
        {
            "name": preset.name,
            "title": preset.title,
            "badge": f"variant of {preset.policy}",
            "group": GROUPS[policies[preset.policy].fidelity_of()],
        }
        for preset in PRESETS.values()
        if preset.name not in names
    ]
    order = list(GROUPS.values())
    return sorted(listed, key=lambda row: order.index(row["group"]))


def offer(
    clips: Mapping[str, Clip],
    policies: Mapping[str, Any],
    runs: Mapping[str, LabRun] = MappingProxyType({}),
    openings: Mapping[str, float] = MappingProxyType({}),
    *,
    live: bool = True,
) -> dict[str, Any]:
    """Return the initial data of the lab: recorded runs, clips with suggested questions, policies and budgets.

    Args:
        clips: The bundled clips.
        policies: The policies by name.
        runs: The bundled lab runs.
        openings: Opening time of each run by id, in seconds.
        live: Whether live runs are possible, or only recorded runs can be shown.
    """
    recorded = [lab_card(run, openings.get(run.id, 0.0)) for run in runs.values()]
    if not live:
        return {"clips": [], "policies": [], "budgets": [], "runs": recorded}
    shown = [
        {"id": clip.id, "title": clip.title, "seconds": clip.seconds, "questions": [text for text, _ in clip.questions]}
        for clip in clips.values()
    ]
    return {"clips": shown, "policies": choices(policies), "budgets": list(BUDGETS), "runs": recorded}
