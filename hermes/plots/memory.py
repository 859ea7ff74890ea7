"""Figures of what a memory holds: by layer and frame, over time, and for one frame."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from hermes.plots.axes import binned, frame_cells, layer_rows, numbers_of, row_of
from hermes.plots.theme import DASHES, Palette, PlotError, colour_bar, palette, plain, styled
from hermes.snapshot import TIERS, VISION, Snapshot

if TYPE_CHECKING:
    from hermes.analysis.token_history import TokenHistory
    from hermes.trace import Run

Array = npt.NDArray[np.float64]

MODES: Final = {
    "kept": ("Tokens of each frame that each layer holds", "Tokens held"),
    "importance": ("Importance of the tokens held", "Importance, mean (0 to 1)"),
    "recency": ("Recency part of the importance", "Recency, mean (0 to 1)"),
    "guidance": ("Attention of the guidance prompt", "Share of attention (%)"),
    "answer": ("Attention of the last answer", "Share of attention (%)"),
}
"""What `layers_by_frames` can show: title of the figure, and of its colour bar."""
MAX_MOMENTS: Final = 120
MAX_PATCHES: Final = 256
"""Most patches of a frame whose scores `token_history` draws; of more, evenly chosen ones."""


def layers_by_frames(
    snapshot: Snapshot, mode: str = "kept", *, columns: int | None = None, dark: bool = False
) -> go.Figure:
    """Draw a heatmap of layers by frames at one moment.

    The heatmap's `z` is [layers, frames]; layers without tokens are left out (`Snapshot.state_layers`). It is empty (nan)
    where a layer holds nothing of a frame or nothing was measured. The colour scale of attention ends at the 99th
    percentile; the hover text shows exact values.

    Args:
        snapshot: From `StreamSession.snapshot` or a recorded run.
        mode: What the colour shows:
            "kept": tokens of the frame that the layer holds, 0 to `tokens_per_frame`;
            "importance": score at the last eviction, mean over the frame's tokens held, 0 to 1;
            "recency": the recency part of that score, mean over the same tokens, 0 to 1;
            "guidance": share of the guidance prompt's attention at that eviction, summed over the same tokens, in percent;
            "answer": share of the last answer's attention, mean over heads and decoded tokens, in percent.
        columns: Largest number of columns; longer streams show the mean of several frames in each. None: one column for each
            frame.
        dark: Draw for a dark background.

    Raises:
        PlotError: The mode is unknown, no frame was seen, or the snapshot holds no such values.
    """
    if mode not in MODES:
        raise PlotError(f"There is no mode “{mode}”. Available: {', '.join(MODES)}.")
    if snapshot.frames_seen == 0:
        raise PlotError("No frame was seen yet: push frames before taking the snapshot.")
    values, size = binned(_cells(snapshot, mode), columns)
    if mode in ("kept", "answer"):  # here 0 means that there is nothing to show
        values = np.where(values > 0, values, np.nan)
    colours = palette(dark=dark)
    heading, scale = MODES[mode]
    form = ".0f" if mode == "kept" and size == 1 else ".3f"
    times = np.broadcast_to(snapshot.frame_times[::size][: values.shape[1]], values.shape)
    frames = "frame %{x} at" if size == 1 else f"{size} frames around %{{x}}, from"
    layer_names = [_layer_name(snapshot, layer) for layer in range(snapshot.num_layers)]
    names = np.broadcast_to(np.array(layer_names)[:, None], values.shape)
    figure = go.Figure(
        go.Heatmap(
            z=values,
            **frame_cells(size),
            y0=0,
            dy=1,
            customdata=np.dstack([times.astype(object), names]),
            coloraxis="coloraxis",
            hoverongaps=False,
            hovertemplate=(
                f"%{{customdata[1]}}<br>{frames} %{{customdata[0]:.1f}} s<br>{scale}: %{{z:{form}}}<extra></extra>"
            ),
        )
    )
    top = {"kept": snapshot.tokens_per_frame, "importance": 1.0, "recency": 1.0}.get(mode)
    if top is None:
        top = float(np.nanpercentile(values, 99)) if np.isfinite(values).any() else 1.0
    bar = colour_bar(scale, colours, x=1.02 if not snapshot.tiered else 1.13)
    figure.update_layout(
        coloraxis={
            "colorscale": colours.scale,
            "cmin": 0,
            "cmax": top or 1.0,
            "colorbar": bar,
        }
    )
    figure.update_xaxes(title_text="Frame (0 is the first)", showgrid=False)
    figure.update_yaxes(**layer_rows(snapshot.layer_numbers))
    if snapshot.tiered:
        _mark_tiers(figure, snapshot, colours)
    height = 150 + max(220, min(18 * snapshot.num_layers, 560))
    return styled(figure, colours, f"{heading}, policy {plain(snapshot.policy)}", height=height)


def _layer_name(snapshot: Snapshot, layer: int) -> str:
    return f"layer {snapshot.layer_numbers[layer]}" + (f" ({TIERS[snapshot.tiers[layer]]})" if snapshot.tiered else "")


def _cells(snapshot: Snapshot, mode: str) -> Array:
    """The values of a mode [layers, frames]; nan where nothing was measured."""
    if mode == "kept":
        return snapshot.kept.astype(np.float64)
    if mode == "answer":
        if snapshot.answer is None:
            raise PlotError("The snapshot holds no answer: ask a question before taking it.")
        return 100 * snapshot.answer.attention.astype(np.float64)
    values = snapshot.guidance_attention if mode == "guidance" else getattr(snapshot, mode)
    fits = (snapshot.kind == VISION) & np.isfinite(values)
    if not fits.any():
        raise PlotError(
            f"The snapshot holds no values of {mode}: the policy “{snapshot.policy}” does not record them, or nothing was "
            "evicted yet."
        )
    layer = np.repeat(np.arange(snapshot.num_layers), np.diff(snapshot.offsets))
    shape = (snapshot.num_layers, snapshot.frames_seen)
    cell = layer[fits] * shape[1] + snapshot.frame[fits]
    count = np.bincount(cell, minlength=shape[0] * shape[1])
    total = np.bincount(cell, values[fits].astype(np.float64), minlength=shape[0] * shape[1])
    figure = 100 * total if mode == "guidance" else total / np.maximum(count, 1)
    return np.where(count > 0, figure, np.nan).reshape(shape)


def _mark_tiers(figure: go.Figure, snapshot: Snapshot, colours: Palette) -> None:
    """Name each run of layers of one tier next to the heatmap, with a bar in the tier's colour."""
    edges = [0, *(np.flatnonzero(np.diff(snapshot.tiers)) + 1).tolist(), snapshot.num_layers]
    for start, stop in itertools.pairwise(edges):
        tier = int(snapshot.tiers[start])
        colour = colours.tiers[tier]
        figure.add_shape(
            type="rect", xref="x domain", x0=1.006, x1=1.016, y0=start - 0.45, y1=stop - 0.55, fillcolor=colour, line_width=0
        )  # fmt: skip
        figure.add_annotation(
            xref="x domain", x=1.022, y=(start + stop - 1) / 2, text=TIERS[tier], showarrow=False, xanchor="left",
            textangle=0, font={"color": colours.ink, "size": 12},
        )  # fmt: skip


def retention(snapshot: Snapshot, *, columns: int | None = None, dark: bool = False) -> go.Figure:
    """Draw how much of every frame is still held, against the frame's time: one line for each tier.

    Each line's `y` is [frames], in percent of the frame's tokens, mean over the tier's layers. Policies without tiers get
    one line, the mean over all layers.

    Args:
        snapshot: The memory at one moment.
        columns: Largest number of points of a line; for longer streams, each is the mean of several frames. None: one for
            each frame.
        dark: Draw for a dark background.

    Raises:
        PlotError: No frame was seen.
    """
    if snapshot.frames_seen == 0:
        raise PlotError("No frame was seen yet: push frames before taking the snapshot.")
    colours = palette(dark=dark)
    figure = go.Figure()
    if snapshot.tiered:
        rows = snapshot.retention()
        lines = [(TIERS[tier], rows[tier], tier) for tier in sorted(set(snapshot.tiers.tolist()))]
    else:
        share = snapshot.kept.astype(np.float64) / max(snapshot.tokens_per_frame, 1)
        lines = [("all layers", share.mean(0), -1)]
    for name, row, tier in lines:
        (shares,), size = binned(100 * row[None].astype(np.float64), columns)
        frames = "frame" if size == 1 else f"{size} frames from"
        figure.add_scatter(
            x=snapshot.frame_times[::size],
            y=shares,
            name=name,
            mode="lines" if snapshot.frames_seen > 1 else "markers",
            line={
                "color": colours.tiers[tier] if tier >= 0 else colours.neutral,
                "dash": DASHES[tier] if tier >= 0 else "solid",
                "width": 2.5,
            },
            customdata=np.arange(snapshot.frames_seen)[::size],
            hovertemplate=f"{frames} %{{customdata}} at %{{x:.1f}} s<br>%{{y:.1f}} % held<extra>{name}</extra>",
        )
    figure.update_xaxes(title_text="Time of the frame (s)")
    figure.update_yaxes(title_text="Tokens still held (%)", rangemode="tozero")
    title = f"What is left of each frame after {snapshot.seconds:.0f} s, policy {plain(snapshot.policy)}"
    return styled(figure, colours, title, height=380)


def retention_over_time(
    moments: Run | Sequence[Snapshot],
    tier: int | None = None,
    *,
    until: float | None = None,
    columns: int | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw how much of every frame is held at every moment of a stream.

    The heatmap's `z` is [frames, moments], in percent of the frame's tokens, mean over the layers; nan before a frame was
    seen and where nothing of it is held. A row shows how one frame is forgotten; a column is the memory at one moment.

    Args:
        moments: A recorded run, of which at most 120 evenly chosen moments are drawn, or snapshots of one stream, oldest
            first.
        tier: Count only the layers of this tier, an index into `hermes.snapshot.TIERS`; None: all layers.
        until: Leave out moments after this stream time, in seconds.
        columns: Largest number of rows; for longer streams, each is the mean of several frames. None: one for each frame.
        dark: Draw for a dark background.

    Raises:
        PlotError: There are no moments with frames, they are of different streams, or no layer belongs to the tier.
    """
    snapshots = [shot for shot in _snapshots(moments, np.inf if until is None else until) if shot.frames_seen]
    if not snapshots:
        raise PlotError("There is no moment at which a frame was seen.")
    last = snapshots[-1]
    frames = [shot.frames_seen for shot in snapshots]
    if frames != sorted(frames) or len({shot.num_layers for shot in snapshots}) > 1:
        raise PlotError("The snapshots must be of one stream, oldest first.")
    layers = np.arange(last.num_layers) if tier is None else np.flatnonzero(last.tiers == tier)
    if tier is not None and (not last.tiered or not len(layers)):
        raise PlotError(f"The policy “{last.policy}” has no layers in tier {tier}.")
    values = np.full((len(snapshots), last.frames_seen), np.nan)
    for moment, shot in enumerate(snapshots):
        values[moment, : shot.frames_seen] = 100 * shot.kept[layers].mean(0) / max(shot.tokens_per_frame, 1)
    shares, size = binned(values, columns)
    colours = palette(dark=dark)
    figure = go.Figure(
        go.Heatmap(
            z=np.where(shares > 0, shares, np.nan).T,
            x=[shot.seconds for shot in snapshots],
            y=last.frame_times[::size],
            coloraxis="coloraxis",
            hoverongaps=False,
            hovertemplate="at %{x:.1f} s<br>frame seen at %{y:.1f} s<br>%{z:.1f} % held<extra></extra>",
        )
    )
    figure.update_layout(
        coloraxis={
            "colorscale": colours.scale, "cmin": 0, "cmax": 100,
            "colorbar": colour_bar("Tokens of the frame held (%)", colours),
        }
    )  # fmt: skip
    figure.update_xaxes(title_text="Stream time (s)", showgrid=False)
    figure.update_yaxes(title_text="Time of the frame (s)", showgrid=False)
    where = "all layers" if tier is None else f"{TIERS[tier]} layers"
    title = f"How frames are forgotten, {where}, policy {plain(last.policy)}"
    return styled(figure, colours, title, height=460)


def _snapshots(moments: Run | Sequence[Snapshot], until: float) -> list[Snapshot]:
    if isinstance(moments, Sequence):
        return [shot for shot in moments if not shot.seconds > until]
    count = bisect_right(moments.times, until)
    if not count:
        return []
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_MOMENTS)).round().astype(int))
    views = (moments.moment(int(index)) for index in chosen)
    return [view.snapshot for view in views if view.snapshot is not None]


def token_history(
    history: TokenHistory,
    layer: int | None = None,
    layer_numbers: Sequence[int] | None = None,
    *,
    columns: int | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw what became of one frame's tokens at every eviction since the frame was seen.

    Without a layer, a heatmap whose `z` is [layers, evictions]: tokens of the frame that each layer held after the eviction,
    nan where none. With a layer, the score of each patch before every eviction (one line per patch, at most `MAX_PATCHES`,
    0 to 1), and the lowest score that the layer retained.

    Args:
        history: From `Run.token_history(frame)`, or from `token_history_of(session.token_history.records, frame)` in
            `hermes.analysis.token_history`.
        layer: Number of the layer to show, from 0; None: all layers.
        layer_numbers: Number in the decoder of each layer that holds tokens, from `Snapshot.layer_numbers`. None: all layers
            of the decoder hold tokens.
        columns: Largest number of evictions drawn; of more, evenly chosen ones. None: all.
        dark: Draw for a dark background.

    Raises:
        PlotError: No eviction is recorded since the frame was seen, the layer does not exist or holds no tokens, or its
            scores are not recorded.
    """
    evictions = len(history.seconds)
    if not evictions:
        raise PlotError(f"No eviction is recorded since frame {history.frame} was seen.")
    shown = np.unique(np.linspace(0, evictions - 1, min(evictions, columns or evictions)).round().astype(int))
    seconds = history.seconds[shown]
    numbers = numbers_of(len(history.held), layer_numbers)
    colours = palette(dark=dark)
    if layer is None:
        figure = go.Figure(
            go.Heatmap(
                z=np.where(history.held > 0, history.held, np.nan)[:, shown].astype(np.float64),
                x=seconds,
                y0=0,
                dy=1,
                customdata=np.broadcast_to(np.array(numbers)[:, None], (len(numbers), len(shown))),
                coloraxis="coloraxis",
                hoverongaps=False,
                hovertemplate="layer %{customdata}<br>eviction at %{x:.1f} s<br>%{z} tokens held<extra></extra>",
            )
        )
        most = float(max(history.score.shape[2], int(history.held.max()), 1))
        figure.update_layout(
            coloraxis={
                "colorscale": colours.scale, "cmin": 0, "cmax": most,
                "colorbar": colour_bar("Tokens held", colours),
            }
        )  # fmt: skip
        figure.update_xaxes(title_text="Stream time of the eviction (s)", showgrid=False)
        figure.update_yaxes(**layer_rows(numbers))
        return styled(figure, colours, f"Tokens of frame {history.frame} after each eviction", height=400)
    row = row_of(layer, numbers)
    scores = history.score[row][shown].astype(np.float64)
    if not np.isfinite(scores).any():
        raise PlotError(f"The scores of frame {history.frame} in layer {layer} are not recorded.")
    figure = go.Figure()
    scored = np.flatnonzero(np.isfinite(scores).any(axis=0))
    drawn = scored[np.unique(np.linspace(0, len(scored) - 1, min(len(scored), MAX_PATCHES)).round().astype(int))]
    for patch in drawn:
        figure.add_scatter(
            x=seconds,
            y=scores[:, patch],
            mode="lines+markers",
            name=f"patch {patch}",
            legendgroup="patches",
            showlegend=False,
            line={"color": colours.focus, "width": 1.2},
            marker={"size": 5, "color": colours.focus},
            opacity=0.65,
            hovertemplate=f"patch {patch}<br>eviction at %{{x:.1f}} s<br>score %{{y:.3f}}<extra></extra>",
        )
    of = "each patch" if len(drawn) == len(scored) else f"{len(drawn)} of {len(scored):,} patches"
    figure.data[0].update(showlegend=True, name=f"score of {of} of the frame")
    figure.add_scatter(
        x=seconds,
        y=history.cut[row][shown].astype(np.float64),
        mode="lines",
        name="lowest score retained",
        line={"color": colours.danger, "width": 2.5, "dash": "dash", "shape": "hv"},
        hovertemplate="eviction at %{x:.1f} s<br>lowest score retained %{y:.3f}<extra></extra>",
    )
    figure.update_xaxes(title_text="Stream time of the eviction (s)")
    figure.update_yaxes(title_text="Score (0 to 1)", rangemode="tozero")
    return styled(figure, colours, f"Scores of frame {history.frame} in layer {layer}", height=400)
