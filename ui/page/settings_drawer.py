"""The settings of the stream: a drawer with importance probe, frame rate, frame size, model and the settings of the policy.

Policy and budget are next to the player, see `memory_controls`.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import gradio as gr

from hermes.backbones.downloads import ConsentError
from hermes.errors import HermesError
from hermes.view import StreamSettings
from ui.component import LIVE
from ui.options import Options
from ui.page.handlers import Handlers
from ui.page.memory_controls import MemoryControls
from ui.page.model_menu import choices, consent_row
from ui.settings.rate import FRAME_RATES
from ui.untrusted import event_data
from ui.visitors.connections import key_of
from ui.visitors.visitor import Visitor

GUIDANCE = [("Forward pass (as described)", "forward"), ("Embeddings (as in all published numbers)", "embedding")]
SIDES = [("256 px", 256), ("384 px", 384), ("512 px", 512), ("768 px", 768), ("1,280 px", 1280), ("1,920 px", 1920)]
RATES = [(f"{rate:g} fps", rate) for rate in FRAME_RATES]

Updates = dict[Any, Any]
"""New values of components, as Gradio event handlers return them."""


DRAWER_HEAD: Final = '<div class="hl-drawer-head"></div>'


class SettingsDrawer:
    """The settings components and their events. Each change shows when it takes effect.

    Attributes:
        parts: The components that `show` updates.
    """

    def __init__(
        self,
        handlers: Handlers,
        policies: Mapping[str, Any],
        options: Options,
        policy_panel: gr.HTML,
        memory_controls: MemoryControls,
    ) -> None:
        """Build the components inside the current Gradio block.

        Args:
            handlers: The event handlers of the page.
            policies: The policies by name.
            options: Launch options.
            policy_panel: The panel of policy-specific settings, not rendered yet. It depends on the policy and the model.
            memory_controls: Policy and budget, next to the stream.
        """
        self._handlers = handlers
        self._policies = policies
        self._options = options
        self._policy_panel = policy_panel
        self._memory = memory_controls
        now = options.settings
        with gr.Column(elem_id="hl-settings"):
            gr.HTML(DRAWER_HEAD, apply_default_css=False, js_on_load="window.HermesLive.wireSettings(element);")
            with gr.Row(elem_id="hl-controls"):
                self._add_inputs(now)
            self._about = gr.HTML(_policy_description(policies[now.policy]), apply_default_css=False)
            self._status = gr.HTML(status_line("Changes apply from the next chunk of frames."), apply_default_css=False)
            self._consent, self._requested_model = consent_row(handlers, self._status, self._model, status_line, LIVE)
            policy_panel.render()
        self.parts: tuple[Any, ...] = (
            self._memory.part, self._guidance, self._rate, self._side, self._model, self._about,
        )  # fmt: skip
        self._add_events()

    def _add_inputs(self, now: StreamSettings) -> None:
        policies, options = self._policies, self._options
        policy = policies[now.policy]
        self._guidance = gr.Dropdown(
            GUIDANCE,
            value=now.guidance,
            label="Importance probe",
            info=_probe_info(policy),
            interactive=policy.has_guidance,
        )
        self._rate = gr.Dropdown(RATES, value=now.fps, label="Frame rate", info="frames sampled per second")
        side = now.max_side
        self._side = gr.Dropdown(
            SIDES if side in dict(SIDES).values() else [*SIDES, (f"{side:,} px", side)],
            value=side,
            label="Frame size",
            info="longer side of a video at most",
        )
        self._model = gr.Dropdown(
            choices(options.models, hub=options.any_model, measured=False),
            value=now.model,
            label="Model",
            info="name, folder or hub id" if options.any_model else "the model that answers",
            allow_custom_value=options.any_model,
        )

    def _add_events(self) -> None:
        self._memory.part.setting(
            self._change_memory,
            None,
            [self._memory.part, self._about, self._guidance, self._policy_panel],
            concurrency_limit=None,
            concurrency_id="settings",
            trigger_mode="multiple",
            **LIVE,
        )
        self._on_change(self._guidance.input, self._guidance, "guidance")
        self._on_change(self._rate.input, self._rate, "fps")
        self._on_change(self._side.input, self._side, "max_side")
        self._on_change(self._model.input, self._model, "model")
        if self._options.any_model:
            # Memory requirements are added when the list is opened, because detecting the device imports torch.
            self._model.focus(
                lambda: gr.update(choices=choices(self._options.models, hub=True)),
                None,
                self._model,
                concurrency_limit=None,
                concurrency_id="models",
                **LIVE,
            )

    def _on_change(self, event: Callable[..., Any], component: Any, name: str) -> None:
        """Apply the value of a component to the setting `name` at an event."""

        def change(value: Any, request: gr.Request) -> Iterator[Updates]:
            yield from self._change(component, name, value, key_of(request))

        outputs = [
            self._status, component, self._memory.part, self._policy_panel, self._consent,
            self._requested_model,
        ]  # fmt: skip
        # A choice made while another one is applied, such as a model that is loaded, is applied after it.
        event(
            change,
            component,
            outputs,
            concurrency_limit=None,
            concurrency_id="settings",
            trigger_mode="always_last",
            **LIVE,
        )

    def _change(self, component: Any, name: str, value: Any, key: str | None) -> Iterator[Updates]:
        """Change a setting; on failure restore the component and show the reason."""
        visitor = self._handlers.sessions.get(key)
        before = getattr(visitor.settings, name)
        if not _has_kind_of(value, before):  # Gradio accepts no choice, and any value where custom ones are allowed
            yield {
                self._status: status_line("Choose a value from the list.", is_error=True),
                component: gr.update(value=before),
            }
            return
        try:
            if name == "model" and value != before:
                for progress in self._handlers.loading(key, value):
                    yield {self._status: status_line(f"{progress} The stream continues meanwhile.")}
            message = self._handlers.settings(key, **{name: value})
        except ConsentError as error:
            yield {
                self._status: status_line(f"{error.download}. Download it now?"),
                self._requested_model: value,
                self._consent: gr.update(visible=True),
                component: gr.update(value=before),
            }
            return
        except HermesError as error:
            yield {self._status: status_line(str(error), is_error=True), component: gr.update(value=before)}
            return
        updates: Updates = {}
        if message:  # a dropdown reports the same choice twice; the second time nothing changes
            updates[self._status] = status_line(message)
        if name == "model":
            updates[self._policy_panel] = self._handlers.try_it({}, key)
            updates[self._memory.part] = self._memory.message(visitor.settings)
        yield updates

    def _change_memory(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Change policy or budget; on failure show the reason and the settings that still apply."""
        key = key_of(request)
        try:
            visitor = self._handlers.sessions.get(key)
        except HermesError:
            return {}  # no free place; the player reports it
        try:
            name, value = self._memory.read(event_data(event))
            message = self._handlers.settings(key, **{name: value})
        except HermesError as error:
            return {self._memory.part: self._memory.message(visitor.settings, str(error), is_error=True)}
        updates: Updates = {self._memory.part: self._memory.message(visitor.settings, message)}
        if name == "policy":
            policy = self._policies[value]
            updates[self._about] = _policy_description(policy)
            updates[self._guidance] = gr.update(interactive=policy.has_guidance, info=_probe_info(policy))
            updates[self._policy_panel] = self._handlers.try_it({}, key)
        return updates

    def show(self, visitor: Visitor) -> Updates:
        """Return the updates that show the settings of a visitor."""
        now = visitor.settings
        policy = self._policies[now.policy]
        return {
            self._memory.part: self._memory.message(now),
            self._guidance: gr.update(value=now.guidance, interactive=policy.has_guidance, info=_probe_info(policy)),
            self._rate: gr.update(value=now.fps),
            self._side: gr.update(value=now.max_side),
            self._model: gr.update(value=now.model),
            self._about: _policy_description(policy),
        }


def _has_kind_of(value: Any, other: Any) -> bool:
    """Return whether a value that a browser sent is a text or a number, as the other one is."""
    if isinstance(other, str):
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _probe_info(policy: Any) -> str:
    """Return the line below the label of the importance probe."""
    return "how importance is measured" if policy.has_guidance else "not used by this policy"


def _policy_description(policy: Any) -> str:
    """Return HTML: what a policy keeps, how close it is to its publication, its requirements, and the citation."""
    needs = f" Needs {policy.needs}." if policy.needs else ""
    citation = f" Source: {html.escape(policy.citation)}." if policy.citation else ""
    return (
        f'<p class="hl-message"><strong>{html.escape(policy.title)}</strong> ({html.escape(policy.badge)}). '
        f"{html.escape(policy.about + needs)}{citation}</p>"
    )


def status_line(message: str, *, is_error: bool = False) -> str:
    """Return the HTML of a message below the settings, announced by screen readers."""
    style = ' style="color: var(--hl-danger)"' if is_error else ""
    return f'<p class="hl-message" role="status"{style}>{html.escape(message)}</p>'
