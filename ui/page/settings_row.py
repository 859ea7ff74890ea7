"""The row of settings: policy, budget, guidance, frame rate, model."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from hermes.backbones.downloads import ConsentError
from hermes.errors import HermesError
from hermes.view import StreamSettings
from ui.component import LIVE
from ui.options import Options
from ui.page.handlers import Handlers
from ui.page.model_menu import choices, consent_row
from ui.visitors.connections import key_of
from ui.visitors.visitor import Visitor

GUIDANCE = [("Forward pass (paper)", "forward"), ("Embeddings (released code)", "embedding")]
RATES = [("0.5 fps", 0.5), ("1 fps", 1.0), ("2 fps", 2.0), ("4 fps", 4.0), ("8 fps", 8.0)]


@dataclass(frozen=True)
class Controls:
    """The settings on the page: `parts`, and `show`, which gives what each shows for a visitor."""

    parts: tuple[Any, ...]
    show: Callable[[Visitor], dict[Any, Any]]


def settings_row(handlers: Handlers, policies: Mapping[str, Any], options: Options, trial: gr.HTML) -> Controls:
    """Policy, budget, guidance, frame rate and model; each change says what it means for the stream that runs.

    `trial` is the panel of the policy's own settings, which are others for another policy or model.
    """
    now = options.settings
    chosen = policies[now.policy]
    with gr.Accordion(_summary(now, policies), open=False, elem_id="hl-settings") as box:
        with gr.Row(elem_id="hl-controls"):
            policy = gr.Dropdown(
                [(f"{p.title} · {p.kind_of()}" if p.kind_of() else p.title, name) for name, p in policies.items()],
                value=now.policy,
                label="Policy",
                info="which tokens are kept",
            )
            budget = gr.Slider(
                0,
                max(4096, 2 * now.budget),
                value=now.budget,
                step=16,
                label="Budget",
                info="tokens per layer",
                interactive=chosen.has_budget,
            )
            guidance = gr.Dropdown(
                GUIDANCE,
                value=now.guidance,
                label="Importance probe",
                info="how importance is measured",
                interactive=chosen.has_guidance,
            )
            rate = gr.Dropdown(RATES, value=now.fps, label="Frame rate", info="frames sampled per second")
            model = gr.Dropdown(
                choices(options.models, hub=options.any_model, measured=False),
                value=now.model,
                label="Model",
                info="name, folder or hub id" if options.any_model else "the model that answers",
                allow_custom_value=options.any_model,
            )
        about = gr.HTML(_about(chosen), apply_default_css=False)
        said = gr.HTML(_said("Changes apply from the next chunk of frames."), apply_default_css=False)
        question, wanted = consent_row(handlers, said, model, _said, LIVE)

    def on(component: Any, name: str, event: str, extra: Callable[[Any], dict[Any, Any]] | None = None) -> None:
        def change(value: Any, request: gr.Request) -> Iterator[dict[Any, Any]]:
            visitor = handlers.sessions.get(key_of(request))
            before = getattr(visitor.settings, name)
            try:
                if name == "model" and value != before:
                    for text in handlers.loading(key_of(request), value):
                        yield {said: _said(f"{text} The stream continues meanwhile.")}
                sentence = handlers.settings(key_of(request), **{name: value})
            except ConsentError as error:
                asked = {said: _said(f"{error.download}. Download it now?"), wanted: value}
                yield {**asked, question: gr.update(visible=True), component: gr.update(value=before)}
                return
            except HermesError as error:
                yield {said: _said(str(error), bad=True), component: gr.update(value=before)}
                return
            told = {said: _said(sentence)} if sentence else {}  # a list tells twice of one choice
            more = extra(value) if extra else {}
            if name in ("policy", "model"):
                more[trial] = handlers.try_it({}, key_of(request))
            yield {**told, box: gr.update(label=_summary(visitor.settings, policies)), **more}

        getattr(component, event)(
            change,
            component,
            [said, box, about, component, budget, guidance, trial, question, wanted],
            concurrency_limit=None,
            concurrency_id="settings",
            **LIVE,
        )

    def usable(name: Any) -> dict[Any, Any]:
        kind = policies[name]
        return {
            about: _about(kind),
            budget: gr.update(interactive=kind.has_budget),
            guidance: gr.update(interactive=kind.has_guidance),
        }

    on(policy, "policy", "input", usable)
    on(budget, "budget", "release")
    on(guidance, "guidance", "input")
    on(rate, "fps", "input")
    on(model, "model", "input")
    if options.any_model:
        # Memory needs are filled in when the list is opened: finding the device loads torch.
        model.focus(
            lambda: gr.update(choices=choices(options.models, hub=True)),
            None,
            model,
            concurrency_limit=None,
            concurrency_id="models",
            **LIVE,
        )

    def show(visitor: Visitor) -> dict[Any, Any]:
        now = visitor.settings
        values = {
            guidance: gr.update(value=now.guidance, interactive=policies[now.policy].has_guidance),
            budget: gr.update(value=now.budget, interactive=policies[now.policy].has_budget),
            policy: gr.update(value=now.policy),
            rate: gr.update(value=now.fps),
            model: gr.update(value=now.model),
        }
        return {**values, box: gr.update(label=_summary(now, policies)), about: _about(policies[now.policy])}

    return Controls((box, policy, budget, guidance, rate, model, about), show)


def _summary(settings: StreamSettings, policies: Mapping[str, Any]) -> str:
    """The settings in one line, for the closed box."""
    policy = policies[settings.policy]
    budget = f", {settings.budget:,} tokens per layer" if policy.has_budget else ", no budget"
    return f"Memory settings · {policy.title}{budget}, {settings.fps:g} frames per second"


def _about(policy: Any) -> str:
    """What a policy keeps, how close it is to its publication, what it needs, and where it was published."""
    needs = f" Needs {policy.needs}." if policy.needs else ""
    return (
        f'<p class="hl-said"><strong>{html.escape(policy.title)}</strong> ({html.escape(policy.badge)}). '
        f"{html.escape(policy.about + needs)} ({html.escape(policy.citation)})</p>"
    )


def _said(sentence: str, *, bad: bool = False) -> str:
    """A sentence below the settings, spoken by screen readers."""
    kind = ' style="color: var(--hl-danger)"' if bad else ""
    return f'<p class="hl-said" role="status"{kind}>{html.escape(sentence)}</p>'
