"""The engine: streams take turns, answers and frames interleave, and nothing is lost."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import tiny
from invariants import check_answer
from patience import PATIENCE, until
from tiny_streams import SETTINGS, engine_of, picture, pushed
from videos import noise_video

import hermes
from hermes import video
from hermes.errors import HermesError
from hermes.policies.limits import reserve
from hermes.serving import slots
from hermes.serving.engine import BusyError, Engine, StreamSettings
from hermes.serving.scheduling import CONTENDED_CHUNK, Work


@pytest.fixture
def engine(tiny_model, short_range_model):
    with engine_of({"tiny": tiny_model, "short": short_range_model}) as engine:
        engine.load("tiny")
        yield engine


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Six seconds at 8 frames a second."""
    return noise_video(tmp_path_factory.mktemp("clip") / "clip.webm")


def check_answer_of(stream, question):
    message = "".join(stream.ask(question))
    check_answer(stream.view().snapshot, message, question)


def test_a_clip_is_seen_whole(engine, clip, tiny_model):
    stream = engine.open(SETTINGS)
    assert stream.view().state == "empty"
    stream.play(clip, "A clip")
    until(lambda: stream.view().state == "ended")
    view = stream.view()
    assert (view.source, view.dropped, view.skipped, view.error) == ("A clip", 0, 0, None)
    assert view.snapshot.frames_seen == 24
    assert view.frame_index == 23
    assert view.clock == pytest.approx(5.75, abs=0.2)
    assert view.frame_jpeg.startswith(b"\xff\xd8")
    assert set(stream.thumbnails(range(40))) == set(range(24))
    # The same frames through the library give the same memory.
    session = hermes.StreamSession(tiny_model, budget=40)
    frames, times = zip(*video.sample(clip, 4), strict=True)
    session.push(np.stack(frames), list(times))
    np.testing.assert_array_equal(session.snapshot().frame_times, view.snapshot.frame_times)
    stream.close()


def test_answers_arrive_while_frames_continue(engine, clip):
    stream = engine.open(SETTINGS)
    stream.play(clip)
    until(lambda: stream.view().snapshot is not None and stream.view().snapshot.frames_seen > 0)
    answer = "".join(stream.ask("What is shown?"))
    view = stream.view()
    assert view.snapshot.answer.question == "What is shown?"
    assert view.snapshot.answer.answer == answer.strip()
    assert view.first_token_ms > 0
    until(lambda: stream.view().state == "ended")
    assert stream.view().snapshot.frames_seen == 24


def test_one_answer_at_a_time_and_stopping_it(engine, clip):
    stream = engine.open(SETTINGS)
    stream.play(clip)
    until(lambda: stream.view().state == "ended")
    pieces = stream.ask("What is shown?")
    with pytest.raises(HermesError, match="still being answered"):
        stream.ask("And now?")
    stream.stop_answer()
    list(pieces)
    until(lambda: not stream.view().answering)
    check_answer_of(stream, "And now?")


def test_questions_before_the_first_frame(engine):
    stream = engine.open(SETTINGS)
    with pytest.raises(HermesError, match="Nothing has been seen"):
        stream.ask("What is shown?")
    with pytest.raises(HermesError, match="nothing to restart"):
        stream.restart()


def test_pause_stops_the_clock_and_resume_continues(engine, clip):
    stream = engine.open(StreamSettings(model="tiny", budget=40, fps=4, speed=8))
    stream.play(clip)
    until(lambda: stream.view().snapshot.frames_seen >= 3)
    stream.pause()
    seen = sum(pushed(stream))
    stream._source._inbox.append((picture(0), stream.view().clock + 0.1))  # a frame that was due before the pause
    other = engine.open(stream.settings)
    other.play(clip)
    until(lambda: other.view().state == "ended")
    assert sum(pushed(stream)) == seen < 24, "no frame is read after the pause, also none that waits"
    stream._source._inbox.pop()
    assert stream.view().state == "paused"
    stream.resume()
    until(lambda: stream.view().state == "ended")
    assert stream.view().snapshot.frames_seen == 24
    stream.restart()
    assert stream.view().state == "playing"
    until(lambda: stream.view().state == "ended")
    assert stream.view().snapshot.frames_seen == 24


def test_stop_keeps_the_memory(engine, clip):
    stream = engine.open(StreamSettings(model="tiny", budget=40, fps=4, speed=4))
    stream.play(clip)
    until(lambda: stream.view().snapshot.frames_seen >= 3)
    stream.stop()
    assert stream.view().state == "ended"
    check_answer_of(stream, "What was shown?")


def test_two_streams_at_once_do_not_mix(engine, clip):
    streams = [engine.open(SETTINGS) for _ in range(2)]
    answers = {}

    def visit(i):
        streams[i].play(clip, f"visitor {i}")
        until(lambda: streams[i].view().state == "ended")
        answers[i] = "".join(streams[i].ask("What is shown?"))

    threads = [threading.Thread(target=visit, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    views = [stream.view() for stream in streams]
    np.testing.assert_array_equal(views[0].snapshot.frame_times, views[1].snapshot.frame_times)
    assert [view.source for view in views] == ["visitor 0", "visitor 1"]
    assert set(answers) == {0, 1}
    streams[0].close()
    assert streams[1].view().snapshot.frames_seen == 24


def test_settings_apply_from_the_next_chunk_on(engine, clip):
    stream = engine.open(SETTINGS)
    stream.play(clip)
    until(lambda: stream.view().state == "ended")
    message = stream.change(StreamSettings(model="tiny", policy="sliding-window", budget=20, fps=4, speed=float("inf")))
    assert any("next chunk" in sentence for sentence in message)
    assert stream.view().snapshot.frames_seen == 24
    with pytest.raises(HermesError, match="too small"):
        stream.change(StreamSettings(model="tiny", budget=1))
    assert stream.settings.budget == 20
    with pytest.raises(HermesError, match="frame rate"):
        stream.change(StreamSettings(model="tiny", fps=0))
    with pytest.raises(HermesError, match="not loaded"):
        stream.change(StreamSettings(model="short"))
    engine.load("short")
    message = stream.change(StreamSettings(model="short", budget=20, fps=4, speed=float("inf")))
    assert any("restarts with" in sentence for sentence in message)
    until(lambda: stream.view().state == "ended")


def almost_full(engine, model):
    """A camera stream that retains all tokens, and the number of frames that it has seen: a few more fit."""
    engine.load("short")
    stream = engine.open(StreamSettings(model="short", policy="full"))
    stream.camera()
    seen = (model.max_positions - reserve(model) // 2) // model.tokens_per_frame - 7
    with stream._lock:
        stream._memory.push([(np.zeros((8, 8, 3), np.uint8), float(i)) for i in range(seen)])
    return stream, seen


def test_a_full_cache_fails_with_a_message_and_can_be_asked(engine, short_range_model):
    stream, seen = almost_full(engine, short_range_model)
    for i in range(seen, short_range_model.max_positions // short_range_model.tokens_per_frame + 1):
        stream.offer(np.zeros((8, 8, 3), np.uint8), float(i))
        until(lambda n=i: stream.view().error or stream.view().snapshot.frames_seen == n + 1)
        if stream.view().error:
            break
    assert stream.view().state == "failed"
    assert "memory is full" in stream.view().error
    check_answer_of(stream, "What was shown?")


def test_an_answer_in_progress_continues_when_no_more_frames_fit(engine, short_range_model):
    stream, seen = almost_full(engine, short_range_model)
    most = seen + 7
    while True:
        with stream._lock:  # question and frame are pending at the same time, so they alternate
            pieces = stream.ask("What was shown?")
            stream.offer(np.zeros((8, 8, 3), np.uint8), float(seen))
        text = "".join(pieces)
        until(lambda n=seen: stream.view().error or stream.view().snapshot.frames_seen == n + 1)
        assert stream.view().snapshot.answer.answer == text, "never an error in place of the answer"
        if stream.view().error:
            break
        seen += 1
        assert seen <= most
    assert "memory is full" in stream.view().error


def test_there_is_room_for_so_many(engine):
    streams = [engine.open(SETTINGS) for _ in range(3)]
    with pytest.raises(HermesError, match="All live slots are busy"):
        engine.open(SETTINGS)
    streams[0].close()
    engine.open(SETTINGS)


def test_a_stream_that_has_ended_frees_its_slot_and_can_be_asked(engine, clip, monkeypatch):
    freed = []
    engine.on_free(lambda: freed.append(engine.free_slots))
    first, *others = [engine.open(SETTINGS) for _ in range(3)]
    first.play(clip)
    until(lambda: first.view().state == "ended")
    until(lambda: freed == [1])
    fourth = engine.open(SETTINGS)
    check_answer_of(first, "What was shown?")
    with pytest.raises(BusyError):
        first.restart()
    assert first.view().snapshot.frames_seen == 24, "its memory is unchanged"
    others[0].camera()
    others[0].stop()
    first.restart()
    until(lambda: first.view().state == "ended")
    fourth.camera()
    fourth.pause()
    fourth.yield_slot()
    assert engine.free_slots == 2
    others[1].camera()
    engine.open(SETTINGS)
    engine.open(SETTINGS)
    with pytest.raises(BusyError):
        fourth.resume()
    assert fourth.view().state == "paused"
    monkeypatch.setattr(slots, "FINISHED_BYTES", 0)
    until(lambda: first.freed)
    view = first.view()
    assert (view.snapshot.frames_seen, "was freed for other visitors" in view.error) == (24, True)
    with pytest.raises(HermesError, match="was freed for other visitors"):
        first.ask("What was shown?")


def test_bad_sources_leave_the_stream_as_it_was(engine, clip, tmp_path):
    stream = engine.open(SETTINGS)
    stream.play(clip, "A clip")
    until(lambda: stream.view().state == "ended")
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    with pytest.raises(HermesError):
        stream.play(text)
    assert stream.view().source == "A clip"
    assert stream.view().snapshot.frames_seen == 24
    with pytest.raises(HermesError, match="There is no model"):
        engine.load("nothing")
    assert [m.name for m in engine.models()] == ["tiny"]


def test_switching_the_model_does_not_disturb_others(tiny_model, tmp_path, clip):
    """While one visitor's model loads and then takes over, another's frames and answer are not affected."""
    other = hermes.load(tiny.llava_onevision(tmp_path, seed=1), device="cpu")
    go_on = threading.Event()

    def loader(name, progress):  # noqa: ARG001 - as the engine calls it
        if name == "other":
            assert go_on.wait(PATIENCE)
        return {"tiny": tiny_model, "other": other}[name]

    engine = Engine(loader=loader)
    engine.load("tiny")
    roomy = replace(SETTINGS, budget=1000)  # nothing is evicted, so it does not matter which frames share a chunk
    stays, switches = engine.open(roomy), engine.open(roomy)
    switches.play(clip)
    loading = threading.Thread(target=engine.load, args=("other",))
    loading.start()
    stays.play(clip)  # all of it while the other model loads
    until(lambda: stays.view().state == "ended" and switches.view().state == "ended")
    asked = stays.ask("What was shown?")
    go_on.set()
    loading.join(PATIENCE)
    message = switches.change(replace(roomy, model="other"))
    assert any("restarts with" in sentence for sentence in message)
    pieces = list(asked)
    until(lambda: switches.view().state == "ended")
    alone = engine.open(roomy)
    alone.play(clip)
    until(lambda: alone.view().state == "ended")
    assert "".join(alone.ask("What was shown?")) == "".join(pieces)
    np.testing.assert_array_equal(alone.view().snapshot.frame, stays.view().snapshot.frame)
    assert (stays.view().snapshot.model, switches.view().snapshot.model) == (tiny_model.card.name, other.card.name)
    engine.close()


def test_answers_have_priority_and_no_stream_starves(engine, clip, monkeypatch):
    """Everything waits while the worker is held; then the order of the steps is observed."""
    streams = [engine.open(replace(SETTINGS, chunk=16)) for _ in range(2)]
    for stream in streams:
        stream.play(clip)
        until(lambda stream=stream: stream.view().state == "ended")
    held, go_on, steps, sizes = threading.Event(), threading.Event(), [], []

    class Plug:
        done = False

        def work(self):
            return Work(answer=not self.done)

        def step(self, kind, *, contended):  # noqa: ARG002 - as the engine calls it
            held.set()
            self.done = go_on.wait(PATIENCE)
            return True

        def fail(self, error):
            raise error

        def close(self):
            """Nothing to free."""

    def observed(self, choice, step=Engine._step):
        if choice.key not in streams:
            return step(self, choice)
        before = choice.key._memory.session.stats.frames_seen
        done = step(self, choice)
        steps.append((streams.index(choice.key), choice.kind))
        if choice.contended and choice.kind == "frames":
            sizes.append(choice.key._memory.session.stats.frames_seen - before)
        return done

    plug = Plug()
    engine.enter(plug)
    assert held.wait(PATIENCE)
    monkeypatch.setattr(Engine, "_step", observed)
    answers = [stream.ask("What was shown?") for stream in streams]
    with streams[0]._source._room:
        streams[0]._source.state = "playing"
        streams[0]._source._inbox.extend((np.zeros((48, 64, 3), np.uint8), 10.0 + i) for i in range(40))
    go_on.set()
    for pieces in answers:
        list(pieces)
    until(lambda: streams[0].view().snapshot.frames_seen == 64 and not engine._streams[0].work())
    engine.forget(plug)
    answered = [stream for stream, kind in steps if kind == "answer"]
    assert steps[0][1] == "answer"
    assert set(answered[:2]) == {0, 1}, "the second question is started before the first is continued"
    first_frames = next(i for i, (_, kind) in enumerate(steps) if kind == "frames")
    last_answer = max(i for i, (_, kind) in enumerate(steps) if kind == "answer")
    assert first_frames < last_answer, "frames keep a share while answers wait"
    assert sizes
    assert max(sizes) <= CONTENDED_CHUNK
    for stream in streams:
        stream.close()
