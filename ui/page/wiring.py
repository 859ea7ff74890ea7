"""How events of the page reach the handlers. Camera frames, buttons and chat never share a place in Gradio's queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from ui.component import LIVE, part
from ui.lessons.controller import LessonController
from ui.page.handlers import Handlers, wire
from ui.page.settings_row import Controls
from ui.visitors.connections import key_of


def wire_page(
    page: gr.Blocks, handlers: Handlers, player: gr.HTML, chat: gr.HTML, detail: gr.HTML, controls: Controls
) -> None:
    """Connect the events of stream, chat and board. `ui.page.update_stream` needs only the key of the session."""

    def hello(request: gr.Request) -> Any:
        return wire({"session": request.session_hash})

    def act(event: gr.EventData, request: gr.Request) -> None:
        handlers.act(event._data, key_of(request))  # noqa: SLF001

    def look_closer(event: gr.EventData, request: gr.Request) -> Any:
        return handlers.detail(event._data, key_of(request))  # noqa: SLF001

    def shot(event: gr.EventData, request: gr.Request) -> None:
        handlers.shot(event._data, key_of(request))  # noqa: SLF001

    def ask(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        yield from handlers.ask(event._data, key_of(request))  # noqa: SLF001

    def halt(request: gr.Request) -> None:
        handlers.halt(key_of(request))

    def run(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        yield from handlers.run(event._data, key_of(request))  # noqa: SLF001

    def leave(request: gr.Request) -> None:
        handlers.leave(key_of(request))

    def back(request: gr.Request) -> dict[Any, Any]:
        visitor = handlers.back(key_of(request))
        return {chat: wire(visitor.conversation.message()), **controls.show(visitor)}

    player.hello(hello, None, player, concurrency_limit=None, concurrency_id="hello", **LIVE)
    player.act(act, None, None, concurrency_limit=None, concurrency_id="act", trigger_mode="multiple", **LIVE)
    detail.detail(
        look_closer, None, detail, concurrency_limit=None, concurrency_id="detail", trigger_mode="multiple", **LIVE
    )
    player.shot(shot, None, None, concurrency_limit=None, concurrency_id="shot", trigger_mode="multiple", **LIVE)
    chat.ask(ask, None, chat, concurrency_limit=None, concurrency_id="chat", **LIVE)
    chat.halt(halt, None, None, concurrency_limit=None, concurrency_id="halt", trigger_mode="multiple", **LIVE)
    chat.run(run, None, chat, concurrency_limit=None, concurrency_id="run", **LIVE)
    outputs = [chat, *controls.parts]
    player.back(back, None, outputs, concurrency_limit=None, concurrency_id="back", **LIVE)
    page.unload(leave)


def wire_try_it(handlers: Handlers, part: gr.HTML) -> None:
    """The panel of the policy's settings to its handler."""

    def wish(event: gr.EventData, request: gr.Request) -> Any:
        return handlers.try_it(event._data, key_of(request))  # noqa: SLF001

    part.wish(wish, None, part, concurrency_limit=None, concurrency_id="tryit", trigger_mode="multiple", **LIVE)


def wire_lab(handlers: Handlers, part: gr.HTML) -> None:
    """The lab's events to handlers."""

    def look(event: gr.EventData, request: gr.Request) -> Any:
        return handlers.poll_lab(event._data, key_of(request))  # noqa: SLF001

    def do(event: gr.EventData, request: gr.Request) -> None:
        handlers.lab_action(event._data, key_of(request))  # noqa: SLF001

    part.lablook(look, None, part, concurrency_limit=None, concurrency_id="lablook", **LIVE)
    part.labdo(do, None, None, concurrency_limit=None, concurrency_id="labdo", trigger_mode="multiple", **LIVE)


def wire_lessons(chat: gr.HTML, controls: Controls, controller: LessonController, offer: Mapping[str, Any]) -> None:
    """The lessons' panel. What a lesson changed is shown by the settings, and the chat is that of who is shown."""
    panel = part("lessons", ("lesson",), **offer)

    def lesson(event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        reply = controller.answer(event._data, key_of(request))  # noqa: SLF001
        if reply["kind"] == "reveal":
            return {panel: wire(reply)}
        visitor = controller.visitor(key_of(request))
        return {panel: wire(reply), chat: wire(visitor.conversation.message()), **controls.show(visitor)}

    outputs = [panel, chat, *controls.parts]
    panel.lesson(
        lesson, None, outputs, concurrency_limit=None, concurrency_id="lesson", trigger_mode="multiple", **LIVE
    )
