"""The figures of the Explore tab. Each is one call of `hermes.plots`, which the page evaluates and also shows as code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import hermes  # `hermes.plots`, and with it plotly, is imported on first use
from hermes.errors import HermesError
from hermes.snapshot import TIERS, VISION, Snapshot
from ui.explore.moment import ExploredMoment
from ui.untrusted import is_one_of

if TYPE_CHECKING:
    from hermes.plots import Figure

MAX_COLUMNS: Final = 1000
MAX_CELLS: Final = 200_000
"""Limits of a heatmap; longer streams are shown with several frames in each column."""
MAX_EVICTIONS: Final = 240

MODES: Final = MappingProxyType(
    {
        "kept": "Retained tokens",
        "importance": "Importance",
        "recency": "Recency part of importance",
        "guidance": "Guidance attention",
        "answer": "Attention of the answer",
    }
)
"""Modes of `hermes.plots.layers_by_frames` with the names on the page."""

NO_FRAMES: Final = "No frames yet. Press Start, or open a recording."
NO_ANSWER: Final = "There is no answer at this moment. Ask a question, or choose a moment after an answer."


@dataclass(frozen=True)
class FigureChoice:
    """What the visitor chose, with values that fit the moment.

    Attributes:
        figure: A key of `FIGURES`.
        mode: A key of `MODES`.
        layer: Number of a layer in the decoder; None: all layers.
        frame: Number of a frame.
        tier: Index into `TIERS`; None: all layers.
        dark: Whether the page is dark.
    """

    figure: str
    mode: str
    layer: int | None
    frame: int
    tier: int | None
    dark: bool


@dataclass(frozen=True)
class Argument:
    """A value, and the Python expression for it."""

    code: str
    value: Any


@dataclass(frozen=True)
class Call:
    """A call of a function of `hermes.plots`: its name, positional arguments, and keyword arguments (literals)."""

    name: str
    terms: tuple[Argument, ...]
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def code(self) -> str:
        """The call as Python code."""
        given = [term.code for term in self.terms] + [f"{name}={value!r}" for name, value in self.options]
        return f"plots.{self.name}({', '.join(given)})"

    def draw(self) -> Figure:
        """Return the figure.

        Raises:
            PlotError: The record does not hold what the figure shows.
        """
        figure: Figure = getattr(hermes.plots, self.name)(*(term.value for term in self.terms), **dict(self.options))
        return figure


@dataclass(frozen=True)
class Names:
    """Names of a moment's variables in the code: the run, the snapshot, and the lab run that the run is part of."""

    run: str
    snapshot: str
    lab: str


Make = Callable[[ExploredMoment, Snapshot, FigureChoice, Names], Call]


@dataclass(frozen=True)
class FigureKind:
    """A figure that can be chosen.

    Attributes:
        title: Its name in the list.
        about: What it shows, in one sentence.
        controls: The controls that apply to it: "mode", "layer", "every layer" (with the choice of all layers), "frame",
            "tier".
        make: Returns the call that draws it. Raises HermesError if the moment does not hold what it shows.
    """

    title: str
    about: str
    controls: tuple[str, ...]
    make: Make


def read_choice(request: Mapping[str, Any], snapshot: Snapshot) -> FigureChoice:
    """Return the choice in a request of the browser. Values that do not fit the moment are replaced by defaults."""
    figure = str(request["figure"]) if is_one_of(request.get("figure"), FIGURES) else next(iter(FIGURES))
    layer, frame, tier = (_whole(request.get(name)) for name in ("layer", "frame", "tier"))
    numbers = snapshot.layer_numbers
    chosen: int | None = layer if layer in numbers else None
    if "layer" in FIGURES[figure].controls and chosen is None:
        chosen = numbers[-1] if numbers else 0
    last = max(snapshot.frames_seen - 1, 0)
    return FigureChoice(
        figure=figure,
        mode=str(request["mode"]) if is_one_of(request.get("mode"), MODES) else "kept",
        layer=chosen,
        frame=min(max(frame or 0, 0), last),
        tier=tier if snapshot.tiered and tier in snapshot.tiers.tolist() else None,
        dark=request.get("dark") is True,
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def call_of(moment: ExploredMoment, choice: FigureChoice, names: Names) -> Call:
    """Return the call that draws the chosen figure of a moment.

    Raises:
        HermesError: The moment does not hold what the figure shows; the message says what is missing.
    """
    snapshot = moment.snapshot
    if snapshot is None or not snapshot.frames_seen:
        raise HermesError(NO_FRAMES)
    return FIGURES[choice.figure].make(moment, snapshot, choice, names)


def _options(choice: FigureChoice, columns: int | None = None, **more: Any) -> tuple[tuple[str, Any], ...]:
    options = {**more, "columns": columns, "dark": choice.dark or None}
    return tuple((name, value) for name, value in options.items() if value is not None)


def _columns(rows: int, frames: int) -> int | None:
    """Largest number of columns for a heatmap with `rows`; None if all frames fit."""
    most = max(min(MAX_COLUMNS, MAX_CELLS // max(rows, 1)), 10)
    return most if frames > most else None


def _numbers(snapshot: Snapshot, names: Names) -> Argument | None:
    """The layer numbers, for models that have layers without tokens."""
    return Argument(f"{names.snapshot}.layer_numbers", snapshot.layer_numbers) if snapshot.state_layers else None


def _some(*terms: Argument | None) -> tuple[Argument, ...]:
    return tuple(term for term in terms if term is not None)


def _layers(moment: ExploredMoment, snapshot: Snapshot, choice: FigureChoice, names: Names) -> Call:
    mode = choice.mode
    if mode == "answer":
        _require_answer(snapshot)
    elif mode != "kept":
        _require_scores(moment, snapshot, mode)
    columns = _columns(snapshot.num_layers, snapshot.frames_seen)
    terms = (Argument(names.snapshot, snapshot), Argument(repr(mode), mode))
    return Call("layers_by_frames", terms, _options(choice, columns))


def _require_scores(moment: ExploredMoment, snapshot: Snapshot, mode: str) -> None:
    if not snapshot.evictions:
        raise HermesError(
            "Nothing was evicted up to this moment, so no importance was measured. Choose a later moment or a smaller "
            "budget."
        )
    values = snapshot.guidance_attention if mode == "guidance" else getattr(snapshot, mode)
    if not np.isfinite(values[snapshot.kind == VISION]).any():
        measured = {"importance": "importance", "recency": "recency", "guidance": "guidance attention"}[mode]
        raise HermesError(f"The policy “{moment.policy}” does not measure {measured}. Choose “{MODES['kept']}”.")


def _require_answer(snapshot: Snapshot) -> None:
    if snapshot.answer is None:
        raise HermesError(NO_ANSWER)


def _attention_by_layer(_: ExploredMoment, snapshot: Snapshot, choice: FigureChoice, names: Names) -> Call:
    _require_answer(snapshot)
    terms = _some(Argument(f"{names.snapshot}.answer", snapshot.answer), _numbers(snapshot, names))
    return Call("attention_by_layer", terms, _options(choice))


def _attention_by_head(_: ExploredMoment, snapshot: Snapshot, choice: FigureChoice, names: Names) -> Call:
    _require_answer(snapshot)
    answer = snapshot.answer
    heads = 0 if answer is None else answer.attention_heads.shape[1]
    terms = _some(
        Argument(f"{names.snapshot}.answer", answer),
        Argument(repr(choice.layer), choice.layer),
        _numbers(snapshot, names),
    )
    return Call("attention_by_head", terms, _options(choice, _columns(heads, snapshot.frames_seen)))


def _retention(_: ExploredMoment, snapshot: Snapshot, choice: FigureChoice, names: Names) -> Call:
    columns = _columns(len(TIERS), snapshot.frames_seen)
    return Call("retention", (Argument(names.snapshot, snapshot),), _options(choice, columns))


def _over_time(moment: ExploredMoment, snapshot: Snapshot, choice: FigureChoice, names: Names) -> Call:
    past: Any = moment.run if moment.run is not None else moment.moments
    columns = _columns(1, snapshot.frames_seen)
    options = _options(choice, columns, tier=choice.tier, until=moment.seconds)
    return Call("retention_over_time", (Argument(names.run, past),), options)


def _history(moment: ExploredMoment, snapshot: Snapshot, choice: FigureChoice, names: Names) -> Call:
    history = moment.token_history(choice.frame)
    if not len(history.seconds):
        raise HermesError(
            f"No eviction is recorded between frame {choice.frame} and this moment. Choose an earlier frame or a "
            "later moment."
        )
    columns = MAX_EVICTIONS if len(history.seconds) > MAX_EVICTIONS else None
    term = Argument(f"{names.run}.token_history({choice.frame}, {moment.seconds!r})", history)
    numbers = _numbers(snapshot, names)
    layer = Argument(repr(choice.layer), choice.layer) if choice.layer is not None or numbers else None
    return Call("token_history", _some(term, layer, numbers), _options(choice, columns))


FIGURES: Final[Mapping[str, FigureKind]] = MappingProxyType(
    {
        "layers": FigureKind(
            "Layers by frames",
            "Each column is a frame, each row a layer. Empty cells: the layer holds nothing of the frame.",
            ("mode",),
            _layers,
        ),
        "retention": FigureKind(
            "Retention of each frame",
            "How much of each frame is left at this moment, by tier.",
            (),
            _retention,
        ),
        "over-time": FigureKind(
            "Retention over time",
            "Each row is a frame. It starts when the frame is seen and fades as its tokens are evicted.",
            ("tier",),
            _over_time,
        ),
        "attention-layers": FigureKind(
            "Attention by layer",
            "What the last answer attended to in each layer: frames, summary tokens, prompt, and question and answer.",
            (),
            _attention_by_layer,
        ),
        "attention-heads": FigureKind(
            "Attention by head",
            "What each head of one layer attended to during the last answer, by frame.",
            ("layer",),
            _attention_by_head,
        ),
        "history": FigureKind(
            "Token history of a frame",
            "How many tokens of one frame each layer held after each eviction; with a layer, the score of each patch.",
            ("frame", "every layer"),
            _history,
        ),
    }
)
"""The figures by name, in the order of the list."""
