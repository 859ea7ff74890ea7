"""The frame rate of a stream: lowered before it starts if the model is too slow on this machine."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from hermes.serving.engine import Engine
    from hermes.view import StreamSettings

FRAME_RATES: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Frame rates that the page offers."""
PROBE_FRAMES: Final = 4
CAMERA_SIZE: Final = (384, 512)
"""Height and width of the frames that stand for a camera, which delivers none before it starts."""


def first_frames(path: Path | None) -> Any:
    """Return the first frames of a video file, uint8 [T, H, W, 3]; grey frames for a camera (None).

    Raises:
        VideoError: The file cannot be decoded.
    """
    import numpy as np  # noqa: PLC0415 - heavy

    from hermes.video import sample  # noqa: PLC0415 - starts with a source only

    if path is None:
        return np.full((PROBE_FRAMES, *CAMERA_SIZE, 3), 128, np.uint8)
    with sample(path, 2.0) as frames:
        return np.stack([frame for frame, _ in itertools.islice(frames, PROBE_FRAMES)])


def achievable_rate(engine: Engine, settings: StreamSettings, path: Path | None) -> tuple[float, float] | None:
    """Return the measured frames per second and the largest offered rate up to it.

    Args:
        engine: Runs the model.
        settings: Settings of the stream to be started.
        path: Its video file; None for a camera.

    Returns:
        The two rates; None if `settings.fps` is achievable, or if it cannot be measured.

    Raises:
        HermesError: The model is not loaded, or the file cannot be read.
    """
    measured = engine.achievable_fps(settings, lambda: first_frames(path))
    if measured is None or measured >= settings.fps:
        return None
    return measured, max((rate for rate in FRAME_RATES if rate <= measured), default=FRAME_RATES[0])
