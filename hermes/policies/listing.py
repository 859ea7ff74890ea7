"""Policy descriptions that can be read without torch.

`listing.json` describes the built-in policies. `python -m hermes.policies.listing` writes it; a test compares it with the
classes. Once the classes are loaded, for example by a plugin, the descriptions come from them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hermes.errors import HermesError
from hermes.importing import IMPORTING
from hermes.policies.fidelity import Fidelity
from hermes.policies.settings import Setting

if TYPE_CHECKING:
    from hermes.memory.tiers import FamilyConstants
    from hermes.policies.base import Policy

FILE: Final = Path(__file__).with_name("listing.json")


@dataclass(frozen=True)
class PolicyInfo:
    """Description of a policy for the page; the fields are those of `hermes.policies.base.Policy`."""

    name: str
    title: str
    badge: str
    kind: str
    fidelity: Fidelity
    about: str
    citation: str
    needs: str
    has_budget: bool
    has_guidance: bool
    has_tiers: bool
    settings: tuple[Setting, ...]

    @classmethod
    def of(cls, policy: type[Policy]) -> PolicyInfo:
        """Describe a policy class."""
        return cls(
            name=policy.name,
            title=policy.title,
            badge=policy.badge,
            kind=policy.kind_of(),
            fidelity=policy.fidelity_of(),
            about=policy.about,
            citation=policy.citation,
            needs=policy.needs,
            has_budget=policy.has_budget,
            has_guidance=policy.has_guidance,
            has_tiers=policy.has_tiers,
            settings=policy.settings,
        )

    def kind_of(self) -> str:
        """Return the short form of the badge for menus; empty if there is none."""
        return self.kind

    def fidelity_of(self) -> Fidelity:
        """Return the group in which results of this policy are listed."""
        return self.fidelity

    def settings_for(self, constants: FamilyConstants) -> tuple[Setting, ...]:
        """Return the settings with their defaults for a model family; loads the policy."""
        with IMPORTING:
            from hermes.policies import policy_of  # noqa: PLC0415 - loads torch

        return policy_of(self.name).settings_for(constants)


class PolicyListing(Mapping[str, PolicyInfo]):
    """Policy name -> description, in the order of the menus. Includes policies that are registered later."""

    def __init__(self) -> None:
        """Read the descriptions of the built-in policies."""
        self._builtin = read()

    def _current(self) -> dict[str, PolicyInfo]:
        # Without importing: another thread may be loading the policies, and every update of a page comes here.
        registered = getattr(sys.modules.get("hermes.policies.registry"), "POLICIES", {})
        added = [(name, policy) for name, policy in list(registered.items()) if name not in self._builtin]
        return self._builtin | {name: PolicyInfo.of(policy) for name, policy in added} if added else self._builtin

    def __getitem__(self, name: str) -> PolicyInfo:
        return self._current()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    def require(self, name: str) -> PolicyInfo:
        """Return a description by name.

        Raises:
            HermesError: There is no such policy; the message lists the available ones.
        """
        if name not in self:
            raise HermesError(f"There is no policy “{name}”. Available: {', '.join(self)}.")
        return self[name]


def read(path: Path = FILE) -> dict[str, PolicyInfo]:
    """Read a listing: policy name -> description."""
    found = {}
    for entry in json.loads(path.read_text("utf-8")):
        settings = tuple(Setting(**(one | {"choices": tuple(one["choices"])})) for one in entry.pop("settings"))
        found[entry["name"]] = PolicyInfo(**entry, settings=settings)
    return found


def describe_builtin() -> list[dict[str, Any]]:
    """Describe the built-in policy classes, as JSON values."""
    from hermes.policies.builtin import BUILTIN  # noqa: PLC0415 - loads torch

    return [asdict(PolicyInfo.of(policy)) for policy in BUILTIN]


def main() -> None:
    """Write the listing of the built-in policies."""
    FILE.write_text(json.dumps(describe_builtin(), ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
