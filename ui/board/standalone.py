"""The board as a standalone HTML file: one moment of a stream, with the page's script and style. Needs no server."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from hermes.errors import HermesError
from hermes.snapshot import Snapshot
from hermes.view import LiveView
from ui import bundle
from ui.board.cells import MAX_PICTURES, SCORE_MODES, Wanted, score_columns
from ui.board.detail import BoardSource, frame_detail, heads, token_history_detail
from ui.board.encoder import BoardEncoder
from ui.board.encoding import encode_scores

MAX_FRAMES = 240
"""Maximum number of frames whose patches are saved; if there are more, evenly spaced ones are chosen."""
MAX_LIFE_BYTES = 1_500_000
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{head}
</head><body class="hl-saved"><main class="gradio-container"><header class="hl-head"><h1>HERMES Live</h1>
<p>{about}</p>
<button type="button" class="hl-theme" aria-label="Switch between light and dark" onclick="HermesLive.theme()">
<svg class="hl-icon" viewBox="0 0 24 24" aria-hidden="true"><path fill="currentColor"
d="M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm0 2v14a7 7 0 0 1 0-14z"/></svg></button></header>
<div id="hl-board"></div></main>
<script type="application/json" id="hl-saved">{data}</script>
<script>
const saved = JSON.parse(document.getElementById("hl-saved").textContent);
HermesLive.openSaved(document.getElementById("hl-board"), saved);
</script></body></html>
"""


def page(source: BoardSource, view: LiveView, encoder: BoardEncoder, *, fps: float, meters: dict[str, Any]) -> str:
    """Return one moment of a board as an HTML document.

    Args:
        source: Source of thumbnails and token histories.
        view: The moment.
        encoder: The board's encoder, for its history; it is not changed.
        fps: Sampled frames per second.
        meters: Metrics shown above the board.

    Raises:
        HermesError: No frame has been seen yet.
    """
    shot = view.snapshot
    if shot is None or not shot.frames_seen:
        raise HermesError("There is nothing to save yet. Let the stream run for a moment.")
    message = encoder.whole(
        shot,
        duration=view.duration,
        fps=fps,
        meters=meters,
        thumbnails=source.thumbnails,
        wanted=Wanted(pictures=min(16, MAX_PICTURES)),
    )
    data = {
        "message": message,
        "scores": {mode: _scores(shot, mode, message["meta"]["bin"]) for mode in SCORE_MODES},
        "details": list(_details(source, shot)),
    }
    about = f"A saved moment of “{view.source}” at {shot.seconds:.1f} seconds: {shot.model}, {shot.policy}."
    return PAGE.format(
        title=html.escape(f"{view.source} · HERMES Live"),
        about=html.escape(about),
        head=bundle.head(),
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


def _scores(shot: Snapshot, mode: str, size: int) -> dict[str, Any]:
    scores = score_columns(shot, mode, size)
    return encode_scores(mode, scores, np.ones(scores.values.shape[1], bool), fresh=True)


def _details(source: BoardSource, shot: Snapshot) -> Iterator[dict[str, Any]]:
    """Yield the details that the page can show: patches, heads, and token histories up to `MAX_LIFE_BYTES`."""
    frames = np.unique(np.linspace(0, shot.frames_seen - 1, min(shot.frames_seen, MAX_FRAMES)).round().astype(int))
    for frame in frames:
        yield {"kind": "frame", **frame_detail(shot, int(frame), source.thumbnails)}
    if shot.answer is not None:
        for layer in range(shot.num_layers):
            yield {"kind": "heads", **heads(shot.answer, layer)}
    size = 0
    for frame in frames[:: max(1, len(frames) // 16)]:
        history = source.token_history(int(frame))
        for layer in range(shot.num_layers):
            history_payload = {"kind": "life", **token_history_detail(shot, history, layer)}
            size += len(history_payload["score"])
            if size > MAX_LIFE_BYTES:
                return
            yield history_payload
