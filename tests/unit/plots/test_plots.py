"""The figures of `hermes.plots`: their values are the record's, in every mode, and records without values are refused."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

import hermes
from hermes import plots
from hermes.snapshot import VISION
from hermes.trace import read

ROOT = Path(__file__).parents[3]
ASSETS = ROOT / "assets"


@pytest.fixture(scope="module")
def run():
    return read(ASSETS / "runs" / "first-card-hermes.hermesrun")


@pytest.fixture(scope="module")
def snapshot(run):
    return run.moment(len(run.times) - 1).snapshot


@pytest.fixture(scope="module")
def summary():
    return json.loads((ASSETS / "lab" / "lab.json").read_text())


def _z(figure):
    return np.array(figure.data[0].z, float)


def test_importing_hermes_does_not_import_plotly():
    loaded = "print('plotly' in sys.modules)"
    code = f"import sys, hermes, hermes.trace, hermes.snapshot; {loaded}; hermes.plots; {loaded}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_the_palette_is_the_page_s():
    css = (ROOT / "ui" / "static" / "css" / "page.css").read_text()
    blocks = [dict(re.findall(r"--hl-([\w-]+): (#\w+);", part)) for part in css.split("{")[1:3]]
    for palette, page in zip((plots.LIGHT, plots.DARK), blocks, strict=True):
        assert palette.tiers == (page["sensory"], page["working"], page["longterm"])
        assert palette.ramp == tuple(page[f"ramp-{i}"] for i in range(5))
        assert (palette.background, palette.ink, palette.quiet, palette.line) == (
            page["card"], page["ink"], page["ink-3"], page["line"],
        )  # fmt: skip
        assert (palette.neutral, palette.read, palette.focus, palette.danger) == (
            page["neutral"], page["read"], page["focus"], page["danger"],
        )  # fmt: skip


def test_layers_by_frames_shows_the_tokens_kept(snapshot):
    figure = plots.layers_by_frames(snapshot)
    assert np.array_equal(np.nan_to_num(_z(figure)), snapshot.kept)
    assert np.isnan(_z(figure)[snapshot.kept == 0]).all()  # nothing held is empty, not the lowest colour
    assert figure.layout.coloraxis.cmax == snapshot.tokens_per_frame
    assert (figure.data[0].y0, figure.data[0].dy, figure.data[0].x0) == (0, 1, 0)
    assert figure.data[0].customdata[3][5][0] == snapshot.frame_times[5]
    assert {note.text for note in figure.layout.annotations} == {"sensory", "working", "long-term"}


@pytest.mark.parametrize(
    ("mode", "name", "reduce", "scale"),
    [
        ("importance", "importance", np.mean, 1),
        ("recency", "recency", np.mean, 1),
        ("guidance", "guidance_attention", np.sum, 100),
    ],
)
def test_layers_by_frames_shows_scores(snapshot, mode, name, reduce, scale):
    values = _z(plots.layers_by_frames(snapshot, mode))
    checked = 0
    for layer in range(snapshot.num_layers):
        rows = snapshot.layer(layer)
        for frame in range(0, snapshot.frames_seen, 7):
            held = rows[name][(rows["frame"] == frame) & (rows["kind"] == VISION)]
            held = held[np.isfinite(held)]
            if len(held):
                assert values[layer, frame] == pytest.approx(scale * reduce(held), rel=1e-5)
                checked += 1
            else:
                assert np.isnan(values[layer, frame])
    assert checked > 20


def test_layers_by_frames_shows_the_answer_s_attention(snapshot):
    values = _z(plots.layers_by_frames(snapshot, "answer"))
    assert np.allclose(np.nan_to_num(values), 100 * snapshot.answer.attention)


def test_attention_by_layer_adds_up(run):
    answer = run.answers[0]
    figure = plots.attention_by_layer(answer)
    bars = {bar.name: np.array(bar.y) for bar in figure.data}
    assert np.allclose(sum(bars.values()), 100, atol=0.5)
    assert np.allclose(bars["frames"], 100 * answer.attention.sum(1))
    assert np.allclose(bars["prompt"], 100 * answer.attention_rest[:, 0])
    assert np.allclose(bars["summary tokens"], 100 * answer.attention_rest[:, 1])
    assert answer.question in figure.layout.title.text


def test_attention_by_head_shows_one_layer(run):
    answer = run.answers[0]
    values = _z(plots.attention_by_head(answer, 4))
    assert np.allclose(np.nan_to_num(values), 100 * answer.attention_heads[4])
    with pytest.raises(plots.PlotError, match=f"numbered from 0 to {len(answer.attention) - 1}"):
        plots.attention_by_head(answer, len(answer.attention))


def test_markup_in_a_question_is_shown_as_text(run):
    answer = replace(run.answers[0], question="<b>Is</b> it " + "long " * 40)
    title = plots.attention_by_layer(answer).layout.title.text
    assert "&lt;b&gt;Is&lt;/b&gt;" in title
    assert len(title) < 130


def test_retention_shows_each_tier(snapshot):
    figure = plots.retention(snapshot)
    assert [line.name for line in figure.data] == ["sensory", "working", "long-term"]
    assert np.allclose([line.y for line in figure.data], 100 * snapshot.retention())
    assert np.array_equal(figure.data[0].x, snapshot.frame_times)
    assert len({line.line.dash for line in figure.data}) == 3  # not by colour alone
    plain = plots.retention(replace(snapshot, tiered=False))
    assert np.allclose(plain.data[0].y, 100 * snapshot.kept.mean(0) / snapshot.tokens_per_frame)


def test_retention_over_time_shows_every_moment(run, snapshot):
    first = run.moment(20).snapshot
    figure = plots.retention_over_time([first, snapshot])
    values = np.nan_to_num(_z(figure))
    assert values.shape == (snapshot.frames_seen, 2)
    assert np.allclose(values[: first.frames_seen, 0], 100 * first.kept.mean(0) / first.tokens_per_frame)
    assert not values[first.frames_seen :, 0].any()  # not seen yet
    assert np.allclose(values[:, 1], 100 * snapshot.kept.mean(0) / snapshot.tokens_per_frame)
    assert list(figure.data[0].x) == [first.seconds, snapshot.seconds]
    tier = np.nan_to_num(_z(plots.retention_over_time([snapshot], tier=2)))
    assert np.allclose(tier[:, 0], 100 * snapshot.retention()[2], atol=1e-4)
    whole = plots.retention_over_time(run)
    assert len(whole.data[0].x) == min(len(run.times), 120)
    with pytest.raises(plots.PlotError, match="oldest first"):
        plots.retention_over_time([snapshot, first])
    with pytest.raises(plots.PlotError, match="no moment"):
        plots.retention_over_time([])
    with pytest.raises(plots.PlotError, match="no layers in tier"):
        plots.retention_over_time([replace(snapshot, tiered=False)], tier=1)


def test_token_history_shows_tokens_and_scores(run):
    history = run.token_history(3)
    figure = plots.token_history(history)
    assert np.array_equal(np.nan_to_num(_z(figure)), history.held)
    assert np.array_equal(figure.data[0].x, history.seconds)
    layer = int(np.isfinite(history.score).any(axis=(1, 2)).nonzero()[0][-1])
    scores = plots.token_history(history, layer)
    known = np.flatnonzero(np.isfinite(history.score[layer]).any(axis=0))
    assert len(scores.data) == len(known) + 1
    assert np.array_equal(scores.data[0].y, history.score[layer, :, known[0]].astype(float), equal_nan=True)
    assert np.array_equal(scores.data[-1].y, history.cut[layer].astype(float), equal_nan=True)
    with pytest.raises(plots.PlotError, match="There is no layer 99"):
        plots.token_history(history, 99)
    with pytest.raises(plots.PlotError, match="No eviction is recorded"):
        plots.token_history(run.token_history(run.frames - 1 + 5))


def test_layers_without_tokens_are_left_out_and_the_others_keep_their_numbers(snapshot, run):
    others = tuple(number for number in range(4 * snapshot.num_layers) if number % 4 != 3)  # as in Qwen3.5
    hybrid, numbers = replace(snapshot, state_layers=others), list(range(3, 4 * snapshot.num_layers, 4))
    figure = plots.layers_by_frames(hybrid)
    assert list(figure.layout.yaxis.ticktext) == [str(number) for number in numbers]
    assert list(figure.layout.yaxis.tickvals) == list(range(len(numbers)))
    assert figure.data[0].customdata[1][0][1].startswith("layer 7")
    assert "only those with tokens" in figure.layout.yaxis.title.text
    bars = plots.attention_by_layer(hybrid.answer, hybrid.layer_numbers)
    assert list(bars.data[0].x) == list(bars.layout.xaxis.tickvals) == numbers
    assert np.array_equal(
        _z(plots.attention_by_head(hybrid.answer, 7, hybrid.layer_numbers)),
        _z(plots.attention_by_head(snapshot.answer, 1)), equal_nan=True,
    )  # fmt: skip
    history = run.token_history(3)
    held = plots.token_history(history, layer_numbers=numbers)
    assert list(held.layout.yaxis.ticktext) == [str(number) for number in numbers]
    assert "layer 11" in plots.token_history(history, 11, numbers).layout.title.text
    for draw in (lambda layer: plots.attention_by_head(hybrid.answer, layer, numbers),
                 lambda layer: plots.token_history(history, layer, numbers)):  # fmt: skip
        with pytest.raises(plots.PlotError, match=r"Layer 4 holds no tokens\. Layers with tokens: 3, 7, 11"):
            draw(4)
        with pytest.raises(plots.PlotError, match="There is no layer 99"):
            draw(99)
    with pytest.raises(plots.PlotError, match="but 2 layer numbers were given"):
        plots.attention_by_layer(hybrid.answer, (3, 7))


def test_long_streams_can_be_drawn_with_several_frames_in_a_column(run, snapshot):
    figure = plots.layers_by_frames(snapshot, columns=50)
    size = -(-snapshot.frames_seen // 50)
    assert size > 1
    starts = range(0, snapshot.frames_seen, size)
    means = np.stack([snapshot.kept[:, start : start + size].mean(1) for start in starts], axis=1)
    assert np.allclose(np.nan_to_num(_z(figure)), means)
    assert (figure.data[0].x0, figure.data[0].dx) == ((size - 1) / 2, size)
    line = plots.retention(snapshot, columns=50).data[0]
    assert list(line.x) == list(snapshot.frame_times[::size])
    assert line.y[1] == pytest.approx(100 * snapshot.retention()[0][size : 2 * size].mean())
    assert _z(plots.attention_by_head(snapshot.answer, 1, columns=50)).shape[1] <= 50
    assert _z(plots.retention_over_time([snapshot], columns=50)).shape == (len(means[0]), 1)
    assert _z(plots.token_history(run.token_history(0), columns=5)).shape[1] == 5


def test_retention_over_time_ends_at_a_moment(run):
    figure = plots.retention_over_time(run, until=30.0)
    assert max(figure.data[0].x) == max(at for at in run.times if at <= 30.0)
    with pytest.raises(plots.PlotError, match="no moment"):
        plots.retention_over_time(run, until=-1.0)


@pytest.mark.parametrize("stacked", [False, True])
def test_two_figures_share_their_axes_and_colours(run, snapshot, stacked):
    early = run.view(45.0).snapshot
    first, second = (plots.layers_by_frames(shot, "importance") for shot in (early, snapshot))
    both = plots.side_by_side(first, second, ("early", "late"), title="Importance", stacked=stacked)
    for trace, own in zip(both.data, (first, second), strict=True):
        assert np.array_equal(np.array(trace.z, float), _z(own), equal_nan=True)
    assert (both.data[0].xaxis, both.data[1].xaxis) == ("x", "x2")
    assert (both.layout.xaxis2.matches, both.layout.yaxis2.matches) == ("x", "y")
    upper, lower = both.layout.yaxis.domain, both.layout.yaxis2.domain
    left, right = both.layout.xaxis.domain, both.layout.xaxis2.domain
    assert upper[0] > lower[1] if stacked else left[1] < right[0]
    assert both.layout.title.text == "Importance"
    assert {"early", "late"} < {note.text for note in both.layout.annotations}
    assert {shape.xref for shape in both.layout.shapes} == {"x domain", "x2 domain"}
    attention = [plots.layers_by_frames(shot, "answer") for shot in (early, snapshot)]
    joined = plots.side_by_side(*attention, ("a", "b"), stacked=stacked)
    assert joined.layout.coloraxis.cmax == max(figure.layout.coloraxis.cmax for figure in attention)
    lines = plots.side_by_side(plots.retention(early), plots.retention(snapshot), ("a", "b"), stacked=stacked)
    assert sum(line.showlegend for line in lines.data) == 3  # one entry for each tier, for both figures
    with pytest.raises(plots.PlotError, match="same quantities"):
        plots.side_by_side(first, plots.layers_by_frames(snapshot, "kept"), ("a", "b"))
    assert first.layout.xaxis.domain is None  # unchanged


def test_accuracy_by_budget_shows_values_and_intervals(summary):
    figure = plots.accuracy_by_budget(summary, "first", ["sliding-window", "hermes"])
    lines = [line for line in figure.data if line.legendgroup == "policy"]
    for line, name in zip(lines, ("sliding-window", "hermes"), strict=True):
        cells = sorted((c for c in summary["cells"] if c["policy"] == name), key=lambda c: c["share"])
        values = [cell["accuracy"]["first"] for cell in cells]
        assert np.allclose(line.x, [100 * cell["share"] for cell in cells])
        assert np.allclose(line.y, [100 * v["value"] for v in values])
        assert np.allclose(np.add(line.y, line.error_y.array), [100 * v["high"] for v in values])
        assert np.allclose(np.subtract(line.y, line.error_y.arrayminus), [100 * v["low"] for v in values])
    guess = next(line for line in figure.data if line.name == "guess level")
    assert guess.y[0] == pytest.approx(100 * next(g["guess"] for g in summary["groups"] if g["id"] == "first"))
    everything = plots.accuracy_by_budget(summary)
    assert {line.legendgroup for line in everything.data} == {"guess level", "full cache", "reference", "policy"}
    assert sum(bool(line.showlegend) for line in everything.data) == 4
    with pytest.raises(plots.PlotError, match="no policy “full” with a budget"):
        plots.accuracy_by_budget(summary, policies=["full"])
    with pytest.raises(plots.PlotError, match="no group of questions “odd”"):
        plots.accuracy_by_budget(summary, "odd")


def test_differences_and_wrong_answers_show_the_summary(summary):
    figure = plots.differences(summary, 512, "all")
    titles = {cell["policy"]: cell["title"] for cell in summary["cells"]}
    rows = {titles[r["policy"]]: r for r in summary["comparisons"] if r["budget"] == 512 and r["group"] == "all"}
    shown = {name: (value, kind.name) for kind in figure.data for name, value in zip(kind.y, kind.x, strict=True)}
    assert {name: value for name, (value, _) in shown.items()} == {
        name: 100 * row["difference"] for name, row in rows.items()
    }
    for name, (_, kind) in shown.items():
        wanted = "above" if rows[name]["low"] > 0 else "below" if rows[name]["high"] < 0 else "reaches"
        assert wanted in kind
    bars = plots.wrong_answers(summary, 512)
    cells = [cell for cell in summary["cells"] if cell["budget"] == 512]
    assert np.allclose(np.sum([bar.x for bar in bars.data], axis=0), 100)
    evicted = next(bar for bar in bars.data if bar.name == "evicted")
    assert [row[0] for row in evicted.customdata] == [cell["outcomes"]["evicted"] for cell in cells]
    for draw in (plots.differences, plots.wrong_answers):
        with pytest.raises(plots.PlotError, match="budget of 7"):
            draw(summary, 7)


def test_records_without_the_values_are_refused_with_the_reason(snapshot):
    empty = replace(snapshot, frame_times=np.zeros(0), kept=snapshot.kept[:, :0])
    for draw in (plots.layers_by_frames, plots.retention):
        with pytest.raises(plots.PlotError, match="No frame was seen yet"):
            draw(empty)
    with pytest.raises(plots.PlotError, match="no mode “heat”"):
        plots.layers_by_frames(snapshot, "heat")
    with pytest.raises(plots.PlotError, match="holds no answer"):
        plots.layers_by_frames(replace(snapshot, answer=None), "answer")
    unscored = replace(snapshot, importance=np.full_like(snapshot.importance, np.nan))
    with pytest.raises(plots.PlotError, match="no values of importance"):
        plots.layers_by_frames(unscored, "importance")
    assert issubclass(plots.PlotError, hermes.HermesError)
    assert issubclass(plots.PlotError, ValueError)


@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_has_labels_and_can_be_written(run, snapshot, summary, dark):
    figures = [plots.layers_by_frames(snapshot, mode, dark=dark) for mode in plots.MODES]
    figures += [plots.retention(snapshot, dark=dark), plots.retention_over_time([snapshot], dark=dark)]
    figures += [
        plots.token_history(run.token_history(3), dark=dark),
        plots.token_history(run.token_history(3), 3, dark=dark),
    ]
    figures += [
        plots.attention_by_layer(run.answers[0], dark=dark),
        plots.attention_by_head(run.answers[0], 0, dark=dark),
    ]
    figures += [plots.differences(summary, 512, dark=dark), plots.wrong_answers(summary, 512, dark=dark)]
    figures.append(plots.accuracy_by_budget(summary, dark=dark))
    colours = plots.DARK if dark else plots.LIGHT
    for figure in figures:
        assert figure.layout.title.text
        assert figure.layout.paper_bgcolor == colours.background
        assert go.Figure(json.loads(figure.to_json())).layout.title.text == figure.layout.title.text
        assert figure.layout.title.text.split("“")[0] in figure.to_html(include_plotlyjs=False)
        assert figure.layout.xaxis.title.text or figure.layout.yaxis.title.text
        assert all(trace.hovertemplate for trace in figure.data)
