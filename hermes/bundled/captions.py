"""Captions of recorded runs: what the memory shows at a moment, from its data. Pure functions.

A caption has at most two sentences. Each states a measured fact, and is left out where the fact does not hold, so a caption
is true for every run and every moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hermes.analysis.evidence import attribute_evidence
from hermes.analysis.evidence_text import layers_in_words
from hermes.analysis.metrics import kept_start
from hermes.formatting import format_clock
from hermes.ground_truth import GroundTruth, name_of, noun_of
from hermes.snapshot import TIERS, Snapshot
from hermes.trace import LabRun, Run, RunTurn
from hermes.trace.head import is_right
from hermes.worlds.truth import Truth

EVENT_RATE: Final = 100.0
"""Frame rate at which events are read: their times have two decimals."""
SENTENCES: Final = 2

Event = Mapping[str, Any]


def caption(run: Run, seconds: float) -> str:
    """Return the caption of a run at a stream time in seconds; "" without ground truth, or before the first event."""
    snapshot = run.view(seconds).snapshot
    if snapshot is None:
        return ""
    return caption_of(snapshot, run.events, [turn for turn in run.chat if turn.done <= seconds])


def caption_of(snapshot: Snapshot, events: Sequence[Event], turns: Sequence[RunTurn]) -> str:
    """Return the caption of a memory.

    Args:
        snapshot: The memory.
        events: Ground truth of the stream, as in a clip's truth file.
        turns: The questions answered so far.
    """
    shown = [event for event in events if float(event["start"]) <= snapshot.seconds]
    if not shown:
        return ""
    return " ".join(islice(_sentences(snapshot, shown, turns), SENTENCES))


def lab_caption(run: LabRun, seconds: float) -> str:
    """Return the caption of a lab run at a stream time: what each memory holds of the first event."""
    snapshots = [lane.view(seconds).snapshot for lane in run.lanes]
    event = next(iter(run.head.events), None)
    if event is None:
        return ""
    parts = []
    for lane, snapshot in zip(run.lanes, snapshots, strict=True):
        if snapshot is None or not _frames(snapshot, event).any():
            return ""
        most = float(_kept(snapshot, event).mean(axis=1).max())
        full = most == snapshot.tokens_per_frame
        held = "none" if not most else "all" if full else f"at most {f'{most:.1f}'.removesuffix('.0')} in a layer"
        parts.append(f"{lane.head.policy['title']} holds {held}")
    size = snapshots[0].tokens_per_frame if snapshots[0] else 0
    return f"Of the {size} tokens per frame of {_name(event)}, {', '.join(parts[:-1])} and {parts[-1]}."


def _sentences(snapshot: Snapshot, shown: Sequence[Event], turns: Sequence[RunTurn]) -> Iterator[str]:
    """Yield the sentences that hold, the most important first."""
    makers = (
        lambda: _band(snapshot),
        lambda: _evidence(snapshot, shown),
        lambda: _forgotten(turns),
        lambda: _start(snapshot, shown),
        lambda: _lost(snapshot, shown),
    )
    return (sentence for make in makers if (sentence := make()))


def _frames(snapshot: Snapshot, event: Event) -> npt.NDArray[np.bool_]:
    """Return which frames show an event [frames]."""
    times = snapshot.frame_times
    return (times >= float(event["start"]) - 1e-3) & (times < float(event["end"]) - 1e-3)


def _kept(snapshot: Snapshot, event: Event) -> npt.NDArray[np.uint16]:
    """Return the tokens of each frame of an event in each layer [layers, frames of the event]."""
    return snapshot.kept[:, _frames(snapshot, event)]


def _name(event: Event) -> str:
    return f"the {name_of(event)} ({format_clock(event['start'])}–{format_clock(event['end'])})"


def _numbered(snapshot: Snapshot, layers: Sequence[int]) -> str:
    """Return layers in words, numbered as in the decoder."""
    return layers_in_words([snapshot.layer_numbers[layer] for layer in layers])


def _band(snapshot: Snapshot) -> str:
    """Every layer holds the same newest frames and nothing else."""
    held = snapshot.kept > 0
    first = held.argmax(axis=1)
    start = int(first[0])
    if not start or (first != start).any() or not held[:, start:].all():
        return ""
    newest = snapshot.frames_seen - start
    return f"Every layer holds only the newest {newest} frames, from {format_clock(snapshot.frame_times[start])} on."


def _evidence(snapshot: Snapshot, shown: Sequence[Event]) -> str:
    """What is left of the event that the last question was about, or of the first one, and whether the answer used it."""
    truth = _last_truth(snapshot, shown)
    event = _asked_about(truth, shown) or shown[0]
    kept = _kept(snapshot, event)
    if not kept.shape[1]:
        return ""
    return f"{_held(snapshot, kept, _name(event))}{_remark(snapshot, truth) if _asked_about(truth, shown) else '.'}"


def _held(snapshot: Snapshot, kept: npt.NDArray[np.uint16], name: str) -> str:
    of, means = snapshot.tokens_per_frame, kept.mean(axis=1)
    if not kept.any():
        return f"No layer holds {name} any longer"
    if kept.min() == of:
        return f"Every layer still holds {name} completely"
    if means.max() < 1:
        return f"Each layer holds less than one token per frame of {name}"
    layers = np.arange(snapshot.num_layers)
    where = "Layers"
    if snapshot.tiered:
        present = [tier for tier in range(len(TIERS)) if (snapshot.tiers == tier).any()]
        best = max(present, key=lambda tier: means[snapshot.tiers == tier].mean())
        layers, where = np.flatnonzero(snapshot.tiers == best), f"{TIERS[best].capitalize()} layers"
    layers = layers[means[layers] >= 1] if (means[layers] >= 1).any() else np.flatnonzero(means >= 1)
    numbers = _numbered(snapshot, layers.tolist()).split(" ", 1)[1]
    low, high = round(float(means[layers].min())), round(float(means[layers].max()))
    count = f"all {of}" if low == of else f"{low} of {of}" if low == high else f"{low}–{high} of {of}"
    if len(layers) == 1:
        return f"{where.removesuffix('s')} {numbers} holds {count} tokens per frame of {name}"
    return f"{where} {numbers} hold {count} tokens per frame of {name}"


def _last_truth(snapshot: Snapshot, shown: Sequence[Event]) -> Truth | None:
    trace = snapshot.answer
    if trace is None or not np.isfinite(trace.asked_seconds):
        return None
    return GroundTruth(shown, EVENT_RATE).answer(trace.question, trace.asked_seconds)


def _asked_about(truth: Truth | None, shown: Sequence[Event]) -> Event | None:
    """Return the event that a question was about; None if it was about none or several."""
    if truth is None or len(truth.spans) != 1:
        return None
    start = truth.spans[0][0]
    return next((event for event in shown if abs(float(event["start"]) - start) < 1 / EVENT_RATE), None)


def _remark(snapshot: Snapshot, truth: Truth | None) -> str:
    trace = snapshot.answer
    if trace is None or truth is None:
        return "."
    verdict = attribute_evidence(trace, snapshot, truth.spans, truth.answer, every=truth.every)
    if not verdict.right:
        return f": the last answer, “{trace.answer.strip()}”, is wrong."
    return ", and the last answer used it." if verdict.outcome == "read" else "."


def _forgotten(turns: Sequence[RunTurn]) -> str:
    """How many questions that were answered correctly before are answered wrongly now."""
    latest = {turn.question: turn for turn in turns if turn.truth is not None}
    before = [
        question
        for question, now in latest.items()
        if any(is_right(turn) and turn is not now for turn in turns if turn.question == question)
    ]
    wrong = sum(not is_right(latest[question]) for question in before)
    if not wrong:
        return ""
    return f"{wrong} of {len(before)} repeated answers {'is' if wrong == 1 else 'are'} now wrong."


def _start(snapshot: Snapshot, shown: Sequence[Event]) -> str:
    """Which layers hold the start of the stream, if it shows no event."""
    kept = kept_start(snapshot)
    if not kept.layers or _frames(snapshot, shown[0])[: kept.frames].any():
        return ""
    every = len(kept.layers) == snapshot.num_layers
    where = "all layers" if every else _numbered(snapshot, kept.layers)
    what = "frame" if kept.frames == 1 else "second"
    noun = {"card": "a card", "object": "an object"}[noun_of(shown[0])]
    return f"{where[0].upper()}{where[1:]} also keep{'s' * (len(kept.layers) == 1)} the first {what}, without {noun}."


def _lost(snapshot: Snapshot, shown: Sequence[Event]) -> str:
    """How many events have no token left in any layer."""
    past = [_kept(snapshot, event) for event in shown if float(event["end"]) <= snapshot.seconds]
    past = [kept for kept in past if kept.shape[1]]
    lost = sum(not kept.any() for kept in past)
    return (
        f"{lost} of the {len(past)} {noun_of(shown[0])}s so far {'is' if lost == 1 else 'are'} gone from every layer."
        if lost
        else ""
    )
