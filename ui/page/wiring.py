"""Connects Gradio events to the handlers. Camera frames, buttons and chat use separate places in Gradio's queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from ui.component import LIVE, part
from ui.lessons.controller import LessonController
from ui.page.handlers import Handlers, to_json
from ui.page.settings_drawer import SettingsDrawer
from ui.untrusted import event_data
from ui.visitors.connections import key_of


def wire_page(
    page: gr.Blocks, handlers: Handlers, player: gr.HTML, chat: gr.HTML, detail: gr.HTML, controls: SettingsDrawer
) -> None:
    """Connect the events of the stream, the chat and the board. Updates are sent by `ui.page.update_stream`."""

    def hello(request: gr.Request) -> Any:
        return to_json({"session": request.session_hash})

    def act(event: gr.EventData, request: gr.Request) -> None:
        handlers.act(event_data(event), key_of(request))

    def detail_request(event: gr.EventData, request: gr.Request) -> Any:
        return handlers.detail(event_data(event), key_of(request))

    def camera_frame(event: gr.EventData, request: gr.Request) -> None:
        handlers.camera_frame(event_data(event), key_of(request))

    def ask(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        yield from handlers.ask(event_data(event), key_of(request))

    def halt(event: gr.EventData, request: gr.Request) -> Any:
        return handlers.halt(event_data(event), key_of(request))

    def run(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        yield from handlers.run(event_data(event), key_of(request))

    def leave(request: gr.Request) -> None:
        handlers.leave(key_of(request))

    def back(request: gr.Request) -> dict[Any, Any]:
        visitor = handlers.back(key_of(request))
        return {chat: to_json(visitor.conversation.message()), **controls.show(visitor)}

    player.hello(hello, None, player, concurrency_limit=None, concurrency_id="hello", **LIVE)
    player.act(act, None, None, concurrency_limit=None, concurrency_id="act", trigger_mode="multiple", **LIVE)
    detail.detail(
        detail_request, None, detail, concurrency_limit=None, concurrency_id="detail", trigger_mode="multiple", **LIVE
    )
    player.shot(
        camera_frame, None, None, concurrency_limit=None, concurrency_id="shot", trigger_mode="multiple", **LIVE
    )
    chat.ask(ask, None, chat, concurrency_limit=None, concurrency_id="chat", trigger_mode="multiple", **LIVE)
    chat.halt(halt, None, chat, concurrency_limit=None, concurrency_id="halt", trigger_mode="multiple", **LIVE)
    chat.run(run, None, chat, concurrency_limit=None, concurrency_id="run", **LIVE)
    outputs = [chat, *controls.parts]
    player.back(back, None, outputs, concurrency_limit=None, concurrency_id="back", trigger_mode="always_last", **LIVE)
    page.unload(leave)


def wire_try_it(handlers: Handlers, part: gr.HTML, controls: SettingsDrawer) -> None:
    """Connect the panel of policy settings. A preset may also change the importance probe."""

    def change(event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        data, key = event_data(event), key_of(request)
        updates = {part: handlers.try_it(data, key)}
        return updates | controls.show(handlers.sessions.get(key)) if "preset" in data else updates

    outputs = [part, *controls.parts]
    part.apply(change, None, outputs, concurrency_limit=None, concurrency_id="tryit", trigger_mode="multiple", **LIVE)


def wire_lab(handlers: Handlers, part: gr.HTML) -> None:
    """Connect the actions of the lab. Its state is read by `ui.page.comparison_state`."""

    def act(event: gr.EventData, request: gr.Request) -> None:
        handlers.lab_action(event_data(event), key_of(request))

    part.labdo(act, None, None, concurrency_limit=None, concurrency_id="labdo", trigger_mode="multiple", **LIVE)


def wire_lessons(
    chat: gr.HTML, controls: SettingsDrawer, controller: LessonController, offer: Mapping[str, Any]
) -> None:
    """Add the lessons panel and connect it. After each action the settings and the chat of the shown visitor are updated."""
    panel = part("lessons", ("lesson",), **offer)

    def lesson(event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        reply = controller.answer(event_data(event), key_of(request))
        if reply["kind"] == "reveal":
            return {panel: to_json(reply)}
        visitor = controller.visitor(key_of(request))
        return {panel: to_json(reply), chat: to_json(visitor.conversation.message()), **controls.show(visitor)}

    outputs = [panel, chat, *controls.parts]
    panel.lesson(
        lesson, None, outputs, concurrency_limit=None, concurrency_id="lesson", trigger_mode="multiple", **LIVE
    )
