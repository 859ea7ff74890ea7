"""Clip mode: one call streams a clip and asks its questions, also in a separate process with pickled data."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE
from videos import noise_video

import hermes
from hermes import video
from hermes.errors import HermesError
from hermes.serving.clip_run import ClipRequest, PlannedQuestion, batches, run_clip
from hermes.video.decoder_process import fork_server
from hermes.view import StreamSettings
from ui import zerogpu

ROOT = Path(__file__).parents[3]
SETTINGS = StreamSettings(model="tiny", budget=40, fps=4)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Six seconds at 8 frames a second."""
    return str(noise_video(tmp_path_factory.mktemp("clip") / "clip.webm"))


@pytest.fixture
def request_of(clip):
    def make(*questions, **settings):
        asked = tuple(PlannedQuestion(text, at) for text, at in questions)
        return ClipRequest(clip, "A clip", StreamSettings(**{**vars(SETTINGS), **settings}), asked)

    return make


def finals(items):
    return {item.answer.index: item.answer for item in items if item.answer and item.answer.done}


def test_a_run_equals_a_session(tiny_model, request_of, clip):
    items = list(run_clip(tiny_model, request_of(("What is shown?", 2.0), ("And at the end?", None))))
    session = hermes.StreamSession(tiny_model, budget=40, chunk=16)
    frames, times = zip(*video.sample(clip, 4), strict=True)
    early = sum(at <= 2.0 for at in times)
    session.push(np.stack(frames[:early]), list(times[:early]))
    first = "".join(session.ask("What is shown?"))
    session.push(np.stack(frames[early:]), list(times[early:]))
    second = "".join(session.ask("And at the end?"))
    message = finals(items)
    assert (message[0].text, message[1].text) == (first, second)
    assert message[0].at == pytest.approx(2.0, abs=0.01)
    last = items[-1].view
    assert (last.state, last.error, last.frame_index) == ("ended", None, 23)
    np.testing.assert_array_equal(last.snapshot.kept, session.snapshot().kept)
    pictures = [number for item in items for number in item.thumbnails]
    assert pictures == list(range(24))


def test_questions_are_asked_in_the_order_of_their_times(tiny_model, request_of):
    items = list(run_clip(tiny_model, request_of(("Late?", 4.0), ("End?", None), ("Early?", 1.0), ("After?", 99.0))))
    times = [message.at for message in finals(items).values()]
    assert list(finals(items)) == [2, 0, 3, 1]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"budget": 1}, "too small"), ({"policy": "magic"}, "no policy"), ({"fps": 0.0}, "frame rate")],
)
def test_bad_settings_are_reported_not_raised(tiny_model, request_of, change, words):
    (item,) = run_clip(tiny_model, request_of(("What?", 1.0), **change))
    assert item.view.state == "failed"
    assert words in item.view.error


def test_a_bad_file_and_a_bad_question_are_reported(tiny_model, request_of, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    (item,) = run_clip(tiny_model, ClipRequest(str(text), "text", SETTINGS))
    assert item.view.state == "failed"
    items = list(run_clip(tiny_model, request_of(("x " * 3000, 1.0), ("What is shown?", 2.0))))
    message = finals(items)
    assert message[0].error
    assert "too long" in message[0].text
    assert not message[1].error
    assert items[-1].view.state == "ended"


def test_stretches_end_where_questions_are():
    frames = [(np.zeros((1, 1, 3), np.uint8), i / 2) for i in range(9)]
    assert [[at for _, at in batch] for batch in batches(frames, [1.0, 1.2], 3)] == [
        [0.0, 0.5, 1.0], [1.5, 2.0, 2.5], [3.0, 3.5, 4.0],
    ]  # fmt: skip
    assert [len(batch) for batch in batches(frames, [0.1, 2.0], 4)] == [1, 4, 4]


def in_a_fork(function, argument):
    """Run a generator as ZeroGPU does: a forked process, pickled arguments and items, no shared memory."""
    fork = multiprocessing.get_context("fork")
    arguments, items = fork.SimpleQueue(), fork.SimpleQueue()

    def work():
        for item in function(arguments.get()):
            items.put(pickle.dumps(item))
        items.put(None)

    process = fork.Process(target=work, daemon=True)
    process.start()
    arguments.put(argument)
    while (data := items.get()) is not None:
        yield pickle.loads(data)  # noqa: S301 - our own
    process.join(PATIENCE)
    assert process.exitcode == 0


def test_a_separate_process_gives_the_same(tiny_model, request_of):
    request = request_of(("What is shown?", 2.0), ("And at the end?", None))
    here, there = list(run_clip(tiny_model, request)), list(in_a_fork(zerogpu.clip_runner(tiny_model), request))
    assert [message.text for message in finals(there).values()] == [message.text for message in finals(here).values()]
    a, b = here[-1].view, there[-1].view
    assert (b.state, b.frame_index) == ("ended", a.frame_index)
    np.testing.assert_array_equal(a.snapshot.frame, b.snapshot.frame)
    np.testing.assert_array_equal(a.snapshot.answer.attention, b.snapshot.answer.attention)
    assert b.frame_jpeg == a.frame_jpeg


def test_spaces_changes_nothing_without_zero_gpu(tiny_model, request_of):
    spaces = pytest.importorskip("spaces")
    runner = zerogpu.clip_runner(tiny_model)
    assert spaces.GPU(duration=zerogpu.declared_seconds)(runner) is runner
    assert next(iter(runner(request_of()))).view.state == "playing"


def test_only_the_hubs_variable_counts():
    assert not zerogpu.is_zero_gpu({})
    assert not zerogpu.is_zero_gpu({"SPACES_ZERO_GPU": "0", "SPACE_ID": "a/b"})
    assert zerogpu.is_zero_gpu({"SPACES_ZERO_GPU": "true"})


def test_more_to_do_declares_more_seconds(request_of, clip):
    short = zerogpu.declared_seconds(request_of())
    assert short < zerogpu.declared_seconds(request_of(("What?", 1.0))) < zerogpu.MAX_SECONDS
    assert zerogpu.declared_seconds(request_of(*[("What?", 1.0)] * 100)) == zerogpu.MAX_SECONDS
    before = fork_server().requests
    known = replace(request_of(), info=video.VideoInfo(Path(clip), 6.0, 8.0, 64, 48, 0, 48))
    assert zerogpu.declared_seconds(known) == short
    assert fork_server().requests == before  # the visitor has opened the file already
    with pytest.raises(HermesError):
        zerogpu.declared_seconds(ClipRequest(clip + "x", "gone", SETTINGS))


def test_zero_gpu_without_the_package_names_what_to_install(tmp_path):
    """In a separate Python process without the package."""
    code = (
        "import sys, importlib.util as util; real = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'spaces' else real(name, *more)\n"
        "from ui import zerogpu; zerogpu.prepare()"
    )
    environment = os.environ | {"SPACES_ZERO_GPU": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode != 0
    assert b"needs the package spaces" in done.stderr
