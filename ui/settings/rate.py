"""The frame rate of a stream: lowered before it starts if the model is too slow on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hermes.serving.engine import Engine
    from hermes.view import StreamSettings

FRAME_RATES: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Frame rates that the page offers."""


def achievable_rate(engine: Engine, settings: StreamSettings) -> tuple[float, float] | None:
    """Return the measured frames per second and the largest offered rate up to it.

    Args:
        engine: Runs the model.
        settings: Settings of the stream to be started.

    Returns:
        The two rates; None if `settings.fps` is achievable, or if it cannot be measured.

    Raises:
        HermesError: The model is not loaded.
    """
    measured = engine.achievable_fps(settings)
    if measured is None or measured >= settings.fps:
        return None
    return measured, max((rate for rate in FRAME_RATES if rate <= measured), default=FRAME_RATES[0])
