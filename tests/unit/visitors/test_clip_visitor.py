"""A visitor in clip mode with a tiny model: a run with questions, rejected actions, and leaving during a run."""

from __future__ import annotations

import threading

import pytest

import hermes
from hermes.errors import HermesError
from hermes.serving.engine import Engine, StreamSettings
from hermes.video.decoder_process import fork_server
from ui.player.clips import Clip
from ui.settings.model_loader import ModelLoader
from ui.visitors.clip_visitor import ClipVisitor, read_questions
from ui.zerogpu import clip_runner


@pytest.fixture(scope="module")
def loader(tiny_folder):
    engine = Engine()
    loader = ModelLoader(engine)
    loader.ensure(str(tiny_folder))
    yield loader
    engine.close()


@pytest.fixture
def make(loader, tiny_folder, rolling_ball):
    clips = {"film": Clip("film", rolling_ball, "A film", "A ball rolls.", 20.0, (("What is shown?", 2.0),), "")}

    def new(run=None):
        run = run or clip_runner(loader.engine.model(str(tiny_folder)))
        settings = StreamSettings(model=str(tiny_folder), budget=64)
        return ClipVisitor(settings, loader, clips, hermes.POLICIES, run=run)

    return new


WISH = {
    "kind": "clip",
    "id": "film",
    "questions": [{"text": "What is shown?", "at": 3}, {"text": "And now?", "at": None}],
}


def test_a_run_answers_its_questions_and_fills_the_board(make):
    visitor = make()
    messages = list(visitor.run(WISH))
    turns = messages[-1]["turns"]
    assert [turn["question"] for turn in turns] == ["What is shown?", "And now?"]
    assert {turn["state"] for turn in turns} == {"done"}
    assert turns[0]["at"] == pytest.approx(3.0, abs=0.1)
    assert all(turn["first_ms"] > 0 for turn in turns)
    assert messages[-1]["watched"] == [turn["id"] for turn in turns]
    assert all("".join(text for text, *_ in turn["words"]) == turn["answer"].strip() for turn in turns)
    lengths = [len(m["turns"][0]["answer"]) for m in messages if len(m["turns"]) == 1]
    assert lengths == sorted(lengths)
    state, board = visitor.poll(None, -1)
    assert (state["state"], state["frames"], state["loading"]) == ("ended", 40, None)
    assert max(board["held"]) <= 64
    assert len(visitor.stream.thumbnails(range(40))) == 40
    payload = visitor.detail({"id": 1, "kind": "life", "frame": 3, "layer": 0})
    assert "error" not in payload
    assert visitor.stream.scores


def test_a_run_opens_its_file_once(make):
    """One decoder process serves the metadata, the preview and the run, also when a second run is refused."""
    visitor = make()
    before = fork_server().requests
    list(visitor.run(WISH))
    assert fork_server().requests == before + 1
    assert visitor.poll(None, -1)[0]["frames"] == 40


def test_a_second_run_begins_with_an_empty_memory_and_keeps_the_chat(make):
    visitor = make()
    list(visitor.run(WISH))
    last = list(visitor.run(WISH | {"questions": []}))[-1]
    assert len(last["turns"]) == 2
    assert visitor.poll(None, -1)[1]["base"] is None


def test_one_run_at_a_time_and_stopping_it(make):
    visitor = make()
    run = visitor.run(WISH)
    next(run)
    assert visitor.poll(None, -1)[0]["state"] == "playing"
    list(visitor.run(WISH))
    assert "in progress" in visitor.poll(None, -1)[0]["notice"]["text"]
    visitor.transport("pause")
    assert not visitor.stream.stopped
    visitor.transport("stop")
    turns = list(run)[-1]["turns"]
    assert turns[-1]["state"] == "stopped"
    assert visitor.poll(None, -1)[0]["state"] == "ended"
    assert list(visitor.run(WISH))[-1]["turns"][-1]["state"] == "done"


def test_leaving_ends_the_call(make, loader, tiny_folder):
    closed = threading.Event()
    real = clip_runner(loader.engine.model(str(tiny_folder)))

    def watched(request):
        try:
            yield from real(request)
        finally:
            closed.set()

    visitor = make(watched)
    run = visitor.run(WISH)
    next(run)
    visitor.close()
    list(run)
    assert closed.is_set()


def test_a_call_that_fails_is_reported(make):
    def no_gpu(request):
        raise HermesError("The GPU could not be used for this run. Quota exceeded.")
        yield request

    visitor = make(no_gpu)
    list(visitor.run(WISH))
    state, board = visitor.poll(None, -1)
    assert state["state"] == "failed"
    assert "Quota exceeded" in state["notice"]["text"]
    assert board is None


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"kind": "camera"}, "webcam is not available"),
        ({"kind": "clip", "id": "other"}, "not available here"),
        ({"kind": "upload", "path": "/etc/passwd"}, "Choose a video"),
        (WISH | {"questions": [{"text": "?"}] * 9}, "at most 8"),
        (WISH | {"questions": [{"text": " "}]}, "at most 500 characters"),
        (WISH | {"questions": [{"text": "x" * 501}]}, "at most 500"),
        (WISH | {"questions": [{"text": "When?", "at": -1}]}, "0 or later"),
        (WISH | {"questions": [{"text": "When?", "at": float("nan")}]}, "0 or later"),
        (WISH | {"questions": "all"}, "at most"),
    ],
)
def test_bad_requests_are_reported(make, wish, words):
    visitor = make()
    assert list(visitor.run(wish)) == []
    assert words in visitor.poll(None, -1)[0]["notice"]["text"]
    assert visitor.stream is None


def test_settings_hold_from_the_next_run_on(make):
    visitor = make()
    assert visitor.change(budget=20) == ["Applies to the next run."]
    with pytest.raises(HermesError, match="too small"):
        visitor.change(budget=1)
    with pytest.raises(HermesError, match="cannot be changed"):
        visitor.change(model="other")
    list(visitor.run(WISH))
    assert max(visitor.poll(None, -1)[1]["held"]) <= 20


def test_questions_are_read_as_they_are():
    assert [(q.text, q.at) for q in read_questions([{"text": " What? ", "at": 2}, {"text": "End?"}])] == [
        ("What?", 2), ("End?", None),
    ]  # fmt: skip


def test_a_setting_applies_to_the_next_run_and_another_policy_starts_with_defaults(make):
    visitor = make()
    payload = visitor.try_it({"name": "smoothing", "value": False})
    assert (payload["notice"], visitor.settings.changed) == ("Applies to the next run.", (("smoothing", False),))
    visitor.change(policy="sliding-window")
    assert visitor.settings.changed == ()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("shapes do not fit"), "failed"),
        (MemoryError(), "Memory ran out"),
        (HermesError("No GPU."), "No GPU."),
    ],
)
def test_a_run_ends_whatever_is_raised(make, error, words):
    def run(request):  # noqa: ARG001 - as a run is called
        raise error
        yield

    visitor = make(run)
    messages = list(visitor.run(WISH))
    assert messages
    state = visitor.poll(None, -1)[0]
    assert state["state"] == "failed"
    assert words in state["notice"]["text"]
    assert list(make().run(WISH))
    visitor._run = make()._run
    assert list(visitor.run(WISH))[-1]["turns"][-1]["state"] == "done", "another run can begin"
