"""The Explore tab without a browser: figures of live streams and runs, the code that reproduces them, untrusted requests."""

from __future__ import annotations

import ast
import itertools
import json
import runpy
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from synthetic_stream import SyntheticStream, recorded

import hermes
from hermes import assets
from hermes.errors import HermesError
from hermes.serving.engine import Engine, StreamSettings
from hermes.trace import read, read_lab
from ui.board.trail import MAX_BYTES, MAX_MOMENTS, Trail
from ui.explore.explorer import Explorer
from ui.explore.figures import FIGURES, MODES, NO_ANSWER, NO_FRAMES
from ui.explore.fitting import Place, fitted, wrapped
from ui.page.handlers import Handlers
from ui.runs.replay import Replay
from ui.settings.model_loader import ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor

RUN = assets.RUNS / "small-memory.hermesrun"
WIDTH, HEIGHT = 1000, 500


class Comparison:
    """The part of a visitor's lab that the tab uses: the memories of a recorded comparison at a moment."""

    def __init__(self, run=None, position=0.0):
        self.run, self.position = run, position

    def memory(self, number):
        if self.run is None or number >= len(self.run.lanes):
            raise HermesError("This memory does not exist in the lab run.")
        return self.run.lanes[number], self.position

    live = None


@pytest.fixture(scope="module")
def run():
    return read(RUN, trusted=True)


@pytest.fixture(autouse=True)
def no_window():
    """`figure.show()` in the code opens no window."""
    before, pio.renderers.default = pio.renderers.default, ""
    yield
    pio.renderers.default = before


def ask(explorer, stream, lab=None, recording="", **request):
    request = {"action": "show", "width": WIDTH, "height": HEIGHT, **request}
    return explorer.answer(request, stream, lab or Comparison(), "HERMES", recording)


def executed(code, folder):
    """Run the code that the page shows, and fit its figure as the page does."""
    (folder / "notebook.py").write_text(code, "utf-8")
    return fitted(runpy.run_path(str(folder / "notebook.py"))["figure"], Place(WIDTH, HEIGHT))


def assert_reproduced(explored, folder):
    assert explored.message["error"] == ""
    drawn = json.loads(explored.json())
    assert drawn.pop("config")["displaylogo"] is False
    assert json.loads(executed(explored.message["code"], folder).to_json()) == drawn


REQUESTS = [{"figure": "layers", "mode": mode} for mode in MODES] + [
    {"figure": "retention"},
    {"figure": "over-time", "tier": 2},
    {"figure": "attention-layers"},
    {"figure": "attention-heads", "layer": 4},
    {"figure": "history", "frame": 3},
    {"figure": "history", "frame": 3, "layer": 9},
]


def test_the_code_of_every_figure_of_a_bundled_run_draws_the_figure_of_the_page(run, tmp_path):
    assert {request["figure"] for request in REQUESTS} == set(FIGURES)
    replay, dark = Replay(run, 38.2), itertools.cycle([False, True])
    for request in REQUESTS:
        explored = ask(Explorer(), replay, dark=next(dark), **request)
        assert explored.message["error"] == ""
        assert explored.figure.layout.height == HEIGHT
        if request.get("mode", "importance") == "importance":  # reading and checking the run again takes the time
            assert_reproduced(explored, tmp_path)
    assert explored.message["code"].startswith(
        "from hermes import assets, plots, trace\n\nrun = trace.read(assets.RUNS / 'small-memory.hermesrun')\n"
    )
    layers = ask(Explorer(), replay, figure="layers").figure
    assert np.array_equal(np.nan_to_num(np.array(layers.data[0].z)), replay.view().snapshot.kept)


def test_two_moments_are_drawn_on_shared_axes_and_their_code_too(run, tmp_path):
    explorer, replay = Explorer(), Replay(run, 20.0)
    pinned = ask(explorer, replay, action="pin", compare=True, figure="layers", mode="importance")
    assert (pinned.message["compared"], pinned.message["pinned"]) == (False, pinned.message["moment"])
    assert len(pinned.figure.data) == 1
    replay.seek(38.2)
    for request in (REQUESTS[3], {"figure": "over-time"}, {"figure": "history", "frame": 3, "layer": 9}):
        both = ask(explorer, replay, compare=True, dark=True, **request)
        assert both.message["compared"]
        assert_reproduced(both, tmp_path)
        assert both.figure.layout.xaxis2.matches == "x"
        assert both.figure.layout.yaxis2.matches == "y"
    heads = ask(explorer, replay, compare=True, figure="layers", mode="answer").figure
    assert heads.layout.coloraxis.cmax == max(
        ask(explorer, Replay(run, at), figure="layers", mode="answer").figure.layout.coloraxis.cmax
        for at in (20.0, 38.2)
    )
    assert len(ask(explorer, replay, figure="layers").figure.data) == 1  # not compared
    assert ask(explorer, replay, action="unpin", compare=True).message["pinned"] == ""
    assert ask(Explorer(), replay, compare=True).message["pinned"] == ""  # another visitor has no pin


def test_two_memories_of_a_recorded_comparison_are_compared(tmp_path):
    lab = Comparison(read_lab(assets.RUNS / "first-card-side-by-side.hermesrun", trusted=True), 60.0)
    explorer = Explorer()
    first = ask(explorer, None, lab, action="pin", source="lane-0", compare=True)
    assert [source["id"] for source in first.message["sources"]] == [
        "stream", *(f"lane-{i}" for i in range(len(lab.run.lanes))),
    ]  # fmt: skip
    both = ask(explorer, None, lab, source="lane-1", compare=True, figure="layers")
    assert_reproduced(both, tmp_path)
    assert ".lanes[0]" in both.message["code"]
    assert ".lanes[1]" in both.message["code"]
    assert np.array_equal(np.nan_to_num(np.array(both.figure.data[1].z)), lab.run.lanes[1].view(60.0).snapshot.kept)
    assert ask(explorer, None, lab, source="lane-7").message["error"] == NO_FRAMES
    assert (
        ask(explorer, None, Comparison(), source="lane-1").message["error"]
        == "This memory does not exist in the lab run."
    )


@pytest.fixture(params=[False, True], ids=["plain", "hybrid"])
def live(request):
    """A stream of a model whose layers all hold tokens, and of one with linear attention in layers 0, 1 and 4."""
    stream, explorer = SyntheticStream(3, odd=request.param), Explorer()
    views = []
    for _ in range(24):
        views.append(stream.push())
        explorer.note(stream, views[-1].snapshot)
    views.append(stream.ask("What was the first card?"))
    stream.view = lambda: views[-1]
    return stream, explorer, views


def test_a_live_stream_is_reproduced_from_its_recording(live, tmp_path, monkeypatch):
    stream, explorer, views = live
    _, path = recorded(tmp_path, views, scores=stream.scores)
    monkeypatch.chdir(tmp_path)
    numbers = views[-1].snapshot.layer_numbers
    for request in REQUESTS:
        given = {**request, "layer": numbers[2]} if "layer" in request else request
        explored = ask(explorer, stream, recording=path.name, **given)
        assert explored.message["error"] == "", request
        assert f"trace.read({path.name!r})" in explored.message["code"]
        again = executed(explored.message["code"], tmp_path)
        assert [trace.type for trace in again.data] == [trace.type for trace in explored.figure.data]
        assert again.layout.yaxis.ticktext == explored.figure.layout.yaxis.ticktext
        if request["figure"] == "over-time":  # the page has seen other moments than the recording
            continue
        for ours, theirs in zip(explored.figure.data, again.data, strict=True):
            name = "z" if ours.type == "heatmap" else "y"
            assert np.allclose(
                np.array(ours[name], float), np.array(theirs[name], float), atol=0.05, rtol=0.05, equal_nan=True
            )
    assert ask(explorer, stream).message["options"]["layers"] == list(numbers)
    unsaved = ask(explorer, stream).message["code"]
    assert "# This stream is live. Press Record" in unsaved
    assert "trace.read('recording.hermesrun')" in unsaved
    ast.parse(unsaved)


def test_the_retention_over_time_of_a_live_stream_is_collected_while_it_plays(live):
    stream, explorer, views = live
    figure = ask(explorer, stream, figure="over-time").figure
    assert list(figure.data[0].x) == sorted({view.snapshot.seconds for view in views})
    kept = views[9].snapshot.kept.astype(float).mean(0) * 100 / 9
    assert np.allclose(np.nan_to_num(np.array(figure.data[0].z))[: len(kept), 9], kept)
    explorer.note(object(), replace(views[0].snapshot))  # another stream starts
    assert len(ask(explorer, stream, figure="over-time").figure.data[0].x) == 1


def test_the_collected_moments_of_a_long_stream_stay_within_their_limits(live):
    _, _, views = live
    snapshot = views[-1].snapshot
    trail = Trail()
    for frames in range(1, 3000):
        kept = np.ones((snapshot.num_layers, frames), np.uint16)
        trail.note(replace(snapshot, kept=kept, frame_times=np.arange(frames) / 2, seconds=frames / 2))
    moments = trail.until(replace(snapshot, kept=kept, frame_times=np.arange(2999) / 2))
    assert MAX_MOMENTS // 4 < len(moments) <= MAX_MOMENTS + 1
    assert sum(moment.kept.nbytes for moment in moments[:-1]) <= MAX_BYTES
    assert all(not len(moment.frame) and moment.answer is None for moment in moments)
    assert np.ptp(np.diff([moment.frames_seen for moment in moments[:-1]])) <= 1  # evenly spaced


def test_visitors_explore_their_own_runs(tmp_path):
    settings, engine = StreamSettings(model="pocket"), Engine()
    sessions = Sessions(
        lambda: Visitor(settings, ModelLoader(engine), {}, hermes.POLICIES, {}, tmp_path), Quota(), tmp_path
    )
    handlers = Handlers(sessions)
    try:
        assert handlers.explore({"n": 1}, "mine")[0]["error"] == NO_FRAMES
        uploaded = tmp_path / "my run.hermesrun"
        uploaded.write_bytes(RUN.read_bytes())
        sessions.get("mine").open_run(read(uploaded), 20.0, play=False)
        message, figure = handlers.explore({"n": 2, "action": "pin", "compare": True}, "mine")
        assert (message["n"], message["error"], message["pinned"]) == (2, "", message["moment"])
        assert json.loads(figure)["data"][0]["type"] == "heatmap"
        assert "# Enter the path of your file.\nrun = trace.read('my run.hermesrun')" in message["code"]
        message, figure = handlers.explore({"n": 1, "compare": True}, "theirs")
        assert (message["error"], message["pinned"], figure) == (NO_FRAMES, "", None)
        sessions.get("mine").close()
        assert handlers.explore({"n": 3}, "mine")[0]["pinned"] == ""
    finally:
        engine.close()


def test_a_message_states_what_a_moment_lacks(run):
    stream = SyntheticStream(1)
    view = stream.push()
    stream.view = lambda: view
    for request, sentence in [
        ({"figure": "attention-layers"}, NO_ANSWER),
        ({"figure": "attention-heads"}, NO_ANSWER),
        ({"figure": "layers", "mode": "answer"}, NO_ANSWER),
        ({"figure": "layers", "mode": "importance"}, "Nothing was evicted up to this moment"),
        ({"figure": "history"}, "No eviction is recorded between frame 0 and this moment"),
    ]:
        explored = ask(Explorer(), stream, **request)
        assert explored.message["error"].startswith(sentence)
        assert explored.figure is None
        assert explored.message["options"]["frames"] == 1  # the controls work nevertheless
    assert ask(Explorer(), None).message["error"] == NO_FRAMES
    window = Replay(read(assets.RUNS / "first-card-window.hermesrun", trusted=True), 60.0)
    output = ask(Explorer(), window, figure="layers", mode="guidance").message["error"]
    assert output.startswith("The policy “Sliding window” does not measure guidance attention.")
    explorer, replay = Explorer(), Replay(run, 1.0)
    ask(explorer, replay, action="pin")
    replay.seek(38.2)
    both = ask(explorer, replay, compare=True, figure="attention-layers").message["error"]
    assert both.startswith(f"The pinned moment ({run.title}")


@pytest.mark.parametrize("value", [None, "x" * 5000, -1, 10**30, float("nan"), True, [], {}, "<b>"])
def test_requests_are_untrusted(run, value):
    names = ["action", "source", "figure", "mode", "layer", "frame", "tier", "compare", "dark", "width", "height"]
    names += ["touch", "n"]
    explored = Explorer().answer(dict.fromkeys(names, value), Replay(run, 38.2), Comparison(), "HERMES", "")
    assert explored.message["error"] == ""
    json.dumps(explored.message, allow_nan=False)
    assert 280 <= explored.figure.layout.height <= 2400


def test_texts_of_a_file_are_no_markup_and_its_name_no_code(tmp_path):
    name = "a'); raise SystemExit ('.hermesrun"
    (tmp_path / name).write_bytes(RUN.read_bytes())
    hostile = read(tmp_path / name)
    hostile.head = replace(hostile.head, title="<b>bold</b>", policy={**hostile.head.policy, "title": "<a href='x'>"})
    explorer, replay = Explorer(), Replay(hostile, 20.0)
    ask(explorer, replay, action="pin")
    replay.seek(38.2)
    explored = ask(explorer, replay, compare=True, figure="layers", mode="answer")
    assert not any("<b>" in note.text or "<a" in note.text for note in explored.figure.layout.annotations)
    calls = [node.func for node in ast.walk(ast.parse(explored.message["code"])) if isinstance(node, ast.Call)]
    assert {call.attr for call in calls} == {"read", "view", "layers_by_frames", "side_by_side", "show"}
    assert not any(isinstance(node, ast.Raise) for node in ast.walk(ast.parse(explored.message["code"])))


def test_a_very_long_stream_shows_several_frames_in_each_column(run):
    snapshot, frames = run.view(38.2).snapshot, 50_000
    kept = np.ones((snapshot.num_layers, frames), np.uint16)
    view = replace(
        run.view(38.2), snapshot=replace(snapshot, kept=kept, frame_times=np.arange(frames) / 2.0, answer=None)
    )
    stream = SyntheticStream(1)
    stream.view = lambda: view
    for request in ({"figure": "layers"}, {"figure": "retention"}, {"figure": "over-time"}):
        explored = ask(Explorer(), stream, **request)
        assert explored.message["error"] == ""
        assert "columns=1000" in explored.message["code"]
        assert len(explored.json()) < 3_000_000
    assert np.array(ask(Explorer(), stream).figure.data[0].z).shape == (snapshot.num_layers, 1000)


def test_figures_fit_narrow_places(run):
    explored = ask(Explorer(), Replay(run, 38.2), width=330, height=520, touch=True, figure="layers", mode="importance")
    layout = explored.figure.layout
    assert layout.coloraxis.colorbar.orientation == "h"
    assert layout.dragmode is False  # a finger scrolls the page
    assert not layout.annotations
    assert all(len(line) < 42 for line in layout.title.text.split("<br>"))
    assert layout.margin.t + layout.margin.b < 300
    explorer, replay = Explorer(), Replay(run, 20.0)
    ask(explorer, replay, action="pin")
    replay.seek(38.2)
    stacked = ask(explorer, replay, compare=True, width=330, height=960, figure="retention").figure
    assert stacked.layout.yaxis.domain[0] > stacked.layout.yaxis2.domain[1]
    assert isinstance(stacked, go.Figure)
    assert wrapped("one two three four five six", 160) == "one two three four<br>five six"
