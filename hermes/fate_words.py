"""A verdict on an answer's evidence in one plain sentence. Pure functions; see `hermes.fate` for the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hermes.snapshot import TIERS

if TYPE_CHECKING:
    from hermes.fate import Moment, Verdict

ATTENDED: Final = 3.0
"""A tier attends to the evidence where a token of it gets this many times the attention of another; our convention."""
DEPTHS: Final = ("shallow", "middle", "deep")
"""What the layers of the tiers are called where a policy treats them all alike."""
REMNANT: Final = 0.1
"""Where no layer holds more than this share of the evidence's tokens, only a remnant is left; our convention."""
NAMED: Final = 3
"""Moments that a sentence names one by one."""


def sentence_of(verdict: Verdict) -> str:
    """The verdict in plain words; its own `sentence` is not looked at."""
    return _SENTENCES[verdict.outcome](verdict) + _remark(verdict)


def _remark(verdict: Verdict) -> str:
    """What follows where answer and fate do not go together."""
    if verdict.outcome == "read" and verdict.right is False:
        if most_held(verdict) <= REMNANT:
            return " The answer is wrong all the same: too little of it is left."
        return " The answer is wrong all the same: memory kept it, the model misread it."
    if verdict.outcome in ("not sampled", "evicted", "not retrieved", "unread") and verdict.right:
        return " The answer is right all the same: what other frames carry was enough, or it was a guess."
    return ""


def most_held(verdict: Verdict) -> float:
    """Largest share of a moment's tokens that a layer holds, of the moment that is worst off among those held, 0 to 1."""
    return min((float(moment.held.max()) for moment in verdict.moments if moment.outcome == "held"), default=0.0)


def share_in_words(share: float) -> str:
    """A share of one as the page writes it: 0.083 -> "8 %"."""
    return "under 1 %" if 0 < share < 0.01 else f"{share * 100:.0f} %"


def layers_in_words(layers: Sequence[int]) -> str:
    """Layers as people count them, runs joined: (0, 1, 2, 6) -> "layers 1–3 and 7"."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    parts = [f"{run[0] + 1}" if len(run) == 1 else f"{run[0] + 1}–{run[-1] + 1}" for run in runs]
    joined = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"layer{'s' * (len(layers) > 1)} {joined}"


def time_in_words(seconds: float) -> str:
    """Stream time as the page writes it, with tenths: 67.5 -> "1:07.5"."""
    minutes, tenths = divmod(max(0, math.floor(seconds * 10 + 0.5)), 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{tenths // 10:02d}.{tenths % 10}"


def _unknown(_: Verdict) -> str:
    return "Nobody has written down what is true here, so there is no verdict."


def _absent(_: Verdict) -> str:
    return "The true answer rests on what was not shown, so there is no moment that the model should have read."


def _not_sampled(verdict: Verdict) -> str:
    lost = [moment for moment in verdict.moments if moment.outcome == "not sampled"]
    return f"Not sampled:{_part(verdict, lost)} no frame was taken at {_when(lost)}, so the model never saw it."


def _evicted(verdict: Verdict) -> str:
    lost = [moment for moment in verdict.moments if moment.outcome == "evicted"]
    frames = sum(len(moment.frames) for moment in lost)
    return (
        f"Sampled, then evicted:{_part(verdict, lost)} what was shown at {_when(lost)} was seen in {frames} "
        f"frame{'s' * (frames != 1)}, and no layer holds as much as one token a frame of it any more."
    )


def _not_retrieved(verdict: Verdict) -> str:
    lost = [moment for moment in verdict.moments if moment.outcome == "not retrieved"]
    frames, layers = sum(len(moment.frames) for moment in lost), len(lost[0].stored)
    storing = [layer for layer in range(layers) if any(moment.stored[layer] >= 1 for moment in lost)]
    place = "all layers" if len(storing) == layers else layers_in_words(storing)
    return (
        f"{'Archived' if verdict.archive else 'In memory'}, but not retrieved:{_part(verdict, lost)} what was shown at "
        f"{_when(lost)} was seen in {frames} frame{'s' * (frames != 1)} and lies in the "
        f"{'archive' if verdict.archive else 'memory'} of {place}, but for this answer no layer read as much as one token a "
        "frame of it."
    )


def _read(verdict: Verdict) -> str:
    place, lift = _best(verdict)
    if math.isinf(lift):
        return f"Held and attended: {_where(verdict)}, and {place} no other frame was read."
    return (
        f"Held and attended: {_where(verdict)}. {place[0].upper()}{place[1:]} one of its tokens got {_times(lift)} the "
        "attention of another frame’s."
    )


def _unread(verdict: Verdict) -> str:
    place, lift = _best(verdict)
    return (
        f"Held, but not attended: {_where(verdict)}, but nowhere did one of its tokens get {ATTENDED:g} times the "
        f"attention of another frame’s (most: {_times(lift)}, {place})."
    )


_SENTENCES: Final = {
    "unknown": _unknown,
    "absent": _absent,
    "not sampled": _not_sampled,
    "evicted": _evicted,
    "not retrieved": _not_retrieved,
    "read": _read,
    "unread": _unread,
}


def _part(verdict: Verdict, lost: Sequence[Moment]) -> str:
    return f" {len(lost)} of the {len(verdict.moments)} moments needed;" if len(verdict.moments) > 1 else ""


def _when(moments: Sequence[Moment]) -> str:
    spans = [f"{time_in_words(m.span[0])}–{time_in_words(m.span[1])}" for m in moments[:NAMED]]
    return ", ".join(spans) + (f" and {len(moments) - NAMED} more moments" if len(moments) > NAMED else "")


def _where(verdict: Verdict) -> str:
    kept = [moment for moment in verdict.moments if moment.outcome == "held"]
    gone = verdict.evicted_from
    holding = [layer for layer in range(len(kept[0].held)) if layer not in gone]
    shown, share = f"what was shown at {_when(kept)}", share_in_words(most_held(verdict))
    if verdict.archive:
        readers = f"all layers (up to {share} of its tokens)"
        if gone:
            readers = f"{layers_in_words(holding)} (up to {share} of its tokens), not to {_rest(gone)}"
        return f"{shown} was given to {readers}"
    if not gone:
        return f"{shown} is still in all layers (up to {share} of its tokens)"
    place = layers_in_words(holding)
    return f"{shown} is still in {place} (up to {share} of its tokens), and evicted from {_rest(gone)}"


def _rest(gone: Sequence[int]) -> str:
    return layers_in_words(gone).removeprefix("layers ").removeprefix("layer ")


def _best(verdict: Verdict) -> tuple[str, float]:
    """Where the evidence is attended to most, and how much more than other frames."""
    best = max((tier for tier in verdict.tiers if not math.isnan(tier.lift)), key=lambda tier: tier.lift)
    return f"in the {TIERS[best.tier]} tier" if verdict.tiered else f"in the {DEPTHS[best.tier]} layers", best.lift


def _times(lift: float) -> str:
    return f"{lift:.0f} times" if lift >= 10 else f"{lift:.1f} times"
