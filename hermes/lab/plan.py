"""What the lab measures: streams, policies and budgets, checked before anything runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.eval.pocket import Setup, make_stream
from hermes.policies import POLICIES, Policy, policy_of, setting_of
from hermes.policies.presets import Preset, preset_of
from hermes.trace import LEAST_LANES, MOST_LANES

FORMAT: Final = 1
"""Of the records that measurements are kept in; another number where they hold something else."""
SIDE: Final = 128  # pixels of a rendered frame, height and width
TEMPOS: Final = ("dense", "calm", "slow")


class LabError(HermesError):
    """The lab cannot run what was asked."""


@dataclass(frozen=True)
class Budget:
    """A budget as it was asked for: tokens a layer, or a share of the full cache at a stream's end.

    Attributes:
        tokens: Video tokens that a layer may hold; None where a share was asked for.
        share: Share of the full cache, above 0 to 1; None where tokens were asked for.
    """

    tokens: int | None = None
    share: float | None = None

    @classmethod
    def read(cls, text: str) -> Budget:
        """A budget from text: "512", or "25%".

        Raises:
            LabError: Neither; or a share outside 0 to 100 %.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", text.strip())
        if not found or (not found[2] and "." in found[1]):
            raise LabError(f"A budget is a number of tokens or a share of the full cache (512 or 25%), not “{text}”.")
        if not found[2]:
            return cls(tokens=int(found[1]))
        if not 0 < float(found[1]) <= 100:
            raise LabError(f"A share of the full cache lies above 0 and is at most 100 %, not {text}.")
        return cls(share=float(found[1]) / 100)

    def of(self, full: int, least: int) -> int:
        """Tokens a layer, given those of the full cache; a share becomes at least `least`, one frame."""
        return self.tokens if self.tokens is not None else max(round((self.share or 0) * full), least)


def read_preset(text: str) -> Preset:
    """A policy or preset by name, or a policy with settings: "hermes:smoothing=off,alpha_long_term=0.3".

    Raises:
        HermesError: There is no such policy or setting, or the setting cannot take the value.
    """
    name, colon, listed = text.partition(":")
    preset = preset_of(name)
    if not colon:
        return preset
    policy, changed = policy_of(preset.policy), dict(preset.changed)
    for item in listed.split(","):
        key, equals, value = item.partition("=")
        if not equals:
            raise LabError(f"Settings are written as name=value with commas between them, not “{listed}”.")
        changed[key.strip()] = setting_of(policy.settings, key.strip(), preset.policy).parse(value)
    return replace(preset, name=text, title=f"{preset.title} ({listed})", changed=tuple(changed.items()))


def _at_budgets(text: str, budgets: Sequence[str]) -> tuple[str, Sequence[str]]:
    """A policy and its budgets: those of its own behind an @, or else all."""
    name, at, own = text.rpartition("@")
    return (name, [own]) if at else (text, budgets)


@dataclass(frozen=True)
class Cell:
    """One policy at one budget.

    Attributes:
        policy: Name of the policy or preset, or a policy with settings, see `read_preset`.
        budget: Video tokens that a layer may hold; None for a policy without a budget.
    """

    policy: str
    budget: int | None

    @property
    def preset(self) -> Preset:
        """The policy with its settings and names."""
        return read_preset(self.policy)

    @property
    def badge(self) -> str:
        """How close it is to its publication; of a preset that changes something, that it does."""
        return POLICIES[self.preset.policy].badge if self.policy in POLICIES else f"variant of {self.preset.policy}"

    @property
    def facts(self) -> dict[str, str]:
        """What a recorded run says of it: `name`, `title`, `badge` and `about`."""
        preset = self.preset
        return {"name": self.policy, "title": preset.title, "badge": str(self.badge), "about": preset.about}

    def make(self) -> Policy:
        """The policy, ready for a session."""
        return self.preset.make(self.budget)


def cells_of(policies: Sequence[str], budget: int) -> list[Cell]:
    """The memories that go by these names, each with the budget, where it has one.

    Raises:
        HermesError: There is no such policy or setting; there are too few or too many, or the same twice.
    """
    if not LEAST_LANES <= len(set(policies)) == len(policies) <= MOST_LANES:
        raise LabError("Choose two to four different memories.")
    cells = [Cell(name, budget) for name in policies]
    return [cell if POLICIES[cell.preset.policy].has_budget else replace(cell, budget=None) for cell in cells]


@dataclass(frozen=True)
class LabPlan:
    """A whole comparison.

    Attributes:
        model: Name or folder of the model, as it was asked for.
        streams: How many streams.
        frames: Frames of each.
        seed: Of the streams.
        tempo: How fast cards follow each other.
        cells: Policies and budgets; those without a budget once.
        full: Video tokens of a layer that keeps everything, at a stream's end.
        reference: The policy that the others are compared with.
    """

    model: str
    streams: int
    frames: int
    seed: int
    tempo: str
    cells: tuple[Cell, ...]
    full: int
    reference: str

    @property
    def world(self) -> Setup:
        """The streams, as the pocket evaluation renders them."""
        return Setup(self.streams, self.frames, self.seed, tempo=self.tempo)

    @property
    def budgets(self) -> list[int]:
        """The budgets, smallest first."""
        return sorted({cell.budget for cell in self.cells if cell.budget is not None})


def make_plan(
    backbone: Backbone,
    model: str,
    policies: Sequence[str],
    budgets: Sequence[str],
    *,
    streams: int,
    frames: int,
    seed: int = 0,
    tempo: str = "calm",
    reference: str | None = None,
) -> LabPlan:
    """Check what was asked for, and lay it out.

    Args:
        backbone: The model.
        model: The name that it was loaded by.
        policies: Names of policies and presets, or policies with settings (see `read_preset`); “rekv@25%” is a policy at
            that budget alone, in place of all of `budgets`.
        budgets: Each a number of tokens, or a share such as "25%".
        streams: At least 2: with one stream there is no interval.
        frames: At least 16.
        seed: Of the streams, 0 or more.
        tempo: A name of `TEMPOS`.
        reference: One of the policies; None: "hermes" if it takes part, or the first.

    Raises:
        HermesError: A name, number or budget does not fit; the message says which and why.
    """
    wanted = [_at_budgets(text, budgets) for text in policies]
    names = list(dict.fromkeys(name for name, _ in wanted))
    presets = {name: read_preset(name) for name in names}
    if not policies or not budgets:
        raise LabError("The lab needs at least one policy and one budget.")
    if streams < 2 or frames < 16 or seed < 0:
        raise LabError("The lab needs at least two streams of 16 frames each, and a seed that is not below 0.")
    if tempo not in TEMPOS:
        raise LabError(f"There is no tempo “{tempo}”. There are: {', '.join(TEMPOS)}.")
    if reference is not None and reference not in names:
        raise LabError(f"The reference “{reference}” is not among the policies that take part.")
    layout = backbone.layout(SIDE, SIDE)
    per_step = layout.grid[0] * layout.grid[1]
    full = frames // layout.frames_per_step * per_step
    cells: dict[Cell, None] = {}
    for name, own in wanted:
        for text in own:
            tokens = Budget.read(text).of(full, per_step)
            cell = Cell(name, tokens if POLICIES[presets[name].policy].has_budget else None)
            cell.make().check(backbone)
            cells[cell] = None
    chosen = reference or ("hermes" if "hermes" in names else names[0])
    return LabPlan(model, streams, frames, seed, tempo, tuple(cells), full, chosen)


def identity(plan: LabPlan, backbone: Backbone) -> dict[str, Any]:
    """What must agree for measurements to belong together: the streams and the model, not how much of them was asked.

    A digest of the first stream tells streams of the same seed apart that another version renders differently.
    """
    return {
        "format": FORMAT,
        "streams": hashlib.sha256(make_stream(plan.world, 0).frames.tobytes()).hexdigest()[:16],
        "frames": plan.frames,
        "seed": plan.seed,
        "tempo": plan.tempo,
        "model": backbone.card.name,
        "fingerprint": backbone.fingerprint,
    }
