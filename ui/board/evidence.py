"""Evidence attribution of the last answer as a dict for the browser."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hermes.analysis.evidence import TierEvidence, Verdict, attribute_evidence
from hermes.analysis.evidence_text import ATTENDED, most_held, named_layers, share_in_words
from hermes.ground_truth import GroundTruth
from hermes.snapshot import Snapshot

Judge = Callable[[Snapshot], Verdict | None]
Thumbnails = Callable[[Sequence[int]], dict[int, bytes]]

FINE_RATE = 100.0
"""Frame rate of events whose own rate is unknown."""
PICTURES = 5
MOMENTS = 12


def judge_of(
    events: Iterable[Mapping[str, Any]], fps: float | None = None, sampled: Callable[[], float] | None = None
) -> Judge:
    """Return a function that computes the verdict on the last answer of a stream.

    Args:
        events: Ground truth of the stream, as in a clip's truth file; empty if unknown.
        fps: Frame rate of the events; None if unknown.
        sampled: Returns the sampled frames per second, to detect whether the model merges frames.
    """
    rate = fps or FINE_RATE
    ground_truth = GroundTruth(events, rate)

    def judge(snapshot: Snapshot) -> Verdict | None:
        trace = snapshot.answer
        if trace is None:
            return None
        if not ground_truth or math.isnan(trace.asked_seconds):
            return attribute_evidence(trace, snapshot, None, None)
        truth = ground_truth.answer(trace.question, trace.asked_seconds)
        if truth is None:
            return attribute_evidence(trace, snapshot, None, None)
        reach = _reach(snapshot, sampled() if sampled else math.nan)
        return attribute_evidence(trace, snapshot, truth.spans, truth.answer, every=truth.every, reach=reach)

    return judge


def _reach(snapshot: Snapshot, sampled: float) -> float:
    """Return how many seconds before its timestamp a frame begins: the model may merge several sampled frames into one."""
    if snapshot.frames_seen < 2 or math.isnan(sampled):
        return 0.0
    step = float(np.median(np.diff(snapshot.frame_times)))
    merged = round(step * sampled)
    return (merged - 1) / sampled if merged > 1 else 0.0


def encode_verdict(verdict: Verdict, snapshot: Snapshot, thumbnails: Thumbnails) -> dict[str, Any]:
    """Encode a verdict for the browser.

    Args:
        verdict: The verdict on `snapshot.answer`.
        snapshot: The memory.
        thumbnails: Returns JPEG bytes of the requested frames that are stored.
    """
    chosen = _spread(verdict)
    wanted = sorted({*chosen, *(frame for tier in verdict.tiers for frame, _ in tier.most_read)})
    pictures = thumbnails(wanted)

    def frame(index: int) -> dict[str, Any]:
        picture = pictures.get(index)
        return {
            "frame": index,
            "seconds": float(snapshot.frame_times[index]),
            "jpeg": base64.b64encode(picture).decode("ascii") if picture else None,
        }

    def tier(one: TierEvidence) -> dict[str, Any]:
        return {
            "tier": one.tier,
            "layers": named_layers(verdict, range(one.layers[0], one.layers[1] + 1)),
            "held": _number(one.held),
            "attention": _number(one.attention),
            "even": _number(one.even),
            "lift": "all" if math.isinf(one.attention_ratio) else _number(one.attention_ratio),
            "attends": one.attends,
            "peaks": [{**frame(index), "share": round(share, 4)} for index, share in one.most_read],
        }

    return {
        "outcome": verdict.outcome,
        "right": verdict.right,
        "truth": verdict.truth,
        "sentence": verdict.sentence,
        "sampled": len(verdict.frames),
        "held_in": _held_in(verdict),
        "needed": ATTENDED,
        "moments": [
            {
                "start": moment.span[0],
                "end": moment.span[1],
                "outcome": moment.outcome,
                "frames": [int(moment.frames[0]), int(moment.frames[-1]) + 1] if len(moment.frames) else None,
            }
            for moment in verdict.moments[:MOMENTS]
        ],
        "more": max(len(verdict.moments) - MOMENTS, 0),
        "frames": [frame(index) for index in chosen],
        "tiered": verdict.tiered,
        "tiers": [tier(one) for one in verdict.tiers],
    }


def _held_in(verdict: Verdict) -> str:
    """Describe the layers that hold the evidence; "" if none does."""
    if not len(verdict.frames):
        return ""
    layers = range(len(verdict.moments[0].held))
    holding = [layer for layer in layers if layer not in verdict.evicted_from]
    if not holding:
        return ""
    named = "all layers" if len(holding) == len(layers) else named_layers(verdict, holding)
    return f"{named}, up to {share_in_words(most_held(verdict))} of its tokens"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)


def _spread(verdict: Verdict) -> list[int]:
    """Return up to `PICTURES` frames of the evidence, spread over its moments."""
    frames = verdict.frames
    if len(frames) <= PICTURES:
        return [int(frame) for frame in frames]
    middles = [int(m.frames[len(m.frames) // 2]) for m in verdict.moments if len(m.frames)]
    if len(middles) > 1:
        return sorted(set(middles))[:PICTURES]
    return [int(frame) for frame in frames[np.linspace(0, len(frames) - 1, PICTURES).round().astype(int)]]
