"""Metrics of the lessons, measured from the running stream, the model, its evaluation or this machine.

A metric that cannot be measured yet raises `NotYetError`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hermes.analysis import metrics
from hermes.analysis.cache_cost import CacheShape, cache_bytes
from hermes.analysis.evidence import is_right
from hermes.assets import POCKET, PUBLISHED_MODELS
from hermes.bench.machine import memory_bytes
from hermes.errors import HermesError
from hermes.ground_truth import GroundTruth, name_of
from hermes.recognition import Recognised
from hermes.snapshot import TIERS, AnswerTrace, Snapshot
from ui.lessons.conditions import Value

if TYPE_CHECKING:
    from hermes.serving.engine import LiveView
    from hermes.serving.model_info import ModelInfo
    from ui.player.clips import Clip
    from ui.visitors.visitor import Visitor


class NotYetError(HermesError):
    """The metric is not available yet. The message explains what to do."""


@dataclass(frozen=True)
class Sight:
    """Data that a lesson measures.

    Attributes:
        view: Current view of the stream; None before the first start.
        info: The model; None while it loads.
        clip: The bundled clip that plays, with its ground truth; None for other sources.
    """

    view: LiveView | None = None
    info: ModelInfo | None = None
    clip: Clip | None = None

    @classmethod
    def of(cls, visitor: Visitor) -> Sight:
        """Return the current data of a visitor."""
        return cls(visitor.stream.view() if visitor.stream else None, visitor.model_info, visitor.shown_clip)

    @property
    def shot(self) -> Snapshot:
        """The current snapshot.

        Raises:
            NotYetError: No frame has been seen yet.
        """
        if self.view is None or self.view.snapshot is None or not self.view.snapshot.frames_seen:
            raise NotYetError("Nothing has been seen yet: use the button above to start the clip.")
        return self.view.snapshot

    @property
    def answer(self) -> AnswerTrace:
        """The last answer.

        Raises:
            NotYetError: There is no answer yet.
        """
        trace = self.shot.answer
        if trace is None:
            raise NotYetError("No question has been answered yet: use the button above to ask.")
        return trace

    @property
    def model(self) -> ModelInfo:
        """The model.

        Raises:
            NotYetError: The model is still being loaded.
        """
        if self.info is None:
            raise NotYetError("The model is still being loaded.")
        return self.info


@dataclass(frozen=True)
class Figure:
    """A metric.

    Attributes:
        unit: Unit for display, see `ui.lessons.conditions.write`.
        measure: Measures it; called with `arguments` and `optional` as keyword arguments.
        arguments: Names of the required arguments.
        optional: Names of the optional arguments.
    """

    unit: str
    measure: Callable[..., Value]
    arguments: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def tier_of(tier: str | None) -> int | None:
    """Return the index of a tier, or None (all tiers) for None."""
    return None if tier is None else TIERS.index(tier)


def _event(sight: Sight, event: int) -> Any:
    if sight.clip is None or event >= len(sight.clip.events):
        raise NotYetError("The events of this clip are unknown. Start the lesson’s clip.")
    times = sight.clip.events[event]
    return metrics.during(sight.shot, float(times["start"]), float(times["end"]))


def _cards(sight: Sight) -> Any:
    """Return which frames show a card: bool [frames]."""
    shot = sight.shot
    shown = np.zeros(shot.frames_seen, bool)
    for event in sight.clip.events if sight.clip else ():
        shown |= metrics.during(shot, float(event["start"]), float(event["end"]))
    return shown


@cache
def card(folder: Path) -> Mapping[str, Any]:
    """Return the evaluation results of the bundled model (`evaluation.json`)."""
    return MappingProxyType(json.loads((folder / "evaluation.json").read_text("utf-8")))


def card_newest(sight: Sight, tier: str, ages: int) -> float:
    """Return the share of a tier's attention on frames that the newest `ages` age bins receive, with a full cache."""
    del sight
    attention = card(POCKET)["attention"]
    rows = [row for row, of in zip(attention["share"], attention["tiers"], strict=True) if TIERS[of] == tier]
    return float(np.mean([sum(row[:ages]) for row in rows])) if rows else math.nan


def card_accuracy(sight: Sight, kind: str, policy: str, budget: int | None, guidance: str | None = None) -> float:
    """Return the accuracy of the bundled model on one kind of questions, with a policy and budget."""
    del sight
    for result in card(POCKET)["results"]["policies"]:
        setup = result["setup"]
        if (setup["policy"], setup["budget"], setup["guidance"]) == (policy, budget, guidance):
            return float(result["kinds"][kind]["accuracy"])
    return math.nan


def card_loss(sight: Sight, kind: str, policy: str, budget: int, guidance: str | None = None) -> float:
    """Return the loss of `card_accuracy` compared to a full cache. Negative if the policy is more accurate."""
    return card_accuracy(sight, kind, "full", None) - card_accuracy(sight, kind, policy, budget, guidance)


@cache
def published() -> Mapping[str, Mapping[str, Any]]:
    """Return the published models of `assets/published_models.json` by id."""
    listed = json.loads((PUBLISHED_MODELS).read_text("utf-8"))["models"]
    return MappingProxyType({model["id"]: model for model in listed})


@cache
def recurrent() -> Mapping[str, Mapping[str, Any]]:
    """Return the published recurrent models by id. They have a state instead of a cache."""
    data = json.loads((PUBLISHED_MODELS).read_text("utf-8"))
    return MappingProxyType({model["id"]: model | {"note": data["about_recurrent"]} for model in data["recurrent"]})


def cost(sight: Sight, model: str, frames: int) -> float:
    """Return the cache size of a published model for a number of frames, in bytes."""
    del sight
    entry = published()[model]
    shape = CacheShape(entry["layers"], entry["kv_heads"], entry["head_dim"])
    return cache_bytes(shape, frames * entry["tokens_per_frame"], entry["dtype"])


def _first_token(sight: Sight) -> float:
    return sight.answer.first_token_seconds * 1000


def _truth(sight: Sight) -> str:
    """Return the correct answer to the last question, from the clip's ground truth at the time of the question."""
    trace, clip = sight.answer, sight.clip
    if clip is not None and not math.isnan(trace.asked_seconds):
        truth = GroundTruth(clip.events, clip.fps).answer(trace.question, trace.asked_seconds)
        if truth is not None:
            return truth.answer
    raise NotYetError("Ask the question with the button above: its true answer is known.")


def _right(sight: Sight) -> str:
    return "right" if is_right(sight.answer.answer, _truth(sight)) else "wrong"


def _recognised(sight: Sight) -> Recognised:
    """Return what the vision tower recognises in the newest frame."""
    if sight.view is None or sight.view.recognised is None:
        raise NotYetError("The vision tower of this model does not name objects, or nothing has been seen yet.")
    return sight.view.recognised


def _shown(sight: Sight) -> str:
    """Return what the clip shows at the time of the newest frame, from its ground truth."""
    now = sight.shot.seconds + 1e-3
    events = sight.clip.events if sight.clip else ()
    return next((name_of(event) for event in events if float(event["start"]) <= now < float(event["end"])), "nothing")


def _tiered(measure: Callable[..., float]) -> Callable[..., float]:
    """Return a metric of the snapshot with an optional tier."""
    return lambda sight, tier=None: measure(sight.shot, tier_of(tier))


FIGURES: Final[Mapping[str, Figure]] = MappingProxyType(
    {
        "frames_seen": Figure("count", lambda s: s.shot.frames_seen),
        "tokens_seen": Figure("count", lambda s: s.shot.tokens_seen),
        "tokens_per_frame": Figure("count", lambda s: s.shot.tokens_per_frame),
        "layers": Figure("count", lambda s: s.shot.num_layers),
        "budget": Figure("count", lambda s: s.shot.budget if s.shot.budget >= 0 else math.nan),
        "held_tokens": Figure("count", lambda s: float(s.shot.kept_per_layer.mean())),
        "cache_bytes": Figure("bytes", lambda s: s.shot.cache_bytes),
        "full_cache_bytes": Figure("bytes", lambda s: s.shot.full_cache_bytes),
        "archive_bytes": Figure("bytes", lambda s: s.shot.archive_bytes),
        "bytes_per_token": Figure("bytes", lambda s: metrics.bytes_per_token(s.shot)),
        "evicted_share": Figure("share", lambda s: metrics.evicted_share(s.shot)),
        "evictions": Figure("count", lambda s: len(s.shot.evictions)),
        "newest_share": Figure("share", _tiered(metrics.newest_share), optional=("tier",)),
        "frames_touched": Figure("share", _tiered(metrics.frames_touched), optional=("tier",)),
        "neighbour_overlap": Figure("share", _tiered(metrics.neighbour_overlap), optional=("tier",)),
        "summary_tokens": Figure("count", lambda s: metrics.summary_tokens(s.shot)),
        "summary_mass": Figure("count", lambda s: metrics.summary_mass(s.shot)),
        "largest_position": Figure("count", lambda s: metrics.largest_position(s.shot)),
        "reindexed_times": Figure("count", lambda s: metrics.reindexed_times(s.shot)),
        "held": Figure(
            "share",
            lambda s, event, tier=None: metrics.held(s.shot, _event(s, event), tier_of(tier)),
            ("event",),
            ("tier",),
        ),
        "guidance_ratio": Figure(
            "times", lambda s, tier: metrics.guidance_ratio(s.shot, _cards(s), tier_of(tier)), ("tier",)
        ),
        "prompt": Figure("text", lambda s, name: s.shot.guidance_prompts.get(name, ""), ("name",)),
        "answer": Figure("text", lambda s: s.answer.answer.strip()),
        "truth": Figure("text", _truth),
        "verdict": Figure("text", _right),
        "recognised": Figure("text", lambda s: _recognised(s).named or "nothing"),
        "recognised_confidence": Figure("share", lambda s: _recognised(s).confidence),
        "shown": Figure("text", _shown),
        "first_token_ms": Figure("ms", _first_token),
        "answer_newest_share": Figure(
            "share",
            lambda s, tier=None: metrics.answer_newest_share(s.shot, s.answer, tier_of(tier)),
            optional=("tier",),
        ),
        "answer_on": Figure(
            "share",
            lambda s, event, tier=None: metrics.answer_on(s.shot, s.answer, _event(s, event), tier_of(tier)),
            ("event",),
            ("tier",),
        ),
        "answer_border_ratio": Figure("times", lambda s: metrics.answer_border_ratio(s.shot, s.answer, ~_cards(s)), ()),
        "answer_on_prompt": Figure("share", lambda s: float(s.answer.attention_rest[:, 0].mean())),
        "answer_on_summary": Figure("share", lambda s: float(s.answer.attention_rest[:, 1].mean())),
        "state": Figure("text", lambda s: s.view.state if s.view else "empty"),
        "problem": Figure("text", lambda s: (s.view.error or "") if s.view else ""),
        "clock": Figure("seconds", lambda s: s.shot.seconds),
        "max_positions": Figure("count", lambda s: s.model.max_positions),
        "machine_bytes": Figure("bytes", lambda s: memory_bytes() if s else math.nan),
        "cost": Figure("bytes", cost, ("model", "frames")),
        "card_newest": Figure("share", card_newest, ("tier", "ages")),
        "card_loss": Figure("share", card_loss, ("kind", "policy", "budget"), ("guidance",)),
        "card_accuracy": Figure("share", card_accuracy, ("kind", "policy", "budget"), ("guidance",)),
    }
)
"""All metrics by name."""
