"""Plans of the lab: streams, policies and budgets, validated before anything runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.eval.pocket import make_stream
from hermes.eval.scoring import Setup
from hermes.policies import POLICIES, Policy, policy_of, setting_of
from hermes.policies.fidelity import Fidelity
from hermes.policies.presets import Preset, preset_of
from hermes.trace import MAX_LANES, MIN_LANES

FORMAT: Final = 1
"""Format version of stored measurements."""
SIDE: Final = 128  # pixels of a rendered frame, height and width
TEMPOS: Final = ("dense", "calm", "slow")


class LabError(HermesError):
    """Invalid arguments or files of the lab."""


@dataclass(frozen=True)
class Budget:
    """A budget as given by the user: tokens per layer, or a share of the full cache at the end of a stream.

    Attributes:
        tokens: Video tokens that a layer may hold; None if a share is given.
        share: Share of the full cache, above 0, at most 1; None if tokens are given.
    """

    tokens: int | None = None
    share: float | None = None

    @classmethod
    def read(cls, text: str) -> Budget:
        """Parse a budget: "512" or "25%".

        Raises:
            LabError: The text is neither, or the share is not above 0 and at most 100 %.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", text.strip())
        if not found or (not found[2] and "." in found[1]):
            raise LabError(f"A budget is a number of tokens or a share of the full cache (512 or 25%), not “{text}”.")
        if not found[2]:
            return cls(tokens=int(found[1]))
        if not 0 < float(found[1]) <= 100:
            raise LabError(f"A share of the full cache must be above 0 and at most 100 %, not {text}.")
        return cls(share=float(found[1]) / 100)

    def of(self, full: int, least: int) -> int:
        """Return the tokens per layer for a full cache of `full` tokens; a share yields at least `least` (one frame)."""
        return self.tokens if self.tokens is not None else max(round((self.share or 0) * full), least)


def read_preset(text: str) -> Preset:
    """Parse the name of a policy or preset, optionally with settings: "hermes:smoothing=off,alpha_long_term=0.3".

    Raises:
        HermesError: There is no such policy or setting, or a value is invalid.
    """
    name, colon, listed = text.partition(":")
    preset = preset_of(name)
    if not colon:
        return preset
    policy, changed = policy_of(preset.policy), dict(preset.changed)
    for item in listed.split(","):
        key, equals, value = item.partition("=")
        if not equals:
            raise LabError(f"Settings are written as name=value, separated by commas, not “{listed}”.")
        changed[key.strip()] = setting_of(policy.settings, key.strip(), preset.policy).parse(value)
    return replace(preset, name=text, title=f"{preset.title} ({listed})", changed=tuple(changed.items()))


def _at_budgets(text: str, budgets: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Split a policy from its own budget behind an “@”; without one, all budgets apply."""
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
        """How faithful the policy is to its publication; for a preset, which policy it varies."""
        return POLICIES[self.preset.policy].badge if self.policy in POLICIES else f"variant of {self.preset.policy}"

    @property
    def fidelity(self) -> Fidelity:
        """The group in which the policy's results are listed; a preset is listed with its policy."""
        return POLICIES[self.preset.policy].fidelity_of()

    @property
    def description(self) -> dict[str, Any]:
        """Description of a row of results: `title`, `badge`, `fidelity` and `window`, the tokens that a layer may hold."""
        return {
            "title": self.preset.title,
            "badge": self.badge,
            "fidelity": self.fidelity,
            "window": self.make().held_limit,
        }

    @property
    def facts(self) -> dict[str, str]:
        """Metadata for a recorded run: `name`, `title`, `badge` and `about`."""
        preset = self.preset
        return {"name": self.policy, "title": preset.title, "badge": str(self.badge), "about": preset.about}

    def make(self) -> Policy:
        """Create the policy for a session."""
        return self.preset.make(self.budget)


def cells_of(policies: Sequence[str], budget: int) -> list[Cell]:
    """Return the cells of the policies with these names, with the budget for those that have one.

    Raises:
        HermesError: There is no such policy or setting, or the names are too few, too many or not distinct.
    """
    if not MIN_LANES <= len(set(policies)) == len(policies) <= MAX_LANES:
        raise LabError("Choose two to four different memories.")
    cells = [Cell(name, budget) for name in policies]
    return [cell if POLICIES[cell.preset.policy].has_budget else replace(cell, budget=None) for cell in cells]


@dataclass(frozen=True)
class LabPlan:
    """A comparison of policies.

    Attributes:
        model: Name or folder of the model, as given by the user.
        streams: Number of streams.
        frames: Frames per stream.
        seed: Seed of the streams.
        tempo: How fast the cards change, one of `TEMPOS`.
        cells: Policies and budgets; policies without a budget appear once.
        full: Video tokens per layer of the full cache at the end of a stream.
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
        """The streams, as rendered by the pocket evaluation."""
        return Setup(self.streams, self.frames, self.seed, tempo=self.tempo)

    @property
    def budgets(self) -> list[int]:
        """The budgets in ascending order."""
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
    """Validate the arguments and create a plan.

    Args:
        backbone: The model.
        model: The name by which it was loaded.
        policies: Names of policies and presets, or policies with settings (see `read_preset`); “rekv@25%” is measured only
            at that budget.
        budgets: Numbers of tokens, or shares such as "25%".
        streams: Number of streams, at least 2 (one stream has no interval).
        frames: Frames per stream, at least 16.
        seed: Seed of the streams, at least 0.
        tempo: One of `TEMPOS`.
        reference: One of the policies; None: "hermes" if it is among them, else the first.

    Raises:
        HermesError: A name, number or budget is invalid; the message names it.
    """
    wanted = [_at_budgets(text, budgets) for text in policies]
    names = list(dict.fromkeys(name for name, _ in wanted))
    presets = {name: read_preset(name) for name in names}
    if not policies or not budgets:
        raise LabError("The lab needs at least one policy and one budget.")
    if streams < 2 or frames < 16 or seed < 0:
        raise LabError("The lab needs at least two streams of at least 16 frames, and a seed of at least 0.")
    if tempo not in TEMPOS:
        raise LabError(f"There is no tempo “{tempo}”. Available: {', '.join(TEMPOS)}.")
    if reference is not None and reference not in names:
        raise LabError(f"The reference “{reference}” is not among the compared policies.")
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
    """Return the properties of streams and model that measurements in one folder must share.

    A digest of the first stream distinguishes versions that render streams of the same seed differently.
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
