"""Recorded runs: they are read back unchanged, files are small, and reading needs no torch."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic_stream import EVENT, SyntheticStream, assert_same, recorded

from hermes import trace
from hermes.analysis.token_history import token_history_of
from hermes.files.limits import RUN_LIMITS
from hermes.trace import recorder as recorder_module
from hermes.trace.rounding import rounded
from hermes.video.thumbnails import jpeg
from hermes.view import StreamSettings


@pytest.mark.parametrize("odd", [False, True], ids=["usual", "odd"])
@pytest.mark.parametrize("seed", range(4))
def test_reading_gives_back_every_moment_field_by_field(tmp_path, seed, odd):
    stream = SyntheticStream(seed, odd=odd)
    views = []
    for number in range(45):
        views.append(stream.push())
        if number in (9, 30):
            views.append(stream.ask(f"What was “first” {number}?"))
    run, _ = recorded(tmp_path, views)
    assert len(run.times) == len(views)
    for number in (0, 44, 17, 16, 15, *range(len(views))):  # in any order: a block can be entered at any time
        assert_same(run.moment(number), views[number])
    assert run.view(views[20].clock).snapshot.frames_seen == views[20].snapshot.frames_seen
    assert run.view(-5).snapshot.frames_seen == 1
    assert run.view(1e9).snapshot.sequence == views[-1].snapshot.sequence
    assert [answer.question for answer in run.answers] == ["What was “first” 9?", "What was “first” 30?"]


def test_fields_that_are_filled_only_from_some_moment_on_come_back(tmp_path):
    stream = SyntheticStream(0, odd=True)
    views = [stream.push() for _ in range(20)]
    for number in range(5):
        bare = replace(views[number].snapshot, held_by=np.zeros(0, np.float32), archived=np.zeros((0, 0), np.uint16))
        views[number] = replace(views[number], snapshot=bare)
    run, _ = recorded(tmp_path, views)
    for number, view in enumerate(views):
        assert_same(run.moment(number), view)


def test_rounding_is_as_documented():
    stream = SyntheticStream(1)
    for _ in range(12):
        shot = stream.push().snapshot
    payload = rounded(shot)
    for name in ("importance", "recency"):
        wrong = np.abs(getattr(payload, name) - getattr(shot, name))
        assert np.nanmax(wrong) <= 0.5 / 254 + 1e-6
    values = shot.guidance_attention
    known = values > 1e-4  # below, float16 has larger steps
    assert np.abs(payload.guidance_attention[known] / values[known] - 1).max() <= 0.032
    assert_same(rounded(payload), payload)


def test_the_first_moments_do_not_depend_on_later_ones(tmp_path):
    stream = SyntheticStream(3)
    views = [stream.push() for _ in range(40)]
    short, _ = recorded(tmp_path, views[:20])
    whole, _ = recorded(tmp_path, views)
    for number in range(20):
        assert_same(short.moment(number).snapshot, whole.moment(number).snapshot)


def test_unchanged_views_are_skipped_and_another_memory_is_rejected():
    stream, recorder = SyntheticStream(0), trace.Recorder()
    assert recorder.add(view_without_memory())
    first = stream.push()
    assert recorder.add(first)
    assert recorder.add(first)
    assert recorder.moments == 1
    assert recorder.add(replace(first, state="paused"))
    assert recorder.moments == 2
    second = stream.push()
    assert recorder.add(second)
    assert not recorder.add(SyntheticStream(0).push())  # it began again
    assert not recorder.add(first)
    assert recorder.frames == 2


def test_a_view_with_a_newer_frame_than_its_snapshot_is_recorded(tmp_path):
    stream = SyntheticStream(0)
    views = [replace(view, frame_index=view.frame_index + 3) for view in (stream.push(), stream.push())]
    run, _ = recorded(tmp_path, views)
    assert [run.moment(i).frame_index for i in range(2)] == [run.moment(i).snapshot.frames_seen - 1 for i in range(2)]


def view_without_memory():
    view = SyntheticStream(9).push()
    return replace(view, snapshot=None, frame_jpeg=None, clock=math.nan, frame_index=-1)


def test_nothing_recorded_is_nothing_to_write(tmp_path):
    with pytest.raises(trace.TraceError, match="no frame has been seen"):
        trace.Recorder().write(tmp_path / "x.hermesrun", trace.Head())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_reported(tmp_path):
    recorder = trace.Recorder()
    recorder.add(SyntheticStream(0).push())
    with pytest.raises(trace.TraceError, match="could not be written"):
        recorder.write(tmp_path / "no" / "x.hermesrun", trace.Head())


# Size -----------------------------------------------------------------------------------------------------------------


def test_a_file_stays_below_its_limit_and_keeps_every_answer(tmp_path):
    stream, views = SyntheticStream(5), []
    for number in range(400):
        views.append(stream.push())
        if number % 50 == 7:
            views.append(stream.ask(f"Question {number}?"))
    limit = 130_000
    run, path = recorded(tmp_path, views, limit=limit)
    assert path.stat().st_size < limit
    assert run.head.thinned
    assert len(run.times) < len(views) / 2
    assert run.times[0] == views[0].clock
    assert run.times[-1] == views[-1].clock
    shown = {run.moment(i).snapshot.answer.question for i in range(len(run.times)) if run.moment(i).snapshot.answer}
    assert shown == {f"Question {number}?" for number in range(7, 400, 50)}
    known = {view.snapshot.sequence: view for view in views}
    for number in range(len(run.times)):
        moment = run.moment(number)
        assert_same(moment.snapshot, rounded(known[moment.snapshot.sequence].snapshot))


def test_pictures_shrink_together_and_come_back_as_thumbnails(tmp_path):
    stream, rng = SyntheticStream(6), np.random.default_rng(0)
    recorder = trace.Recorder(300_000)
    for _ in range(90):
        view = stream.push()
        noise = jpeg(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), 320, 60)
        recorder.add(replace(view, frame_jpeg=noise))
    path = tmp_path / "run.hermesrun"
    assert recorder.write(path, trace.Head()) < 300_000
    run = trace.read(path)
    sizes = {_width(run.picture(i)) for i in range(90) if run.picture(i)}
    assert len(sizes) == 1
    assert _width(run.thumbnails([89])[89]) <= 96
    assert run.thumbnails([5000]) == {}


@pytest.mark.parametrize(("most", "memory"), [(5, None), (500, 7)])
def test_a_recorder_is_full_after_too_many_answers(tmp_path, monkeypatch, most, memory):
    """Answers are never dropped, so their number and their memory are limited."""
    monkeypatch.setattr(recorder_module, "MAX_ANSWERS", most)
    stream = SyntheticStream(5)
    views = [stream.push(), *(stream.ask(f"Question {i}?") for i in range(12))]
    answers = [view.snapshot.answer for view in views[1:]]
    nbytes = [sum(v.nbytes for v in vars(answer).values() if isinstance(v, np.ndarray)) for answer in answers]
    recorder = trace.Recorder(memory=4 * sum(nbytes[:memory])) if memory else trace.Recorder()
    kept = sum(recorder.add(view) for view in views) - 1
    assert kept == (memory or most)
    assert recorder.full
    assert recorder._answer_bytes == sum(nbytes[:kept])
    path = tmp_path / "run.hermesrun"
    recorder.write(path, trace.Head())
    assert [answer.question for answer in trace.read(path).answers] == [f"Question {i}?" for i in range(kept)]


def test_a_recorder_is_full_when_a_stream_is_longer_than_a_file_may_be(monkeypatch, tmp_path):
    monkeypatch.setattr(recorder_module, "RUN_LIMITS", replace(RUN_LIMITS, frames=30))
    stream, recorder = SyntheticStream(5), trace.Recorder()
    views = [stream.push() for _ in range(35)]
    assert [recorder.add(view) for view in views] == [True] * 30 + [False] * 5
    recorder.write(tmp_path / "run.hermesrun", trace.Head())
    late = trace.Recorder()
    assert not late.add(views[-1])
    with pytest.raises(trace.TraceError, match="too long to be recorded"):
        late.write(tmp_path / "late.hermesrun", trace.Head())


def test_earlier_moments_stay_within_the_memory(tmp_path):
    stream = SyntheticStream(5)
    views = [stream.push() for _ in range(150)]
    recorder = trace.Recorder(memory=8 * 20 * views[-1].snapshot.kept.nbytes)
    for view in views:
        assert recorder.add(view)
    assert sum(past.nbytes for past in recorder._pasts) <= 20 * views[-1].snapshot.kept.nbytes
    recorder.write(tmp_path / "run.hermesrun", trace.Head())
    past = trace.read(tmp_path / "run.hermesrun").past(views[140].clock)
    assert past
    for kept in past:
        np.testing.assert_array_equal(kept, views[kept.shape[1] - 1].snapshot.kept)


def test_the_oldest_turns_of_a_long_conversation_are_left_out(tmp_path):
    recorder = trace.Recorder()
    recorder.add(SyntheticStream(0).push())
    turns = tuple(trace.RunTurn(f"{i} " + "é" * 3900, "x" * 3000, 0.0, 0.0) for i in range(1200))
    recorder.write(tmp_path / "run.hermesrun", trace.Head(chat=turns))
    chat = trace.read(tmp_path / "run.hermesrun").head.chat
    assert 100 < len(chat) < 1000
    assert chat[-1].question == turns[-1].question


def _width(picture: bytes) -> int:
    return cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape[1]


# Other data of a run -----------------------------------------------------------------------------------------------------


def test_a_life_is_that_of_the_live_stream(tmp_path):
    stream = SyntheticStream(7)
    views = [stream.push() for _ in range(40)]
    run, _ = recorded(tmp_path, views, scores=stream.scores)
    assert len(run.records) == len(stream.scores)
    for frame in (0, 3, 20, 39):
        live, read = token_history_of(stream.scores, frame), run.token_history(frame)
        for item in fields(live):
            one, other = getattr(read, item.name), getattr(live, item.name)
            if isinstance(other, np.ndarray):
                np.testing.assert_array_equal(one, other, err_msg=item.name)
            else:
                assert one == other, item.name
    half = run.token_history(3, views[15].clock)
    assert half.seconds.max() <= views[15].clock


def test_the_past_contains_the_earlier_moments(tmp_path):
    stream = SyntheticStream(8)
    views = [stream.push() for _ in range(60)]
    run, _ = recorded(tmp_path, views)
    past = run.past(views[30].clock)
    assert len(past) == 30
    for kept in past:
        np.testing.assert_array_equal(kept, views[kept.shape[1] - 1].snapshot.kept)


def test_the_head_comes_back(tmp_path):
    turn = trace.RunTurn("What?", "Red.", 1.0, 1.5, "done", 12.5, "HERMES", "Red circle.")
    settings = StreamSettings(
        policy="hermes", budget=96, fps=0.5, speed=math.inf, changed=(("smoothing", False), ("k", 2.5))
    )
    head = {
        "about": "<b>About</b>", "look": "Look.", "clip_id": "first-card", "machine": "2 CPU cores", "settings": settings,
        "model": {"name": "pocket", "title": "Pocket", "about": "", "parameters": 5, "device": "cpu"},
        "policy": {"name": "hermes", "title": "HERMES", "badge": "b", "about": "a"}, "chat": (turn,),
        "events": (EVENT,),
    }  # fmt: skip
    run, _ = recorded(tmp_path, [SyntheticStream(0).push()], **head)
    for name, value in head.items():
        assert getattr(run.head, name) == value, name
    assert (run.id, run.title, run.clip_id, run.chat) == ("a-run", "A run", "first-card", (turn,))


def test_equal_runs_are_equal_files(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    one = recorded(tmp_path / "1", [SyntheticStream(2).push()])[1]
    two = recorded(tmp_path / "2", [SyntheticStream(2).push()])[1]
    assert one.read_bytes() == two.read_bytes()


def test_a_run_is_read_without_torch(tmp_path):
    stream = SyntheticStream(4)
    views = [stream.push() for _ in range(20)]
    _, path = recorded(tmp_path, [*views, stream.ask("What?")], scores=stream.scores)
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from hermes import trace\n"
        f"run = trace.read({str(path)!r})\n"
        "assert run.view(2.0).snapshot.retention().shape == (3, run.view(2.0).snapshot.frames_seen)\n"
        "assert run.token_history(0).frame == 0 and run.thumbnails([0])\n"
        "from ui.runs.replay import Replay, state\n"
        "replay = Replay(run); replay.resume(); replay.view(); state(replay, bundled=True, startable='')\n"
        "print('read', len(run.times))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False
    )
    assert done.stdout.startswith("read 21"), done.stderr
