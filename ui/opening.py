"""The moment on which the page opens: the first recorded run where it opens, told once and served with the page itself.

A browser that shows it says so with its first question (`key`), and its visitor then goes on from there: only what has
changed since is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hermes.trace import Run
from hermes.view import StreamSettings
from ui.board.cells import Wanted
from ui.board.feed import BoardFeed
from ui.player import payloads
from ui.player.clips import Clip
from ui.player.source import Source
from ui.runs.library import RunLibrary
from ui.runs.replay import Replay

PICTURES = 13
"""Pictures of the filmstrip on a window of 1,440 pixels; another width asks for its own."""


@dataclass(frozen=True)
class Opening:
    """A moment of a run, told.

    Attributes:
        key: Changes with whatever is told.
        told: For the browser: `key`, `run` (id), `seconds`, and the messages `player` and `board`.
        feed: What told the board; a visitor's own goes on from a copy.
        replay: The run, paused at the moment.
    """

    key: str
    told: Mapping[str, Any]
    feed: BoardFeed
    replay: Replay


def make_opening(
    run: Run, seconds: float, clips: Mapping[str, Clip], settings: StreamSettings, policy: Any
) -> Opening | None:
    """Tell a moment of a run; None where it shows nothing.

    Args:
        run: A bundled run.
        seconds: Stream time.
        clips: Bundled clips, whose truth is known.
        settings: Those of a new visitor.
        policy: The policy of these settings.
    """
    library = RunLibrary({run.id: run}, clips)
    replay = library.open(run, seconds)
    view = replay.view()
    feed = BoardFeed(clips, settings.fps)
    feed.begin(Source("run", run.id, title=run.title), replay, run.settings.fps)
    board = feed.message(replay, view, None, Wanted(pictures=PICTURES))
    if board is None:
        return None
    while more := feed.message(replay, view, board["seq"], Wanted(pictures=PICTURES)):
        board.setdefault("thumbs", {}).update(more.get("thumbs", {}))
        board["seq"] = more["seq"]
    player = {
        "source": {"kind": "run", "id": run.id, "title": run.title},
        "fps": settings.fps,
        "received": 0,
        "restarted": False,
        "notice": None,
        "about": payloads.about(None, policy, settings.changed),
        "recording": None,
        "recorded": None,
        **payloads.stream_state(view, -1),
        **library.state(replay),
    }
    told = {"run": run.id, "seconds": seconds, "player": player, "board": board}
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    return Opening(key, {"key": key, **told}, feed, replay)
