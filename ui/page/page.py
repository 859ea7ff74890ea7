"""The page: its Gradio blocks and launch options. Contains no logic."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from hermes.importing import IMPORTING
from hermes.video import VideoError
from hermes.video.decoder_process import fork_server
from ui import bundle
from ui.api.endpoints import Endpoints
from ui.component import part
from ui.lab.choices import offer
from ui.lessons.component import make_lessons
from ui.opening import Opening, make_opening
from ui.options import Options
from ui.page.checked_blocks import CheckedBlocks
from ui.page.comparison_state import ComparisonState
from ui.page.document import Document
from ui.page.explore import explore
from ui.page.handlers import Handlers
from ui.page.known_names import known_names
from ui.page.memory_controls import MemoryControls
from ui.page.props import PropsPage
from ui.page.settings_drawer import SettingsDrawer
from ui.page.theme import theme
from ui.page.traffic import PageTraffic
from ui.page.update_stream import Updates
from ui.page.wiring import wire_lab, wire_lessons, wire_page, wire_try_it
from ui.player.clips import Clip, read_clips
from ui.runs.runs import card, read_lab_runs, read_openings, read_runs
from ui.settings.model_choice import KEEP, ModelChoice
from ui.settings.model_loader import ModelLoader
from ui.visitors.autosave import Autosave
from ui.visitors.connections import Connections
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor
from ui.visitors.waiting_line import WaitingLine
from ui.zerogpu import clip_runner

if TYPE_CHECKING:
    from hermes.serving.engine import Engine
    from hermes.serving.interface import StreamEngine
    from hermes.trace import Run
    from ui.api.mcp_tools import McpTools

logger = logging.getLogger(__name__)

TITLE = "HERMES Live"
QUEUE_SECONDS = 0.01
"""Polling interval of Gradio's queue of events. Its own, 1 ms, uses several percent of a core while nothing happens."""
SESSIONS = 512
"""Sessions whose state Gradio keeps, about 70 kB each. The oldest are dropped."""
HEADER = """<header class="hl-head"><h1>HERMES Live</h1>
<p>A video model watches a stream and must forget most of it. Ask questions while it watches, and see what each layer
still remembers.</p>
<button type="button" class="hl-compare-open" aria-pressed="false">Compare</button>
<button type="button" class="hl-lessons-open">Lessons</button>
<button type="button" class="hl-theme" aria-label="Switch between light and dark" title="Light or dark">
<svg class="hl-icon" viewBox="0 0 24 24" aria-hidden="true"><path fill="currentColor"
d="M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm0 2v14a7 7 0 0 1 0-14z"/></svg></button></header>"""


@dataclass(frozen=True)
class Page:
    """A page that can be launched.

    Attributes:
        blocks: The Gradio blocks.
        handlers: The event handlers.
        opening: The moment that is served with the page, if any.
        preload: Starts loading the model in the background.
        tools: The tools of MCP, if they are served.
    """

    blocks: gr.Blocks
    handlers: Handlers
    opening: Opening | None
    preload: Callable[[], None]
    tools: McpTools | None = None

    def launch(self, quota: Quota, **where: Any) -> None:
        """Serve the page until interrupted; `where` is passed to `gr.Blocks.launch`."""
        given = launch_options(quota, self.handlers, self.opening, self.tools)
        self.blocks.launch(**where, prevent_thread_lock=True, **given)
        with contextlib.suppress(VideoError):  # the first video then reports it
            fork_server().start()
        self.preload()  # imports torch, which the page does not need to open
        self.blocks.block_thread()


def build(engine: StreamEngine, policies: Mapping[str, Any], options: Options) -> Page:
    """Build the page. `Page.launch` serves it, then loads the model in the background.

    Args:
        engine: Runs the streams.
        policies: Name -> policy, each with `title`, `kind_of`, `badge`, `about`, `needs`, `has_budget` and `has_guidance`.
        options: Launch options.
    """
    loader = ModelLoader(engine)
    clips = {clip.id: clip for clip in read_clips(options.clips)}
    runs = read_runs(options.runs) if options.runs else {}
    openings = read_openings(options.runs) if options.runs else {}
    lab_runs = read_lab_runs(options.runs) if options.runs else {}
    cards = [card(run, openings.get(run.id, 0.0)) for run in runs.values()]
    opening = _opening(runs, cards, clips, options, policies)
    line = None if options.clip_mode else WaitingLine(engine, webcam_seconds=60.0 * options.webcam_minutes)
    choice = ModelChoice.of_shipped() if options.automatic else KEEP
    given = (options.settings, loader, clips, policies, runs, Path(get_upload_folder()), lab_runs, line, choice)
    autosave = Autosave(options.autosave, options.autosave_mb) if options.autosave else None
    uploads = Path(get_upload_folder())
    sessions = Sessions(_maker(loader, given, options), options.quota, uploads, Connections(), autosave)
    handlers = Handlers(sessions, opening)
    with CheckedBlocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as page:
        Endpoints(sessions, policies, clips).add()  # before the page's private events, which would take their names
        gr.HTML(
            HEADER,
            apply_default_css=False,
            js_on_load="window.HermesLive.wireHead(element);",
            elem_id="hl-head",
        )
        with gr.Row(elem_id="hl-top", equal_height=True):
            with gr.Column():
                player = part(
                    "player",
                    ("hello", "act", "shot", "back"),
                    clips=[clip.card() for clip in clips.values()],
                    limit_mb=options.quota.upload_mb,
                    planned=options.clip_mode,
                    runs=cards,
                )
                memory_controls = MemoryControls(policies, options.settings)
            with gr.Column():
                others = len(options.models) > 1 or options.any_model
                chat = part(
                    "chat",
                    ("ask", "halt", "run"),
                    planned=options.clip_mode,
                    models=others and not options.clip_mode,
                    known=known_names(),
                )
            with gr.Column():
                part("memory", ())
        part("board", ())
        policy_panel = part("tryit", ("apply",), render=False)  # rendered in the drawer, and updated with the settings
        controls = SettingsDrawer(handlers, policies, options, policy_panel, memory_controls)
        wire_try_it(handlers, policy_panel, controls)
        detail = part("detail", ("detail",))
        explore(handlers)
        wire_page(page, handlers, player, chat, detail, controls)
        offered = offer(clips, policies, lab_runs, openings, live=not options.clip_mode)
        wire_lab(handlers, part("lab", ("labdo",), limit_mb=options.quota.upload_mb, **offered))
        wire_lessons(chat, controls, *make_lessons(sessions, clips, runs, policies))
    _tune(page._queue)  # noqa: SLF001 - Gradio has no options for it
    stop = threading.Event()
    sessions.keep_sweeping(stop)
    if line is not None:
        line.keep_serving(stop)
    if autosave is not None:
        autosave.keep_saving(sessions.visitors, stop)
    preload = partial(loader.preload, options.settings, agreed=options.agreed)
    return Page(page, handlers, opening, preload, _tools(sessions, policies, clips) if options.mcp else None)


def _tune(queue: Any) -> None:
    """Reduce what Gradio's queue of events uses."""
    queue.sleep_when_free = QUEUE_SECONDS
    queue.progress_update_sleep_when_free = 10 * QUEUE_SECONDS  # no event reports progress to it
    # After each event, Gradio summarises up to 10,000 earlier ones for its monitoring page, which is not served.
    queue.ANALYTICS_MAX_EVENTS = 1
    queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize


def _tools(sessions: Sessions, policies: Mapping[str, Any], clips: Mapping[str, Clip]) -> McpTools:
    """Return the tools of MCP. The package mcp is optional."""
    with IMPORTING:
        from ui.api.mcp_tools import McpTools  # noqa: PLC0415

    return McpTools(sessions, policies, clips)


def _opening(
    runs: Mapping[str, Run],
    cards: list[dict[str, Any]],
    clips: Mapping[str, Clip],
    options: Options,
    policies: Mapping[str, Any],
) -> Opening | None:
    """Return the opening moment of the first run, or None without runs."""
    if not cards:
        return None
    run, seconds = runs[cards[0]["id"]], cards[0]["open_at"]
    return make_opening(run, seconds, clips, options.settings, policies[options.settings.policy])


def _maker(loader: ModelLoader, given: tuple[Any, ...], options: Options) -> Callable[[], Visitor]:
    """Return a factory of visitors. In clip mode this loads the model, because ZeroGPU needs it before the launch."""
    if not options.clip_mode:
        return lambda: Visitor(*given)
    with IMPORTING:
        from ui.visitors.clip_visitor import ClipVisitor  # noqa: PLC0415 - imports torch

    loader.ensure(options.settings.model, agreed=options.agreed)
    engine = cast("Engine", loader.engine)  # clip mode runs in this process
    run = clip_runner(engine.model(options.settings.model))
    return lambda: ClipVisitor(*given, run=run)


def launch_options(
    quota: Quota, handlers: Handlers, opening: Opening | None = None, tools: McpTools | None = None
) -> dict[str, Any]:
    """Return the arguments of `launch`: our middleware, script and style, a footer with only the API link."""
    middleware = [
        Middleware(PageTraffic, sessions=handlers.sessions),
        Middleware(PropsPage),
        Middleware(Updates, poll=handlers.poll),
        Middleware(ComparisonState, poll=handlers.poll_lab),
        Middleware(Document, moment=opening.payload if opening else None),
    ]
    if tools is not None:
        with IMPORTING:
            from ui.page.mcp_route import McpRoute  # noqa: PLC0415 - the package mcp is optional

        middleware.insert(0, Middleware(McpRoute, tools=tools, sessions=handlers.sessions))
    return {
        "theme": theme(),
        "app_kwargs": {"middleware": middleware},
        "favicon_path": str(bundle.STATIC / "favicon.png"),
        "footer_links": ["api"],
        "run_history": False,
        "state_session_capacity": SESSIONS,
        "max_file_size": f"{quota.upload_mb}mb",
        "ssr_mode": False,
        "enable_monitoring": False,
        "show_error": False,
        "quiet": True,
    }
