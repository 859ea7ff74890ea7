"""The verdict on an answer's evidence as one sentence. Pure functions; `hermes.analysis.evidence` computes the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hermes.snapshot import TIERS

if TYPE_CHECKING:
    from hermes.analysis.evidence import Moment, Verdict

ATTENDED: Final = 3.0
"""A tier uses the evidence if one of its tokens gets this many times the attention of another token; our convention."""
DEPTHS: Final = ("shallow", "middle", "deep")
"""Names of the tiers' layers for policies that treat all layers the same."""
REMNANT: Final = 0.1
"""If no layer holds more than this share of the evidence's tokens, too little is left; our convention."""
NAMED: Final = 3
"""Most moments listed in a sentence."""


def sentence_of(verdict: Verdict) -> str:
    """Return the sentence for a verdict. `verdict.sentence` is ignored."""
    return _SENTENCES[verdict.outcome](verdict) + _remark(verdict)


def _remark(verdict: Verdict) -> str:
    """Return a remark if the answer does not match the state of its evidence."""
    if verdict.outcome == "read" and verdict.right is False:
        if most_held(verdict) <= REMNANT:
            return f" The answer is wrong: {share_in_words(most_held(verdict))} of its tokens may be too little."
        return " The answer is wrong although its evidence was kept and used."
    if verdict.outcome in ("not sampled", "evicted", "not retrieved", "unread") and verdict.right:
        return " The answer is right anyway: it may be a guess, or other tokens may carry the information."
    return ""


def most_held(verdict: Verdict) -> float:
    """Largest share of tokens that a layer holds of the least retained of the held moments, 0 to 1."""
    return min((float(moment.held.max()) for moment in verdict.moments if moment.outcome == "held"), default=0.0)


def share_in_words(share: float) -> str:
    """Format a share as the page does: 0.083 -> "8 %"."""
    return "under 1 %" if 0 < share < 0.01 else f"{share * 100:.0f} %"


def layers_in_words(layers: Sequence[int]) -> str:
    """Format layer numbers, from 0, with joined ranges: (0, 1, 2, 6) -> "layers 0–2 and 6"."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    parts = [f"{run[0]}" if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    joined = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"layer{'s' * (len(layers) > 1)} {joined}"


def named_layers(verdict: Verdict, layers: Sequence[int]) -> str:
    """Format layers as `layers_in_words`, by their numbers in the decoder.

    Args:
        verdict: The verdict, whose `layer_numbers` apply.
        layers: Indices of layers that hold tokens, from 0.
    """
    return layers_in_words([verdict.layer_numbers[layer] for layer in layers])


def time_in_words(seconds: float) -> str:
    """Format stream time as the page does, with tenths: 67.5 -> "1:07.5"."""
    minutes, tenths = divmod(max(0, math.floor(seconds * 10 + 0.5)), 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{tenths // 10:02d}.{tenths % 10}"


def _unknown(_: Verdict) -> str:
    return "No reference answer, so not scored."


def _absent(_: Verdict) -> str:
    return "The correct answer is that something was not shown, so no frame contains evidence to keep or to use."


def _not_sampled(verdict: Verdict) -> str:
    lost = [moment for moment in verdict.moments if moment.outcome == "not sampled"]
    return f"Never sampled:{_part(verdict, lost)} no frame was taken at {_when(lost)}, so the model never saw it."


def _evicted(verdict: Verdict) -> str:
    lost = [moment for moment in verdict.moments if moment.outcome == "evicted"]
    frames = sum(len(moment.frames) for moment in lost)
    return (
        f"Seen, then forgotten:{_part(verdict, lost)} what was shown at {_when(lost)} was seen in {frames} "
        f"frame{'s' * (frames != 1)}, and no layer still holds one token per frame of it."
    )


def _not_retrieved(verdict: Verdict) -> str:
    lost = [moment for moment in verdict.moments if moment.outcome == "not retrieved"]
    frames, layers = sum(len(moment.frames) for moment in lost), len(lost[0].stored)
    storing = [layer for layer in range(layers) if any(moment.stored[layer] >= 1 for moment in lost)]
    place = "all layers" if len(storing) == layers else named_layers(verdict, storing)
    return (
        f"{'Archived' if verdict.archive else 'In memory'}, but not retrieved:{_part(verdict, lost)} what was shown at "
        f"{_when(lost)} was seen in {frames} frame{'s' * (frames != 1)} and is in the "
        f"{'archive' if verdict.archive else 'memory'} of {place}, but no layer read one token per frame of it for this "
        "answer."
    )


def _read(verdict: Verdict) -> str:
    place, ratio = _best(verdict)
    if math.isinf(ratio):
        return f"Kept and used: {_where(verdict)}, and {place} no other frame was attended to."
    return (
        f"Kept and used: {_where(verdict)}. {place[0].upper()}{place[1:]}, one of its tokens got {_times(ratio)} the "
        "attention of a typical token."
    )


def _unread(verdict: Verdict) -> str:
    place, ratio = _best(verdict)
    return (
        f"Kept, but not used: {_where(verdict)}, but none of its tokens got {ATTENDED:g}× the attention of a typical "
        f"token (at most {_times(ratio)}, {place})."
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
    evicted = verdict.evicted_from
    holding = [layer for layer in range(len(kept[0].held)) if layer not in evicted]
    shown, share = f"what was shown at {_when(kept)}", share_in_words(most_held(verdict))
    if verdict.archive:
        readers = f"all layers (up to {share} of its tokens)"
        if evicted:
            readers = f"{named_layers(verdict, holding)} (up to {share} of its tokens), not for {_rest(verdict)}"
        return f"{shown} was fetched for {readers}"
    if not evicted:
        return f"{shown} is still in all layers (up to {share} of its tokens)"
    place = named_layers(verdict, holding)
    return f"{shown} is still in {place} (up to {share} of its tokens), and evicted from {_rest(verdict)}"


def _rest(verdict: Verdict) -> str:
    return named_layers(verdict, verdict.evicted_from).removeprefix("layers ").removeprefix("layer ")


def _best(verdict: Verdict) -> tuple[str, float]:
    """Return the tier that attends to the evidence most, and its attention ratio."""
    best = max(
        (tier for tier in verdict.tiers if not math.isnan(tier.attention_ratio)), key=lambda tier: tier.attention_ratio
    )
    return (
        f"in the {TIERS[best.tier]} tier" if verdict.tiered else f"in the {DEPTHS[best.tier]} layers",
        best.attention_ratio,
    )


def _times(ratio: float) -> str:
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"
