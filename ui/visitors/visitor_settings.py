"""The settings of one visitor: changes by the visitor, and adjustments to a source and this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hermes import video
from ui.player.clips import Clip
from ui.player.preview import UploadPreview
from ui.player.source import Source
from ui.settings import policy_settings
from ui.settings.adjustments import Adjustments
from ui.settings.model_choice import KEEP, ModelChoice
from ui.settings.model_loader import Loading, ModelLoader
from ui.visitors.live_slot import live_stream
from ui.visitors.page_view import PageView
from ui.visitors.state import VisitorState

if TYPE_CHECKING:
    from hermes.video import VideoSampler
    from hermes.view import StreamSettings


class VisitorSettings:
    """Changes the settings in a visitor's state.

    Attributes:
        adjustments: Settings that the page sets unless the visitor chose them.
        adjusted: How often the page must show settings that the visitor has not chosen.
    """

    def __init__(
        self,
        state: VisitorState,
        loader: ModelLoader,
        policies: Mapping[str, Any],
        preview: UploadPreview,
        view: PageView,
        clips: Mapping[str, Clip],
        choice: ModelChoice = KEEP,
    ) -> None:
        """Keep the settings of `state`.

        Args:
            state: The visitor's state.
            loader: Loads the models.
            policies: The policies by name.
            preview: The chosen upload, whose facts determine the proposed budget.
            view: Marks changes on the time axis.
            clips: The bundled clips by id.
            choice: Selects models by source.
        """
        self._state = state
        self._loader = loader
        self._policies = policies
        self._preview = preview
        self._view = view
        self._clips = clips
        self.adjustments = Adjustments(loader, choice)
        self.adjusted = 0

    @property
    def policy(self) -> Any:
        """The selected policy."""
        return self.policy_of(self._state.settings)

    def policy_of(self, settings: StreamSettings) -> Any:
        """Return the policy that settings select."""
        return self._policies[settings.policy]

    @property
    def policy_title(self) -> str:
        """Title of the selected policy with its changed settings."""
        return policy_settings.title_of(self.policy, self._state.settings.changed)

    @property
    def model(self) -> Loading | None:
        """Loading state of the selected model; None if it was never requested."""
        return self._loader.state(self._state.settings.model)

    def with_model(self, source: Source) -> StreamSettings:
        """Return the settings with the model that suits a source; see `Adjustments.suitable_model`."""
        clip = self._clips.get(source.id) if source.kind == "clip" else None
        return self.adjustments.suitable_model(
            self._state.settings, source.kind, clip.world if clip is not None else None
        )

    def model_for(self, source: Source) -> Loading | None:
        """Return the loading state of the model that plays a source or will play it; None if it was never requested."""
        if live_stream(self._state.stream) is not None and source == self._state.playing:
            return self.model
        return self._loader.state(self.with_model(source).model)

    def after(self, changes: Mapping[str, Any]) -> StreamSettings:
        """Return the settings after `changes`. Another policy starts with its own defaults."""
        now = self._state.settings
        if changes.get("policy", now.policy) != now.policy:
            changes = {"changed": (), **changes}
        return replace(now, **changes)

    def change(self, changes: Mapping[str, Any], *, agreed: bool = False) -> list[str]:
        """Change settings.

        Args:
            changes: New values by name of the setting.
            agreed: Whether the user agreed to a large download.

        Returns:
            Messages about when the changes take effect.

        Raises:
            HermesError: A setting is invalid; nothing was changed.
        """
        state = self._state
        while (settings := self.after(changes)) != state.settings:
            settings.check()
            stream, source, sampler = state.stream, state.playing, None
            if settings.model != state.settings.model:
                self._loader.ensure(settings.model, agreed=agreed)
                settings = self.after(changes)  # again: others may have changed while the model was loaded
                sampler = self._open_again(source, settings)
            try:
                with state.lock:
                    if (state.stream, state.playing, self.after(changes)) == (stream, source, settings):
                        messages = self._apply(settings, sampler)
                        self.adjustments.note_choices(changes)
                        sampler = None
                        return messages
            finally:
                if sampler is not None:
                    sampler.close()
        return []

    def _open_again(self, source: Source, settings: StreamSettings) -> VideoSampler | None:
        """Open the file of the live stream for another model. None if it plays no file. The lock is not held.

        Raises:
            VideoError: It cannot be played.
        """
        if source.path is None or live_stream(self._state.stream) is None:
            return None
        with self._state.openings:
            return video.sample(source.path, settings.fps, max_side=settings.max_side)

    def _apply(self, settings: StreamSettings, sampler: VideoSampler | None) -> list[str]:
        """Apply settings that differ from the present ones, and return messages; the lock is held.

        Args:
            settings: The settings.
            sampler: A sampler that has opened the file of the live stream for another model. The stream closes it.

        Raises:
            HermesError: A setting is invalid; nothing was changed.
        """
        state, messages = self._state, []
        settings.check()
        stream = state.stream
        if stream is not None and not getattr(stream, "freed", False):
            messages = stream.change(settings, sampler)
            if settings.model != state.settings.model:
                self._view.begin("" if state.replay else "New model, empty memory")
            elif state.replay is None:
                self._mark(settings)
        elif math.isclose(settings.speed, state.settings.speed):
            messages = ["Applies when you press Start."]
        state.settings = settings
        return messages

    def _mark(self, settings: StreamSettings) -> None:
        """Mark a change of the memory's settings on the time axis of the board."""
        words = policy_settings.words_of_change(self._state.settings, settings, self._policies)
        if words:
            self._view.mark(words)

    def adjust_to(self, source: Source, measured: float | None) -> str:
        """Adjust the settings to a source that starts, and return a message about it, or "". The state's lock is held.

        Args:
            source: The source.
            measured: The frame rate that the model achieves; see `Adjustments.measured_rate`.
        """
        settings, message = self.adjustments.achievable_rate(self.with_model(source), measured)
        # The settings of a stream keep its model until another one has started.
        self.adjust(replace(self.suitable(source, settings), model=self._state.settings.model))
        return message

    def adjust(self, settings: StreamSettings) -> None:
        """Change settings that the visitor has not chosen, and make the page show them."""
        self.adjusted += settings != self._state.settings
        self._state.settings = settings

    def suitable(self, source: Source, settings: StreamSettings) -> StreamSettings:
        """Return the settings with a budget that suits the source; see `Adjustments.suitable_budget`."""
        clip = self._clips.get(source.id) if source.kind == "clip" else None
        info = self._preview.info if source.kind == "upload" else None
        if clip is not None and not clip.world:
            info = clip.info
        return self.adjustments.suitable_budget(settings, source.id, info if self.policy.has_budget else None)

    def try_it(self, request: Mapping[str, Any], change: Callable[..., list[str]]) -> dict[str, Any]:
        """Apply a request of the policy settings panel by `change`, and return the panel's message."""
        state, info = self._state, self.model.info if self.model else None

        def apply(changed: policy_settings.Changed, guidance: str | None) -> list[str]:
            return change(changed=changed, guidance=guidance or state.settings.guidance)

        with state.lock:  # a request changes one setting and keeps the others
            return policy_settings.apply(self.policy, info, lambda: state.settings, request, apply)

    def facts(self) -> dict[str, str]:
        """Return `name`, `title` and `badge` of the policy with its changed settings."""
        changed = self._state.settings.changed
        return {
            "name": self._state.settings.policy,
            "title": policy_settings.title_of(self.policy, changed),
            "badge": policy_settings.badge_of(self.policy, changed),
        }
