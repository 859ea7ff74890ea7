"""The opening moment of the page: the state of the first recorded run, computed once and served with the document.

A browser that shows it reports its `key` with the first request. Its visitor then continues from there: only later changes
are sent.
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
"""Pictures of the filmstrip in a window of 1,440 pixels. Other widths request their own number."""


@dataclass(frozen=True)
class Opening:
    """A moment of a run as messages for the browser.

    Attributes:
        key: Hash of the content.
        payload: For the browser: `key`, `run` (id), `seconds`, and the messages `player` and `board`.
        feed: The board feed after this moment. Visitors continue from a copy.
        replay: The run, paused at this moment.
    """

    key: str
    payload: Mapping[str, Any]
    feed: BoardFeed
    replay: Replay


def make_opening(
    run: Run, seconds: float, clips: Mapping[str, Clip], settings: StreamSettings, policy: Any
) -> Opening | None:
    """Build the opening moment, or return None if the run shows nothing then.

    Args:
        run: A bundled run.
        seconds: Stream time.
        clips: Bundled clips by id.
        settings: Settings of a new visitor.
        policy: The policy in these settings.
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
    payload = {"run": run.id, "seconds": seconds, "player": player, "board": board}
    key = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:16]
    return Opening(key, {"key": key, **payload}, feed, replay)
