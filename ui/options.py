"""What whoever starts the page decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hermes.assets import RUNS
from hermes.view import StreamSettings
from ui.visitors.registry import Quota


@dataclass(frozen=True)
class Options:
    """What whoever starts the page decides.

    Attributes:
        settings: What a visitor begins with.
        models: Names offered in the list of models.
        any_model: Whether a visitor may name another folder or hub id.
        clips: Folder of the bundled clips.
        runs: Folder of the bundled recorded runs; None: there are none.
        quota: Limits.
        clip_mode: Whether a clip and its questions run in one call, as on ZeroGPU.
        autosave: Folder in which streams are saved for a restart of the server; None: they are not.
        autosave_mb: Most megabytes that all saved streams may take.
        agreed: Whether the model of `settings` may be downloaded however large it is.
    """

    settings: StreamSettings
    models: tuple[str, ...]
    any_model: bool
    clips: Path
    quota: Quota
    clip_mode: bool = False
    runs: Path | None = RUNS
    autosave: Path | None = None
    autosave_mb: int = 2000
    agreed: bool = False
