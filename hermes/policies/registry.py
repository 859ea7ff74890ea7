"""Registry of the built-in and user-defined policies by name."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from hermes.errors import HermesError
from hermes.policies.base import Policy
from hermes.policies.settings import setting_of

SHARED_SETTINGS: Final = ("budget", "guidance", "reindexing")
"""Settings that a stream passes to every policy; policies without them ignore them."""
NAME: Final = re.compile(r"[a-z0-9][a-z0-9+-]{0,39}")

_policies: Final[dict[str, type[Policy]]] = {}
_plugins: Final[dict[str, None]] = {}
POLICIES: Final = MappingProxyType(_policies)
"""All policies by name. The mapping is read-only and shows policies that are registered later."""

PolicyType = TypeVar("PolicyType", bound=type[Policy])


class PolicyError(HermesError):
    """A policy cannot be registered, or a plugin cannot be loaded."""


def register_policy(policy: PolicyType) -> PolicyType:
    """Make a policy available by name in the page, on the command line, in the lab and in the library.

    It works as a class decorator. Registering the same class again, as a notebook does when a cell is run twice, replaces
    the earlier definition.

    Args:
        policy: A subclass of `Policy` that implements `after_encode`. Decorate it with `dataclass` if it has settings.

    Returns:
        The class itself.

    Raises:
        PolicyError: The class is not a valid policy, or its name is taken; the message states the reason.
    """
    if not (isinstance(policy, type) and issubclass(policy, Policy)):
        raise PolicyError(f"Only subclasses of hermes.Policy can be registered, not {policy!r}.")
    label = policy.__name__
    missing = sorted(getattr(policy, "__abstractmethods__", ()))
    if missing:
        raise PolicyError(f"{label} does not implement {', '.join(missing)}.")
    if not NAME.fullmatch(policy.name):
        raise PolicyError(
            f"“{policy.name}” is not a valid policy name: use at most 40 lower-case letters, digits and hyphens."
        )
    known = {item.name for item in fields(policy)}
    undeclared = [name for name in _own_fields(policy) if name not in known]
    if undeclared:
        raise PolicyError(
            f"{label} declares {', '.join(undeclared)} but is not a dataclass: decorate it with @dataclass."
        )
    unknown = [setting.name for setting in policy.settings if setting.name not in known]
    if unknown:
        raise PolicyError(f"{label} lists the setting {unknown[0]} but has no such field.")
    current = _policies.get(policy.name)
    if current is not None and (current.__module__, current.__qualname__) != (policy.__module__, policy.__qualname__):
        raise PolicyError(f"There is already a policy “{policy.name}”. Choose another name for {label}.")
    _policies[policy.name] = policy
    return policy


def _own_fields(policy: type[Policy]) -> list[str]:
    """Names annotated by the class itself, without class variables."""
    return [name for name, kind in policy.__annotations__.items() if "ClassVar" not in str(kind)]


def unregister_policy(name: str) -> None:
    """Remove a registered policy. Running sessions are not affected.

    Raises:
        HermesError: There is no policy of that name.
    """
    del _policies[policy_of(name).name]


def load_plugin(plugin: str) -> None:
    """Import a module that registers policies.

    Args:
        plugin: Path of a Python file, or name of an importable module. It runs with all privileges of this process.

    Raises:
        PolicyError: It cannot be imported, or it registers no policy.
    """
    path = Path(plugin)
    name = path.stem if path.suffix == ".py" else plugin
    try:
        if path.suffix == ".py":
            _import_file(name, path)
        else:
            importlib.import_module(name)
    except PolicyError:
        raise
    except Exception as error:
        raise PolicyError(f"The plugin {plugin} cannot be loaded: {type(error).__name__}: {error}") from error
    if not any(policy.__module__ == name for policy in _policies.values()):
        raise PolicyError(f"The plugin {plugin} registers no policy: decorate its class with @hermes.register_policy.")
    _plugins[str(path.resolve()) if path.suffix == ".py" else plugin] = None


def _import_file(name: str, path: Path) -> None:
    if not path.is_file():
        raise PolicyError(f"There is no plugin file {path}.")
    loaded = sys.modules.get(name)
    if loaded is not None:
        if Path(getattr(loaded, "__file__", None) or "").resolve() == path.resolve():
            return
        raise PolicyError(f"The plugin {path} has the name of another module, {name}: rename the file.")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PolicyError(f"The plugin {path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def loaded_plugins() -> tuple[str, ...]:
    """Return all loaded plugins, so that worker processes can load them too."""
    return tuple(_plugins)


def make_policy(policy: str | type[Policy], **settings: object) -> Policy:
    """Create a policy with some of its settings changed; None means the default.

    Budget, guidance and re-indexing are ignored if the policy does not have them, since a stream passes them to all.

    Args:
        policy: Name of a registered policy, or a policy class (registered or not).
        **settings: Fields of the policy by name.

    Raises:
        HermesError: There is no policy of that name.
        SettingError: The policy has no such setting, or the setting does not accept the value.
    """
    kind = policy_of(policy) if isinstance(policy, str) else policy
    known, values = kind.__dataclass_fields__, {}
    changeable = {setting.name: setting for setting in kind.settings}
    for key, value in settings.items():
        if value is None or (key in SHARED_SETTINGS and key not in known) or (key == "budget" and not kind.has_budget):
            continue
        if key not in known:
            setting_of(kind.settings, key, kind.name)  # raises and lists the settings that exist
        values[key] = changeable[key].checked(value) if key in changeable else value
    return kind(**values)  # type: ignore[arg-type]


def policy_of(name: str) -> type[Policy]:
    """Return a registered policy by name.

    Raises:
        HermesError: There is no such policy; the message lists the available ones.
    """
    if name not in _policies:
        raise HermesError(f"There is no policy “{name}”. Available: {', '.join(_policies)}.")
    return _policies[name]
