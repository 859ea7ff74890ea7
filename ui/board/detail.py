"""Board details on request: the tokens of one frame, its token history, and the heads of one layer.

Requests come from a browser and are untrusted. An invalid one is answered with `error`, a message for the user.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from hermes.analysis.token_history import TokenHistory, to_bytes
from hermes.analysis.words import attention_of_word
from hermes.snapshot import AnswerTrace, Snapshot
from hermes.view import LiveView
from ui.board.cells import MOST, NOT_SCORED, layer_of
from ui.board.encoding import pack
from ui.board.history import bin_sum

MAX_FRAMES_PER_COLUMN = 2**20
MAX_WORD_VALUES = 300_000
"""Maximum number of values of a word's attention; if there are more, the mean over heads is sent."""
MAX_MOMENTS = 240
"""Maximum number of evictions in a token history; if there are more, evenly spaced ones are chosen."""


class BoardSource(Protocol):
    """Data source of a board: a live stream, or a recorded run at one moment."""

    def view(self) -> LiveView:
        """Return the current view."""

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """Return JPEG thumbnails by frame number. Frames without a stored thumbnail are omitted."""

    def token_history(self, frame: int) -> TokenHistory:
        """Return the token history of a frame."""


def detail(source: BoardSource, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one request of the board: `kind` is "frame", "life" (token history) or "heads". The reply repeats its `id`."""
    shot = source.view().snapshot
    reply = {"id": request.get("id"), "kind": request.get("kind")}
    if shot is None or not shot.frames_seen:
        return {**reply, "error": "No frames yet."}
    kind, layer = request.get("kind"), _number(request.get("layer"), shot.num_layers)
    if kind == "heads":
        return {**reply, **heads(shot.answer, layer)}
    frame = _number(request.get("frame"), shot.frames_seen)
    if kind == "frame":
        return {**reply, **frame_detail(shot, frame, source.thumbnails)}
    if kind == "life":
        return {**reply, **token_history_detail(shot, source.token_history(frame), layer)}
    return {**reply, "error": "Unknown request."}


def _number(value: Any, most: int) -> int:
    """Clamp an integer to 0 … `most` - 1. Anything but an integer becomes 0."""
    return min(max(value, 0), most - 1) if isinstance(value, int) else 0


def _relative(values: npt.NDArray[np.floating]) -> tuple[str, list[float]]:
    """Encode [rows, columns] as bytes relative to each row's largest value (255: nan), and return those values."""
    known = np.isfinite(values)
    largest = np.where(known, values, 0).max(axis=1, initial=0.0)
    relative = np.where(known, values, 0) / np.maximum(largest, 1e-12)[:, None]
    encoded = np.rint(np.clip(relative, 0, 1) * MOST)  # scores of a recorded run may be negative
    return pack(np.where(known, encoded, NOT_SCORED).astype(np.uint8)), [round(float(most), 7) for most in largest]


def frame_detail(shot: Snapshot, frame: int, thumbnails: Any) -> dict[str, Any]:
    """Return, for every patch of a frame in every layer, whether it is held, its scores, and the last answer's attention."""
    patches, layers = shot.tokens_per_frame, shot.num_layers
    mine = np.flatnonzero((shot.frame == frame) & (shot.patch >= 0))
    cell = layer_of(shot)[mine] * patches + shot.patch[mine]

    def table(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        out = np.full(layers * patches, np.nan, np.float32)
        out[cell] = values[mine]
        return out.reshape(layers, patches)

    held = np.zeros(layers * patches, np.uint8)
    held[cell] = 1
    guidance, guidance_most = _relative(table(shot.guidance_attention))
    read, read_most = _relative(_read_patches(shot.answer, frame, layers, patches))
    since = np.flatnonzero(shot.eviction_frames > frame)
    picture = thumbnails([frame]).get(frame)
    return {
        "frame": frame,
        "seconds": float(shot.frame_times[frame]),
        "sequence": shot.sequence,
        "grid": list(shot.grid),
        "jpeg": base64.b64encode(picture).decode("ascii") if picture else None,
        "held": pack(held),
        "importance": pack(to_bytes(table(shot.importance))),
        "recency": pack(to_bytes(table(shot.recency))),
        "guidance": guidance,
        "guidance_most": guidance_most,
        "answer": read,
        "answer_most": read_most,
        "evictions": len(since),
        "scored": shot.evictions[int(since[-1])].seconds if len(since) else None,
    }


def _read_patches(answer: AnswerTrace | None, frame: int, layers: int, patches: int) -> npt.NDArray[np.float32]:
    """Return the share of the last answer's attention on each patch of a frame.

    Returns:
        float32 [layers, patches]; nan where the layer did not hold the patch when the question was asked.
    """
    out = np.full((layers, patches), np.nan, np.float32)
    if answer is None:
        return out
    mine = np.flatnonzero((answer.token_frame == frame) & (answer.token_patch >= 0))
    layer = np.searchsorted(answer.offsets, mine, side="right") - 1
    out[layer, answer.token_patch[mine]] = answer.attention_patch[mine]
    return out


def token_history_detail(shot: Snapshot, history: TokenHistory, layer: int) -> dict[str, Any]:
    """Encode a frame's token history: tokens per layer after each eviction, and the score of every patch in one layer.

    Scores are encoded as bytes relative to the largest one, `most`, because a frame with little attention has scores far
    below 1.
    """
    moments = len(history.seconds)
    chosen = np.unique(np.linspace(0, max(moments - 1, 0), min(moments, MAX_MOMENTS)).round().astype(int))
    patches = history.score.shape[2]
    scores = history.score[layer][chosen] if moments else np.zeros((0, 0), np.float32)
    most = float(np.max(scores, initial=0.0, where=np.isfinite(scores))) or 1.0
    return {
        "frame": history.frame,
        "layer": layer,
        "seen": float(shot.frame_times[history.frame]),
        "now": shot.seconds,
        "sequence": shot.sequence,
        "patches": patches,
        "grid": list(shot.grid),
        "moments": [round(float(at), 2) for at in history.seconds[chosen]],
        "of": moments,
        "untold": max(0, int((shot.eviction_frames > history.frame).sum()) - moments),
        "held": history.held[:, chosen].tolist() if moments else [],
        "score": pack(to_bytes(scores / most)),
        "most": most,
        "cut": [None if np.isnan(cut) else round(float(cut), 6) for cut in history.cut[layer][chosen]]
        if moments
        else [],
        "left": [None if np.isnan(at) else round(float(at), 2) for at in history.left[layer]] if moments else [],
        "merges": [
            {
                "layer": merge.layer,
                "seconds": round(merge.seconds, 2),
                "tokens": merge.tokens,
                "summaries": [round(at, 2) for at in merge.summaries],
                "held": merge.held,
            }
            for merge in history.merges
        ],
        "thinned": int(history.thinned.sum()),
        "missed": history.missed,
    }


def word_detail(answer: AnswerTrace | None, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attention while a word of an answer was generated, on every column of frames, for each head of each layer.

    Args:
        answer: The answer; None if its attention is not stored.
        request: `first` and `stop`, the tokens of the word, and `bin`, the frames per column.
    """
    first, stop, size = (request.get(name) for name in ("first", "stop", "bin"))
    reply = {"id": request.get("id"), "kind": "word"}
    gone = {**reply, "error": "The attention of the words of this answer is no longer stored."}
    if answer is None or not all(type(number) is int for number in (first, stop, size)):
        return gone
    try:
        attention = attention_of_word(answer, cast("int", first), cast("int", stop))
    except ValueError:
        return gone
    layers, heads, frames = attention.shape
    flat = bin_sum(attention.reshape(layers * heads, frames), min(max(cast("int", size), 1), MAX_FRAMES_PER_COLUMN))
    columns = flat.reshape(layers, heads, -1)
    if columns.size > MAX_WORD_VALUES:
        columns = columns.mean(axis=1, keepdims=True)
    values, largest = _relative(columns.reshape(layers, -1))
    shape = {"layers": layers, "heads": columns.shape[1], "columns": columns.shape[2], "bin": size}
    return {**reply, **shape, "values": values, "largest": largest}


def heads(answer: AnswerTrace | None, layer: int) -> dict[str, Any]:
    """Return the last answer's attention of each head of a layer on every frame, as bytes relative to the head's largest."""
    if answer is None:
        return {"error": "There is no answer yet. Ask a question first."}
    by_head = answer.attention_heads[layer]
    values, largest = _relative(by_head)
    return {"layer": layer, "heads": len(by_head), "frames": by_head.shape[1], "values": values, "largest": largest}
