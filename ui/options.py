"""Launch options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hermes.assets import RUNS
from hermes.view import StreamSettings
from ui.visitors.registry import Quota
from ui.visitors.webcam_limit import WEBCAM_MINUTES


@dataclass(frozen=True)
class Options:
    """Launch options of the page.

    Attributes:
        settings: Initial settings of a visitor.
        models: Names in the list of models.
        any_model: Whether visitors can enter another folder or hub id.
        clips: Folder of the bundled clips.
        runs: Folder of the bundled recorded runs, or None.
        quota: Limits per server, client and visitor.
        clip_mode: Whether a clip and its questions run in one call, as on ZeroGPU.
        autosave: Folder in which streams are saved, so that they survive a restart of the server; None to disable.
        autosave_mb: Maximum total size of the saved streams, in megabytes.
        agreed: Whether the model of `settings` may be downloaded regardless of its size.
        webcam_minutes: Time for which a webcam keeps its live slot while others wait, in minutes; 0: no limit.
        mcp: Whether the tools of MCP are served.
        max_pixels: Largest number of pixels of a frame in a model; None for the model's own size.
        automatic: Whether a shipped model is selected by source, until the visitor chooses one.
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
    mcp: bool = False
    max_pixels: int | None = None
    webcam_minutes: int = WEBCAM_MINUTES
    automatic: bool = False
