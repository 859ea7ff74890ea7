"""Paths of the files that ship with HERMES Live: models, cut-outs of objects, clips, recorded runs, photographs, lessons.

A checkout has all of them in the folder `assets`. An installed package contains those that the library uses in
`hermes/data`: the models, cut-outs, clips, runs and the photographs for evaluation (see `tool.hatch` in pyproject.toml).
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Final

from hermes.errors import HermesError

_PACKAGE: Final = Path(__file__).resolve().parent
_DATA: Final = _PACKAGE / "data"

ASSETS: Final = _DATA if _DATA.is_dir() else _PACKAGE.parent / "assets"
POCKET: Final = ASSETS / "pocket"
THINGS: Final = ASSETS / "things"
SHIPPED: Final = MappingProxyType({"pocket": POCKET, "things": THINGS})
"""Folders of the shipped models, by name."""
OBJECTS: Final = ASSETS / "objects"
CLIPS: Final = ASSETS / "clips"
RUNS: Final = ASSETS / "runs"
HELD_OUT_PHOTOGRAPHS: Final = ASSETS / "photographs" / "held-out"

# Only in a checkout.
TRAINING_PHOTOGRAPHS: Final = ASSETS / "photographs" / "train"
LESSONS: Final = ASSETS / "lessons"
GLOSSARY: Final = ASSETS / "glossary.json"
PUBLISHED_MODELS: Final = ASSETS / "published_models.json"


def bundled_clip(name: str) -> Path | None:
    """Return the video of a bundled clip; None if there is no clip with that name."""
    return {path.stem: path for path in CLIPS.glob("*.webm")}.get(name)


def checkout(task: str) -> Path:
    """Return the root folder of the checkout that this package runs from.

    Args:
        task: What needs the checkout, as the beginning of the error message: "`hermes space`".

    Raises:
        HermesError: The package is installed without the rest of the repository.
    """
    root = _PACKAGE.parent
    if _DATA.is_dir() or not all((root / name).exists() for name in ("app.py", "ui", "assets", "pyproject.toml")):
        raise HermesError(
            f"{task} needs a checkout of the repository, and this package is installed in {root} without one. "
            "Run `python -m hermes` in the folder of a checkout."
        )
    return root
