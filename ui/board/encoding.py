"""Encodes parts of the memory board's messages: arrays, scores, answers, and the start of the stream."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.analysis.evidence import read_most
from hermes.analysis.metrics import kept_start
from hermes.snapshot import AnswerTrace, Snapshot
from ui.board.cells import ScoreColumns
from ui.board.evidence import Thumbnails
from ui.board.history import bin_sum


def pack(values: npt.NDArray[Any]) -> str:
    """Encode an array's little-endian bytes as base64."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def encode_scores(mode: str, scores: ScoreColumns, changed: npt.NDArray[np.bool_], *, fresh: bool) -> dict[str, Any]:
    """Encode the changed columns of a score [columns]; `fresh` if the browser has none of this mode."""
    index = np.flatnonzero(changed).astype(np.uint16)
    return {
        "of": mode,
        "fresh": fresh,
        "index": pack(index),
        "values": pack(scores.values.T[index]),
        "least": scores.least,
        "largest": scores.largest,
    }


def encode_start(snapshot: Snapshot) -> dict[str, Any] | None:
    """Describe the layers that hold the start of the stream, see `kept_start`; None if there are none."""
    start = kept_start(snapshot)
    if not start.layers:
        return None
    ratio = None if math.isnan(start.ratio) else round(start.ratio, 1)
    return {"frames": start.frames, "layers": list(start.layers), "ratio": ratio, "ratio_layer": start.ratio_layer}


def encode_answer(answer: AnswerTrace, thumbnails: Thumbnails, size: int) -> dict[str, Any]:
    """Encode an answer and its attention, by column of `size` frames in bytes relative to the layer's largest."""
    profile = answer.attention.mean(axis=0)
    peaks = [frame for frame, _ in read_most(profile)]
    pictures = thumbnails(peaks)
    attention = bin_sum(answer.attention.astype(np.float32), size)
    largest = attention.max(axis=1, initial=0.0)
    scaled = np.rint(attention / np.maximum(largest, 1e-9)[:, None] * 255).astype(np.uint8)
    prompt, summary, text = (float(share) for share in answer.attention_rest.mean(axis=0))
    return {
        "question": answer.question,
        "answer": answer.answer,
        "seconds": None if math.isnan(answer.asked_seconds) else answer.asked_seconds,
        "columns": attention.shape[1],
        "attention": pack(scaled),
        "largest": [round(float(value), 6) for value in largest],
        "rest": {"prompt": prompt, "summary": summary, "text": text},
        "peaks": [
            {
                "frame": frame,
                "share": round(float(profile[frame]), 4),
                "jpeg": base64.b64encode(pictures[frame]).decode("ascii") if frame in pictures else None,
            }
            for frame in peaks
        ],
    }
