"""The page: its blocks and how events reach the handlers. No logic."""

from __future__ import annotations

import html
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.utils import get_upload_folder

from hermes.backbones.downloads import ConsentError
from hermes.errors import HermesError
from ui import bundle, lab
from ui.clip_visitor import ClipVisitor
from ui.clips import read_clips
from ui.handlers import Handlers, wire
from ui.lesson_desk import Desk
from ui.lesson_part import make_lessons
from ui.model_menu import choices, consent_row
from ui.models import Shelf
from ui.runs import card, read_runs
from ui.sessions import Quota, Sessions
from ui.theme import theme
from ui.visitor import Visitor
from ui.zerogpu import clip_runner

if TYPE_CHECKING:
    from hermes.engine import Engine, StreamSettings

logger = logging.getLogger(__name__)

TITLE = "HERMES Live"
HEADER = """<header class="hl-head"><h1>HERMES Live</h1>
<p>A video model watches a stream and must forget most of it. Ask it anything while it watches, and see what each of
its layers still remembers.</p>
<button type="button" class="hl-lessons-open">Lessons</button>
<button type="button" class="hl-theme" aria-label="Switch between light and dark" title="Light or dark">
<svg class="hl-icon" viewBox="0 0 24 24" aria-hidden="true"><path fill="currentColor"
d="M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm0 2v14a7 7 0 0 1 0-14z"/></svg></button></header>"""
MOUNT = """const mount = () => window.HermesLive
  ? window.HermesLive.mount("{part}", {{ element, props, trigger, watch, upload }}) : setTimeout(mount, 20);
mount(); // events: {events}"""
HEAD_BUTTONS = """element.querySelector('.hl-theme').addEventListener('click', () => window.HermesLive.theme());
element.querySelector('.hl-lessons-open').addEventListener('click', () => window.HermesLive.openLessons());"""
GUIDANCE = [("Forward pass (paper)", "forward"), ("Embeddings (released code)", "embedding")]
RATES = [("0.5 a second", 0.5), ("1 a second", 1.0), ("2 a second", 2.0), ("4 a second", 4.0), ("8 a second", 8.0)]
LIVE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


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
    """

    settings: StreamSettings
    models: tuple[str, ...]
    any_model: bool
    clips: Path
    quota: Quota
    clip_mode: bool = False
    runs: Path | None = Path(__file__).parents[1] / "assets" / "runs"


def _part(name: str, events: tuple[str, ...], **more: Any) -> gr.HTML:
    """An HTML component that our own script fills; `events` are what it sends."""
    listed = ", ".join(f'"{event}"' for event in events)
    return gr.HTML(
        html_template=f'<div class="hl-{name}"></div>',
        js_on_load=MOUNT.format(part=name, events=listed),
        apply_default_css=False,
        elem_id=f"hl-{name}",
        **more,
    )


def build(engine: Engine, policies: Mapping[str, Any], options: Options) -> gr.Blocks:
    """Make the page. The model begins to load at once, in the background.

    Args:
        engine: Runs the streams.
        policies: Name -> policy, each with `title`, `kind_of`, `badge`, `about`, `needs`, `has_budget` and `has_guidance`.
        options: What whoever starts the page decides.
    """
    shelf = Shelf(engine)
    clips = {clip.id: clip for clip in read_clips(options.clips)}
    runs = read_runs(options.runs) if options.runs else {}
    given = (options.settings, shelf, clips, policies, runs, Path(get_upload_folder()))
    sessions = Sessions(_maker(shelf, given, options), options.quota, Path(get_upload_folder()))
    handlers = Handlers(sessions)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as page:
        gr.HTML(
            HEADER,
            apply_default_css=False,
            js_on_load=HEAD_BUTTONS,
        )
        with gr.Row(elem_id="hl-top", equal_height=True):
            with gr.Column(scale=7):
                player = _part(
                    "player",
                    ("poll", "act", "shot"),
                    clips=[clip.card() for clip in clips.values()],
                    limit_mb=options.quota.upload_mb,
                    planned=options.clip_mode,
                    runs=[card(run) for run in runs.values()],
                )
            with gr.Column(scale=5):
                chat = _part("chat", ("ask", "halt", "run"), planned=options.clip_mode)
        trial = _part("tryit", ("wish",), render=False)  # stands below the settings, and changes with them
        controls = settings_row(handlers, policies, options, trial)
        trial.render()
        wire_try_it(handlers, trial)
        board = _part("board", ())
        detail = _part("detail", ("detail",))
        _wire(page, handlers, player, chat, board, detail)
        if not options.clip_mode:
            wire_lab(handlers, _part("lab", ("lablook", "labdo"), **lab.offer(clips, policies)))
        _wire_lessons(chat, controls, *make_lessons(sessions, clips, runs, policies))
    sessions.keep_sweeping(threading.Event())
    shelf.preload(options.settings.model)
    return page


def _maker(shelf: Shelf, given: tuple[Any, ...], options: Options) -> Callable[[], Visitor]:
    """Makes a visitor. In clip mode the model is loaded here, since ZeroGPU wants it before the page is launched."""
    if not options.clip_mode:
        return lambda: Visitor(*given)
    shelf.ensure(options.settings.model)
    run = clip_runner(shelf.engine.model(options.settings.model))
    return lambda: ClipVisitor(*given, run=run)


def _wire(page: gr.Blocks, handlers: Handlers, player: gr.HTML, chat: gr.HTML, board: gr.HTML, detail: gr.HTML) -> None:
    """Events to handlers. Frames, polls and chat never share a place in the queue."""

    def poll(event: gr.EventData, request: gr.Request) -> tuple[Any, Any]:
        return handlers.poll(event._data, request.session_hash)  # noqa: SLF001

    def act(event: gr.EventData, request: gr.Request) -> None:
        handlers.act(event._data, request.session_hash)  # noqa: SLF001

    def look_closer(event: gr.EventData, request: gr.Request) -> Any:
        return handlers.detail(event._data, request.session_hash)  # noqa: SLF001

    def shot(event: gr.EventData, request: gr.Request) -> None:
        handlers.shot(event._data, request.session_hash)  # noqa: SLF001

    def ask(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        yield from handlers.ask(event._data, request.session_hash)  # noqa: SLF001

    def halt(request: gr.Request) -> None:
        handlers.halt(request.session_hash)

    def run(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        yield from handlers.run(event._data, request.session_hash)  # noqa: SLF001

    def leave(request: gr.Request) -> None:
        handlers.leave(request.session_hash)

    player.poll(poll, None, [player, board], concurrency_limit=None, concurrency_id="poll", **LIVE)
    player.act(act, None, None, concurrency_limit=None, concurrency_id="act", trigger_mode="multiple", **LIVE)
    detail.detail(
        look_closer, None, detail, concurrency_limit=None, concurrency_id="detail", trigger_mode="multiple", **LIVE
    )
    player.shot(shot, None, None, concurrency_limit=None, concurrency_id="shot", trigger_mode="multiple", **LIVE)
    chat.ask(ask, None, chat, concurrency_limit=None, concurrency_id="chat", **LIVE)
    chat.halt(halt, None, None, concurrency_limit=None, concurrency_id="halt", trigger_mode="multiple", **LIVE)
    chat.run(run, None, chat, concurrency_limit=None, concurrency_id="run", **LIVE)
    page.unload(leave)


def wire_try_it(handlers: Handlers, part: gr.HTML) -> None:
    """The panel of the policy's settings to its handler."""

    def wish(event: gr.EventData, request: gr.Request) -> Any:
        return handlers.try_it(event._data, request.session_hash)  # noqa: SLF001

    part.wish(wish, None, part, concurrency_limit=None, concurrency_id="tryit", trigger_mode="multiple", **LIVE)


def wire_lab(handlers: Handlers, part: gr.HTML) -> None:
    """The lab's events to handlers."""

    def look(event: gr.EventData, request: gr.Request) -> Any:
        return handlers.lab_look(event._data, request.session_hash)  # noqa: SLF001

    def do(event: gr.EventData, request: gr.Request) -> None:
        handlers.lab_do(event._data, request.session_hash)  # noqa: SLF001

    part.lablook(look, None, part, concurrency_limit=None, concurrency_id="lablook", **LIVE)
    part.labdo(do, None, None, concurrency_limit=None, concurrency_id="labdo", trigger_mode="multiple", **LIVE)


@dataclass(frozen=True)
class Controls:
    """The settings on the page: `parts`, and `show`, which gives what each shows for a visitor."""

    parts: tuple[Any, ...]
    show: Callable[[Visitor], dict[Any, Any]]


def _wire_lessons(chat: gr.HTML, controls: Controls, desk: Desk, offer: Mapping[str, Any]) -> None:
    """The lessons' panel. What a lesson changed is shown by the settings, and the chat is that of who is shown."""
    part = _part("lessons", ("lesson",), **offer)

    def lesson(event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        reply = desk.answer(event._data, request.session_hash)  # noqa: SLF001
        if reply["kind"] == "reveal":
            return {part: wire(reply)}
        visitor = desk.visitor(request.session_hash)
        return {part: wire(reply), chat: wire(visitor.conversation.message()), **controls.show(visitor)}

    outputs = [part, chat, *controls.parts]
    part.lesson(lesson, None, outputs, concurrency_limit=None, concurrency_id="lesson", trigger_mode="multiple", **LIVE)


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
                info="what is forgotten",
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
                label="Guidance",
                info="how it guesses what matters",
                interactive=chosen.has_guidance,
            )
            rate = gr.Dropdown(RATES, value=now.fps, label="Frames", info="how often it looks")
            model = gr.Dropdown(
                choices(options.models, hub=options.any_model),
                value=now.model,
                label="Model",
                info="name, folder or hub id" if options.any_model else "which one answers",
                allow_custom_value=options.any_model,
            )
        about = gr.HTML(_about(chosen), apply_default_css=False)
        said = gr.HTML(_said("Changes apply from the next chunk of frames on."), apply_default_css=False)
        question, wanted = consent_row(handlers, said, model, _said, LIVE)

    def on(component: Any, name: str, event: str, extra: Callable[[Any], dict[Any, Any]] | None = None) -> None:
        def change(value: Any, request: gr.Request) -> Iterator[dict[Any, Any]]:
            visitor = handlers.sessions.get(request.session_hash)
            before = getattr(visitor.settings, name)
            try:
                if name == "model" and value != before:
                    for text in handlers.loading(request.session_hash, value):
                        yield {said: _said(f"{text} The stream goes on meanwhile.")}
                sentence = handlers.settings(request.session_hash, **{name: value})
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
                more[trial] = handlers.try_it({}, request.session_hash)
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
    return f"Memory settings · {policy.title}{budget}, {settings.fps:g} frames a second"


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


def launch_options(quota: Quota) -> dict[str, Any]:
    """What `launch` needs so that the page is our own: no footer, no run history, nothing from elsewhere."""
    return {
        "theme": theme(),
        "head": bundle.head(),
        "favicon_path": str(bundle.STATIC / "favicon.png"),
        "footer_links": [],
        "run_history": False,
        "max_file_size": f"{quota.upload_mb}mb",
        "ssr_mode": False,
        "enable_monitoring": False,
        "show_error": False,
        "quiet": True,
    }
