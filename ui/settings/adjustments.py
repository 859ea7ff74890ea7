"""Settings that the page adjusts to a source and this machine before a stream starts, unless the visitor chose them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ui.settings.budget import BudgetProposal, proposed_budget
from ui.settings.model_choice import KEEP, ModelChoice
from ui.settings.rate import lower_rate

if TYPE_CHECKING:
    from hermes.video import VideoInfo
    from hermes.view import StreamSettings
    from ui.settings.model_loader import ModelLoader


class Adjustments:
    """The adjustments of one visitor. Callers must hold a lock, except where a method says that it is thread-safe."""

    def __init__(self, loader: ModelLoader, choice: ModelChoice = KEEP) -> None:
        """Adjust nothing yet. `choice` selects models by source."""
        self._loader = loader
        self._choice = choice
        self._chosen: set[str] = set()  # settings that the visitor chose
        self._usual_fps: float | None = None  # the frame rate before it was lowered
        self._proposal: BudgetProposal | None = None

    def note_choices(self, names: Iterable[str]) -> None:
        """Record that the visitor chose settings, which are kept from now on."""
        self._chosen.update(names)
        if "fps" in self._chosen:
            self._usual_fps = None
        if "budget" in self._chosen:
            self._proposal = None

    def suitable_model(self, settings: StreamSettings, kind: str, world: str | None) -> StreamSettings:
        """Return the settings with the model that suits a source, unless one was chosen; see `ModelChoice.model_for`."""
        if "model" in self._chosen:
            return settings
        return replace(settings, model=self._choice.model_for(kind, world, settings.model))

    def begin_loading(self, settings: StreamSettings) -> None:
        """Load the model of `settings` in the background if it can be selected automatically."""
        if settings.model in self._choice.models:
            self._loader.begin(settings.model)

    def measured_rate(self, settings: StreamSettings) -> float | None:
        """Return the frames per second that the model achieves here; None if the speed does not matter or is unknown.

        The first measurement of a model takes a while. Thread-safe.

        Raises:
            HermesError: The model is not loaded.
        """
        return None if math.isinf(settings.speed) else self._loader.engine.achievable_fps(settings)

    def achievable_rate(self, settings: StreamSettings, measured: float | None) -> tuple[StreamSettings, str]:
        """Return the settings with a frame rate that the model achieves here, and a message if it is not the usual one.

        If the visitor chose the rate, the message says that the stream will fall behind.

        Args:
            settings: The present settings.
            measured: See `measured_rate`.
        """
        if self._usual_fps is not None:
            settings = replace(settings, fps=self._usual_fps)
        self._usual_fps = None
        rate = lower_rate(measured, settings.fps)
        if measured is None or rate is None:
            return settings, ""
        about = f"This machine processes about {measured:.2g} frames per second with this model"
        if "fps" in self._chosen:
            return settings, f"{about}, so a stream of {settings.fps:g} frames per second falls behind."
        self._usual_fps = settings.fps
        more = "You can change the frame rate under Settings."
        return replace(settings, fps=rate), f"{about}, so {rate:g} frames per second are sampled. {more}"

    def suitable_budget(self, settings: StreamSettings, path: str, info: VideoInfo | None) -> StreamSettings:
        """Return the settings with a budget that suits a real video, or else with the budget before the last proposal.

        Args:
            settings: The present settings.
            path: The upload that is chosen or started, or the id of another source.
            info: Metadata of an upload or of a clip of a real video; None for other sources, or if the policy has no budget.
        """
        before = self._proposal
        fps = min(settings.fps, (info.fps if info is not None else None) or math.inf)
        if before is not None and before.path == path and (info is None or before.fps == fps):
            return settings
        self._proposal = None
        if before is not None and settings.budget == before.budget:
            settings = replace(settings, budget=before.before)
        state = self._loader.state(settings.model)
        if info is None or "budget" in self._chosen or state is None or state.info is None:
            return settings
        layout = self._loader.engine.layout(settings.model, info.height, info.width)
        tokens = layout.grid[0] * layout.grid[1] // layout.frames_per_step
        self._proposal = proposed_budget(path, tokens, fps, info.duration, settings.budget)
        return settings if self._proposal is None else replace(settings, budget=self._proposal.budget)

    def proposal(self) -> dict[str, Any] | None:
        """Return the proposed budget for the page; None if there is none."""
        return self._proposal.message() if self._proposal is not None else None
