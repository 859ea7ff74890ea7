"""Actions of a visitor on the real engine with a tiny model, without browser and Gradio."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from patience import until

import hermes
from hermes import trace
from hermes.analysis.words import attention_of_word
from hermes.errors import HermesError
from hermes.serving.engine import Engine, StreamSettings
from ui.page.handlers import Handlers, to_json
from ui.player import payloads
from ui.player.camera_picture import small_enough
from ui.player.clips import Clip, read_clips
from ui.player.conversation import ANSWERS_WITH_WORDS, MOST_WAITING, ChatTurn
from ui.player.payloads import GENERAL
from ui.player.source import Source
from ui.runs.stream_recorder import StreamRecording
from ui.settings.model_loader import Loading, ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A clip of 20 seconds whose frames differ."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for i in range(200):
        frame = np.zeros((48, 64, 3), np.uint8)
        cv2.circle(frame, (5 + i % 54, 24), 8, (0, 128 + i % 100, 255), -1)
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def make(engine, tiny_folder, film):
    clips = {"film": Clip("film", film, "A film", "A ball rolls.", 20.0, (("What is shown?", 2.0),), "")}
    loader = ModelLoader(engine)
    made = []

    def new(**changes):
        settings = StreamSettings(model=str(tiny_folder), budget=64, **{"speed": 4.0, **changes})
        made.append(Visitor(settings, loader, clips, hermes.POLICIES))
        return made[-1]

    yield new
    for visitor in made:
        visitor.close()


def playing(make, least=4, **changes):
    visitor = make(**changes)
    visitor.start(visitor.source({"kind": "clip", "id": "film"}))
    until(lambda: visitor.poll(None, -1)[0]["frames"] >= least)
    return visitor


def test_a_stream_that_cannot_start_frees_its_place(tiny_folder, film, tmp_path):
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(film.read_bytes()[:100])
    engine = Engine(max_streams=1)
    loader = ModelLoader(engine)
    clips = {"film": Clip("film", film, "A film", "", 20.0, (), "")}
    visitor = Visitor(StreamSettings(model=str(tiny_folder), budget=64), loader, clips, hermes.POLICIES)
    try:
        for path in (damaged, tmp_path / "missing.mp4"):
            with pytest.raises(HermesError):
                visitor.start(Source("upload", str(path), path, "damaged"))
            assert visitor.stream is None
        visitor.start(visitor.source({"kind": "clip", "id": "film"}))
        assert visitor.stream is not None
    finally:
        visitor.close()
        engine.close()


def test_before_anything_was_started(make):
    visitor = make()
    state, board = visitor.poll(None, -1)
    assert board is None
    assert state["state"] == "empty"
    assert state["clock"] is None
    assert state["about"]["policy"]["badge"] == "original method, no training"
    last = list(visitor.ask("What is shown?"))[-1]["turns"][-1]
    assert last["state"] == "error"
    assert "Press Start" in last["answer"]


def test_a_clip_plays_and_the_board_follows(make):
    visitor = playing(make)
    state, board = visitor.poll(None, -1)
    assert state["source"] == {"kind": "clip", "id": "film", "title": "A film"}
    assert state["duration"] == pytest.approx(20, abs=0.5)
    assert state["about"]["model"]["parameters"] > 0
    assert state["chips"] == [{"text": "What is shown?", "at": 2.0}]
    assert base64.b64decode(state["frame"]["jpeg"]).startswith(b"\xff\xd8")
    assert board["base"] is None
    assert board["meta"]["layers"] == 10
    assert max(board["held"]) <= 64
    json.loads(to_json(board))


def test_a_picture_is_sent_once(make):
    visitor = playing(make)
    visitor.transport("pause")

    def is_sent_once():
        frame = visitor.poll(None, -1)[0]["frame"]
        return "frame" not in visitor.poll(None, frame["index"])[0]

    until(is_sent_once)  # a step that was under way may bring a newer one


def test_an_answer_grows_and_is_stamped(make):
    visitor = playing(make)
    messages = list(visitor.ask("What is shown?"))
    states = [message["turns"][-1]["state"] for message in messages]
    assert states[0] == "writing"
    assert states[-1] == "done"
    last = messages[-1]["turns"][-1]
    assert last["at"] >= 0
    assert last["first_ms"] > 0
    lengths = [len(message["turns"][-1]["answer"]) for message in messages]
    assert lengths == sorted(lengths)


def test_a_stopped_answer_keeps_its_text(make):
    visitor = playing(make)
    pieces = visitor.ask("What is shown?")
    next(pieces)
    before = next(pieces)["turns"][-1]["answer"]
    visitor.halt()
    last = list(pieces)[-1]["turns"][-1]
    assert last["state"] == "stopped"
    assert last["answer"].startswith(before)
    assert list(visitor.ask("And now?"))[-1]["turns"][-1]["state"] == "done"


def test_one_answer_at_a_time(make):
    visitor = playing(make)
    first = visitor.ask("What is shown?")
    next(first)
    for question in ("And now?", "And before?", "And then?"):
        (message,) = visitor.ask(question)
        assert message["turns"][-1] | {"id": 0} == turn_of(question, "waiting")
    visitor.conversation.cancel(message["turns"][-2]["id"])
    (refused,) = visitor.ask("Now or never?", wait=False)
    assert "still being written" in visitor.conversation.turn(refused["asked"])["answer"]
    visitor.conversation.cancel("no number")
    messages = list(first)
    writing = [[turn["state"] for turn in message["turns"]].count("writing") for message in messages]
    assert max(writing) == 1
    assert [message["n"] for message in messages] == sorted(message["n"] for message in messages)
    last = visitor.conversation.message()["turns"]
    assert [turn["state"] for turn in last] == ["done", "done", "cancelled", "done", "error"]
    assert all(turn["answer"] and turn["at"] is not None for turn in last if turn["state"] == "done")
    assert list(visitor.ask("Once more?"))[-1]["turns"][-1]["state"] == "done"


def turn_of(question, state):
    return vars(ChatTurn(0, question, None, "", state, policy="HERMES", stream=1))


def test_stopping_an_answer_starts_the_next(make):
    visitor = playing(make)
    first = visitor.ask("What is shown?")
    next(first)
    next(first)
    list(visitor.ask("And now?"))
    visitor.halt()
    assert [turn["state"] for turn in list(first)[-1]["turns"]] == ["stopped", "done"]


def test_the_number_of_waiting_questions_is_limited(make):
    visitor = playing(make)
    first = visitor.ask("What is shown?")
    next(first)
    for _ in range(MOST_WAITING):
        assert list(visitor.ask("And now?"))[-1]["turns"][-1]["state"] == "waiting"
    assert "are waiting already" in list(visitor.ask("And now?"))[-1]["turns"][-1]["answer"]
    first.close()  # the page lost its connection
    states = [turn["state"] for turn in visitor.conversation.message()["turns"]]
    assert states == ["stopped", *["cancelled"] * MOST_WAITING, "error"]
    assert list(visitor.ask("And now?"))[-1]["turns"][-1]["state"] == "done"


def test_clearing_empties_the_chat_and_keeps_the_memory(make):
    visitor = playing(make)
    list(visitor.ask("What is shown?"))
    second = visitor.ask("And now?")
    next(second)
    list(visitor.ask("And then?"))
    before, seen = visitor.conversation.message(), visitor.stream.view().snapshot.frames_seen
    visitor.clear_chat()
    after = visitor.conversation.message()
    assert after["turns"] == after["watched"] == []
    assert after["epoch"] != before["epoch"]
    assert visitor.stream.view().snapshot.frames_seen >= seen
    list(second)
    assert visitor.conversation.message()["turns"] == []
    assert list(visitor.ask("Once more?"))[-1]["turns"][-1]["state"] == "done"


def test_another_stream_ends_the_questions_of_the_previous_one(make):
    visitor = playing(make)
    list(visitor.ask("What is shown?"))
    (turn,) = visitor.conversation.message()["turns"]
    assert "".join(text for text, *_ in turn["words"]) == turn["answer"].strip()
    word = next(word for word in turn["words"] if word[2] > word[1])
    request = {"kind": "word", "turn": turn["id"], "first": word[1], "stop": word[2], "bin": 1}
    reply = visitor.detail(request)
    answer = visitor.stream.view().snapshot.answer
    assert (reply["layers"], reply["heads"], reply["columns"]) == answer.attention_heads.shape
    values = np.frombuffer(base64.b64decode(reply["values"]), np.uint8).reshape(answer.attention_heads.shape)
    decoded = values / 254 * np.array(reply["largest"])[:, None, None]
    np.testing.assert_allclose(decoded, attention_of_word(answer, word[1], word[2]), atol=0.003)
    for wrong in (
        {"turn": 99},
        {"turn": "x"},
        {"first": -1},
        {"stop": 99},
        {"first": True},
        {"bin": None},
        {"bin": 1.5},
    ):
        assert "no longer stored" in visitor.detail({**request, **wrong})["error"]
    assert visitor.detail({**request, "bin": -5})["columns"] == reply["columns"]
    assert visitor.detail({**request, "bin": 2**40})["columns"] == 1

    open_question = visitor.ask("And now?")
    next(open_question)
    list(visitor.ask("And then?"))
    visitor.restart()
    list(open_question)
    message = visitor.conversation.message()
    assert [turn["state"] for turn in message["turns"]] == ["done", "stopped", "cancelled"]
    assert {turn["stream"] for turn in message["turns"]} == {1}
    assert message["stream"] == 2
    assert dict(message["labels"])[2] == "Stream restarted: A film"
    assert message["watched"] == []
    assert "no longer stored" in visitor.detail(request)["error"]
    assert visitor.poll(None, -1)[0]["chat"] == visitor.conversation.place()


def test_the_attention_of_words_is_kept_for_a_few_answers(make):
    visitor = playing(make)
    for _ in range(ANSWERS_WITH_WORDS + 2):
        list(visitor.ask("What is shown?"))
    message = visitor.conversation.message()
    assert message["watched"] == [turn["id"] for turn in message["turns"]][-ANSWERS_WITH_WORDS:]


def test_a_model_of_a_toy_world_is_not_asked_about_real_videos(make, engine, monkeypatch, tiny_folder):
    toy = replace(engine.load(str(tiny_folder)), world="cards", suggested=("What was the first card?",))
    visitor = make()
    state = visitor.poll(None, -1)[0]
    assert state["chips"] == [{"text": "What is shown?", "at": 2.0}]
    visitor.choose(Source("camera", title="camera"))
    loading = Loading("", 1.0, toy)
    monkeypatch.setattr(visitor._loader, "state", lambda _: loading)
    state = visitor.poll(None, -1)[0]
    assert state["chips"] == []
    assert "only knows coloured cards" in state["advice"]["text"]
    loading = Loading("", 1.0, replace(toy, world="", suggested=()))
    assert [chip["text"] for chip in visitor.poll(None, -1)[0]["chips"]] == list(GENERAL)
    assert visitor.poll(None, -1)[0]["advice"] is None
    loading = Loading("", 1.0, toy)
    visitor.choose(visitor.source({"kind": "clip", "id": "film"}))
    assert visitor.poll(None, -1)[0]["advice"], "this clip does not show cards"
    visitor.start(Source("camera", title="camera"))
    last = list(visitor.ask("What is shown?"))[-1]["turns"][-1]
    assert "watch the memory" in last["note"]
    cards = Clip("cards", Path("cards.webm"), "Cards", "", 9.0, (("First?", 1.0),), "", world="cards")
    assert payloads.advice(Source("clip", "cards"), cards, loading) is None
    assert payloads.chips(Source("clip", "cards"), cards, loading) == [{"text": "First?", "at": 1.0}]


@pytest.mark.parametrize("question", ["", "   ", "why " * 2500])
def test_bad_questions_say_why(make, question):
    visitor = playing(make)
    last = list(visitor.ask(question))[-1]["turns"][-1]
    assert last["state"] == "error"
    assert last["answer"].endswith(".")
    assert last["question"] == question


def test_settings_report_what_applies(make):
    visitor = playing(make)
    assert visitor.change() == []
    assert "next chunk" in " ".join(visitor.change(policy="sliding-window"))
    assert visitor.poll(None, -1)[0]["about"]["policy"]["name"] == "sliding-window"
    kept = visitor.settings
    for wrong in ({"budget": 0}, {"fps": 0.0}, {"model": "/nowhere/at-all"}, {"policy": "no-such"}):
        with pytest.raises(HermesError):
            visitor.change(**wrong)
        assert visitor.settings == kept
    assert visitor.poll(None, -1)[0]["state"] == "playing"


def test_changes_are_marked_on_the_time_axis_live_and_in_a_recording(make):
    visitor = playing(make)
    visitor.record()
    until(lambda: visitor.poll(None, -1)[0]["recording"]["moments"])
    visitor.transport("pause")
    visitor.change(budget=48)
    seen = visitor.stream.view().snapshot.frames_seen  # up to date, because a change publishes it
    visitor.change(policy="sliding-window", budget=40)
    visitor.change(speed=8.0)
    first, second = visitor.poll(None, -1)[1]["marks"]
    assert first == (seen, "budget 64 → 48")
    assert second == (seen, "policy HERMES → Sliding window, budget 48 → 40")
    visitor.transport("resume")
    until(lambda: visitor.poll(None, -1)[0]["frames"] > seen)
    acknowledged = visitor.poll(None, -1)[1]["seq"]
    visitor.change(budget=32)
    message = visitor.poll(acknowledged, -1)[1]
    assert (message["base"], len(message["marks"])) == (acknowledged, 3)
    visitor.stop_recording()
    (path,) = visitor.files.path.rglob("*.hermesrun")
    run = trace.read(path)
    assert run.changes[0].before == ("hermes", 64)
    assert run.changes[-1].after[0] == "sliding-window"
    visitor.open_run(run, play=False)
    words = [text for _, text in visitor.poll(None, -1)[1]["marks"]]
    assert words[0].startswith("policy hermes → sliding-window, budget 64 → ")
    visitor.start(visitor.source({"kind": "clip", "id": "film"}))
    until(lambda: visitor.poll(None, -1)[1])
    assert "marks" not in visitor.poll(None, -1)[1], "a new memory starts without marks"


def test_a_bad_source_leaves_the_stream_as_it_was(make, tmp_path):
    visitor = playing(make)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(HermesError):
        visitor.start(Source("upload", str(text), text, "text.mp4"))
    with pytest.raises(HermesError):
        visitor.source({"kind": "clip", "id": "../../etc/passwd"})
    with pytest.raises(HermesError):
        visitor.source({"kind": "upload", "path": "/etc/passwd"})
    assert visitor.poll(None, -1)[0]["state"] == "playing"


def test_restart_empties_the_board(make):
    visitor = playing(make, least=8)
    seq = visitor.poll(None, -1)[1]["seq"]
    visitor.restart()
    assert visitor.poll(None, -1)[0]["restarted"]
    until(lambda: visitor.poll(None, -1)[1] is not None)
    board = visitor.poll(seq, -1)[1]
    assert board is None or board["base"] is None or board["seq"] != seq + 1


def test_camera_pictures_are_checked(make):
    visitor = make()
    visitor.start(visitor.source({"kind": "camera"}))
    good = base64.b64encode(cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()).decode()
    for number, jpeg in enumerate(["", "%%%", "AAAA", "A" * 2_000_000, good], 1):
        visitor.camera_frame(jpeg, number)
    until(lambda: visitor.poll(None, -1)[0]["frames"] == 1)
    assert visitor.poll(None, -1)[0]["received"] == 5


def test_a_missing_model_is_reported(engine):
    loader = ModelLoader(engine)
    loader.preload(StreamSettings(model="/nowhere/at-all"))
    until(lambda: loader.state("/nowhere/at-all").error)
    assert "/nowhere/at-all" in loader.state("/nowhere/at-all").error


@pytest.mark.parametrize(
    ("error", "words"), [(ImportError("no module"), "internal error"), (MemoryError(), "Memory ran out")]
)
def test_a_fault_while_a_model_is_loaded_is_reported_and_it_can_be_loaded_again(error, words, tiny_model):
    faults = [error]

    def load(name, progress):  # noqa: ARG001 - as the engine calls it
        if faults:
            raise faults.pop()
        return tiny_model

    engine = Engine(loader=load)
    loader = ModelLoader(engine)
    loader.preload(StreamSettings(model="faulty"))
    until(lambda: loader.state("faulty").error)
    assert words in loader.state("faulty").error
    assert loader.ensure("faulty").name == "faulty"
    engine.close()


def test_a_recording_that_is_saved_while_its_visitor_leaves_is_deleted(make, monkeypatch):
    visitor = playing(make)
    visitor.record()
    until(lambda: visitor.poll(None, -1)[0]["recording"]["moments"])
    finish = StreamRecording.finish

    def leave_first(recording, *given):
        visitor.close()
        return finish(recording, *given)

    monkeypatch.setattr(StreamRecording, "finish", leave_first)
    visitor.stop_recording()
    assert not visitor.files.path.exists()
    with pytest.raises(HermesError):
        visitor.record()


def test_one_recording_at_a_time(make):
    visitor = playing(make, speed=1.0)
    together, begun = threading.Barrier(8), []

    def record():
        together.wait()
        with contextlib.suppress(HermesError):
            visitor.record()
            begun.append(visitor._recordings._current)

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 1
    until(lambda: visitor.poll(None, -1)[0]["recording"]["moments"])
    visitor.stop_recording()


def test_settings_that_do_not_fit_the_model_are_reported_when_it_is_loaded(engine):
    loader = ModelLoader(engine)
    loader.preload(StreamSettings(budget=3))
    until(lambda: loader.state("pocket").error)
    assert "budget" in loader.state("pocket").error
    assert loader.ensure("pocket").name == "pocket", "another budget can still be chosen"


def sessions(make, root, **quota):
    return Sessions(make, Quota(**quota), root)


def test_visitors_are_apart_counted_and_freed(make, tmp_path):
    registry = sessions(make, tmp_path, visitors=2, idle_seconds=60)
    one, two = registry.get("a"), registry.get("b")
    assert one is not two
    assert registry.get("a") is one
    with pytest.raises(HermesError, match="places are taken"):
        registry.get("c")
    with pytest.raises(HermesError):
        registry.get(None)
    one.start(one.source({"kind": "clip", "id": "film"}))
    registry.close("a")
    assert one.stream is None
    registry.close("a")
    assert len(registry) == 1
    assert registry.sweep(time.monotonic() + 59) == 0
    assert registry.sweep(time.monotonic() + 61) == 1
    assert len(registry) == 0


def test_a_stream_that_starts_after_its_tab_closed_is_not_opened(make):
    visitor = make()
    visitor.close()
    visitor.start(visitor.source({"kind": "clip", "id": "film"}))
    assert visitor.stream is None


def uploaded(root, name, data=b"x"):
    """A file as Gradio stores it: in a folder named by the hash of its content."""
    folder = root / hashlib.sha256(data).hexdigest()
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return str(folder / name)


def test_uploads_stay_inside_are_limited_and_deleted(make, tmp_path):
    registry = sessions(make, tmp_path, uploads=2)
    registry.get("a")
    paths = [registry.receive_upload("a", uploaded(tmp_path, f"{i}.mp4", b"%d" % i)) for i in range(3)]
    for path in paths[1:]:
        registry.take_upload("a", path, "clip.mp4")
    assert registry.get("a").uploads == dict.fromkeys(paths[1:], "clip.mp4")
    assert not Path(paths[0]).exists(), "the oldest makes room"
    for outside in ("/etc/passwd", str(tmp_path / ".." / "x.mp4"), str(tmp_path), paths[0]):
        with pytest.raises(HermesError, match="not uploaded here"):
            registry.take_upload("a", outside, "x")
    registry.close("a")
    assert not any(Path(path).exists() for path in paths)


def test_equal_uploads_of_two_visitors_are_independent(make, tmp_path):
    registry = sessions(make, tmp_path)
    taken = {}
    for key in ("a", "b"):
        registry.get(key)
        taken[key] = registry.receive_upload(key, uploaded(tmp_path, "clip.mp4"))
    assert taken["a"] != taken["b"]
    with pytest.raises(HermesError, match="not uploaded here"):
        registry.take_upload("b", taken["a"], "clip.mp4")
    registry.close("a")
    assert not Path(taken["a"]).exists()
    assert Path(taken["b"]).read_bytes() == b"x"
    registry.take_upload("b", taken["b"], "clip.mp4")
    registry.close("b")
    assert not Path(taken["b"]).exists()


def test_files_without_an_owner_are_not_accepted(make, tmp_path):
    registry = sessions(make, tmp_path)
    with pytest.raises(HermesError, match="from the page"):
        registry.receive_upload("nobody", uploaded(tmp_path, "clip.mp4"))
    registry.get("a")
    outside = tmp_path.parent / "outside.mp4"
    outside.write_bytes(b"x")
    with pytest.raises(HermesError, match="from the page"):
        registry.receive_upload("a", str(outside))
    assert outside.exists()


def test_handlers_tell_troubles_instead_of_raising(make, tmp_path):
    handlers = Handlers(sessions(make, tmp_path, visitors=1))
    handlers.act({"action": "start", "kind": "upload", "path": "/etc/passwd"}, "a")
    state = handlers.poll({"seq": None, "frame": -1}, "a")[0]
    assert state["notice"]["kind"] == "error"
    handlers.act({"action": "format the disk"}, "a")
    handlers.act({"action": "speed", "speed": 1e9}, "a")
    assert handlers.sessions.get("a").settings.speed == 4.0
    refused = handlers.poll({}, "b")[0]
    assert "places are taken" in refused["notice"]["text"]
    handlers.act({"action": "start"}, "b")
    answers = [json.loads(value) for value in handlers.ask({"question": "<script>x</script>"}, "a")]
    assert answers[-1]["turns"][-1]["question"] == "<script>x</script>"


def test_text_cannot_look_like_markup_on_its_way():
    assert "<" not in to_json({"text": "<script>alert(1)</script>"})
    assert json.loads(to_json({"text": "<b>"})) == {"text": "<b>"}


def test_clips_that_are_missing_are_left_out(tmp_path, film):
    assert read_clips(tmp_path) == []
    (tmp_path / "index.json").write_text(json.dumps({"clips": [{"name": "gone"}, {"name": "film"}]}))
    (tmp_path / "film.webm").write_bytes(film.read_bytes())
    (tmp_path / "film.json").write_text(json.dumps({"title": "Film", "questions": [{"text": "What?", "at": 3}]}))
    (clip,) = read_clips(tmp_path)
    assert clip.questions == (("What?", 3.0),)
    assert clip.seconds == pytest.approx(20, abs=0.2)
    assert clip.poster.startswith("data:image/jpeg;base64,")


def test_a_small_file_that_unfolds_into_a_huge_picture_is_not_decoded(make):
    """A few kilobytes of PNG can claim gigabytes of pixels; the header is believed before anything is unpacked."""
    visitor = make()
    visitor.start(visitor.source({"kind": "camera"}))
    done, data = cv2.imencode(".png", np.zeros((4000, 4000), np.uint8))
    assert done
    visitor.camera_frame(base64.b64encode(data.tobytes()).decode(), 1)
    done, good = cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))
    assert done
    visitor.camera_frame(base64.b64encode(good.tobytes()).decode(), 2)
    until(lambda: visitor.stream.view().snapshot.frames_seen)
    view = visitor.stream.view()
    assert (view.snapshot.frames_seen, view.dropped) == (1, 0)  # the large picture never arrived
    assert not small_enough(data.tobytes())
    assert not small_enough(b"no picture")


def test_a_setting_is_tried_before_and_while_a_clip_plays(make):
    visitor = make()
    told = visitor.try_it({"name": "smoothing", "value": False})
    assert told["notice"] == "Applies when you press Start."
    assert [setting["name"] for setting in told["settings"] if setting["changed"]] == ["smoothing"]
    visitor.start(visitor.source({"kind": "clip", "id": "film"}))
    until(lambda: visitor.poll(None, -1)[0]["frames"] >= 4)
    assert visitor.poll(None, -1)[0]["about"]["policy"]["badge"] == "1 setting changed"
    told = visitor.try_it({"name": "tiers", "value": "all sensory"})
    assert told["notice"] == "The change applies at the next eviction. Evicted tokens are not restored."
    assert visitor.settings.changed == (("smoothing", False), ("tiers", "all sensory"))
    refused = visitor.try_it({"name": "alpha_sensory", "value": 9})
    assert refused["bad"]
    assert "at most 1" in refused["notice"]
    assert visitor.settings.changed == (("smoothing", False), ("tiers", "all sensory"))
    assert visitor.try_it({"reset": True})["changed"] == []
    assert visitor.poll(None, -1)[0]["about"]["policy"]["badge"] == "original method, no training"


def test_another_policy_begins_with_its_own_defaults(make):
    visitor = make(changed=(("smoothing", False),))
    assert visitor.try_it({})["changed"] != []
    visitor.change(policy="sliding-window")
    assert visitor.settings.changed == ()
    assert visitor.try_it({})["policy"]["name"] == "sliding-window"


def test_a_fault_in_the_board_is_reported_and_the_next_update_recovers(make, monkeypatch):
    visitor = playing(make)
    message = visitor._board.message

    def fault(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr(visitor._board, "message", fault)
    state, board = visitor.poll(None, -1)
    assert board is None
    assert state["frames"] >= 4
    assert "The board cannot be updated" in state["notice"]["text"]
    monkeypatch.setattr(visitor._board, "message", message)
    assert visitor.poll(None, -1)[1]["base"] is None
