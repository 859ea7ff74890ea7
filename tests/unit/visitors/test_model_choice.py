"""Which model plays which source: what the shipped models say that they know, and a visitor's streams with two models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
from patience import until
from videos import write_video

import hermes
from hermes.assets import SHIPPED
from hermes.backbones.card import Knowledge
from hermes.backbones.shipped import shipped_models
from hermes.errors import HermesError
from hermes.ground_truth import kind_of
from hermes.serving.engine import Engine, StreamSettings
from hermes.serving.model_info import ModelInfo
from ui.flags import parse, read_options
from ui.page.known_names import known_names
from ui.player import payloads
from ui.player.clips import Clip
from ui.player.source import Source
from ui.settings.model_choice import KEEP, ModelChoice
from ui.settings.model_loader import Loading, ModelLoader
from ui.visitors.visitor import Visitor

CAMERA = Source("camera", title="camera")


def clip(world, path=Path("clip.webm"), name="clip"):
    return Clip(name, path, "A clip", "", 9.0, (), "", world=world)


@pytest.mark.parametrize(
    ("kind", "world", "model"),
    [
        ("camera", None, "things"),
        ("upload", None, "things"),
        ("clip", "cards", "pocket"),
        ("clip", "objects", "things"),
        ("clip", "", "things"),
        ("run", None, "own"),
        ("", None, "own"),
    ],
)
def test_the_shipped_models_play_what_they_know(kind, world, model):
    assert ModelChoice.of_shipped().model_for(kind, world, "own") == model
    assert KEEP.model_for(kind, world, "own") == "own"


def test_what_the_shipped_models_know_is_read_from_their_folders():
    models = shipped_models()
    assert set(models) == set(SHIPPED)
    things = models["things"].knowledge
    assert sum(len(names) for _, names in things.names) == len(
        json.loads((SHIPPED["things"] / "config.json").read_text("utf-8"))["vision_config"]["object_names"]
    )
    assert things.subject.startswith(str(sum(len(names) for _, names in things.names)))
    assert known_names()[models["things"].title]["groups"][0]["names"][0] == "dog"
    assert (
        Knowledge.read({"names": ["cup"], "offered_questions": "now", "real_pictures": "yes", "world": 3}).names == ()
    )


def test_only_kinds_of_questions_that_the_model_answers_well_are_suggested():
    texts = ("What is shown now?", "How many objects were shown?", "Which fruit was there?", "Tell me a joke.")
    assert [kind_of(text, "objects") for text in texts] == ["now", "count", "category", None]
    knowledge = Knowledge("objects", "objects", pictures=True, kinds=("now", "category"))
    info = ModelInfo("t", "T", "f", "", 1, 1, 1, 1, 1, texts, "cpu", "float32", knowledge=knowledge)
    loading = Loading("", 1.0, info)
    assert [chip["text"] for chip in payloads.chips(CAMERA, None, loading)] == [texts[0], texts[2]]
    asked = Clip("c", Path("c.webm"), "C", "", 9.0, tuple((text, 1.0) for text in texts), "", world="objects")
    assert [chip["text"] for chip in payloads.chips(Source("clip", "c"), asked, loading)] == [texts[0], texts[2]]
    assert payloads.advice(CAMERA, None, loading)["answer"] == ""
    assert "only knows" in payloads.advice(Source("clip", "c"), clip("cards"), loading)["text"]


def test_a_model_given_by_flag_plays_everything(monkeypatch):
    for variable in ("HERMES_MODEL", "SPACE_ID"):
        monkeypatch.delenv(variable, raising=False)
    options = read_options(parse([]))
    assert (options.automatic, options.models, options.settings.model) == (True, ("pocket", "things"), "pocket")
    assert not read_options(parse(["--model", "pocket"])).automatic
    assert read_options(parse(["--model", "things"])).models == ("things", "pocket")
    assert not read_options(parse(["--clip-mode"])).automatic
    monkeypatch.setenv("HERMES_MODEL", "things")
    assert not read_options(parse([])).automatic


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two models, of which one knows clips of cards and the other one pictures of objects."""
    made = {}
    for world, pictures in (("cards", False), ("objects", True)):
        folder = tiny.llava_onevision(tmp_path_factory.mktemp(f"tiny-{world}"), layers=4)
        card = json.loads((folder / "hermes.json").read_text("utf-8"))
        card |= {"world": world, "knows": world, "real_pictures": pictures, "max_new_tokens": 4}
        (folder / "hermes.json").write_text(json.dumps(card))
        made[world] = str(folder)
    return made


@pytest.fixture
def visitor(folders, tmp_path):
    """A visitor of a server with one live slot that has loaded the model of cards."""
    engine = Engine(max_streams=1)
    loader = ModelLoader(engine)
    loader.ensure(folders["cards"])
    path = write_video(tmp_path / "clip.avi", frames=60, fps=1)
    clips = {world: clip(world, path, world) for world in ("cards", "objects")}
    settings = StreamSettings(model=folders["cards"], budget=64, speed=4.0)
    made = Visitor(settings, loader, clips, hermes.POLICIES, choice=ModelChoice(folders, folders["objects"]))
    yield made
    made.close()
    engine.close()


def play(visitor, name):
    visitor.start(visitor.source({"kind": "clip", "id": name}))
    until(lambda: visitor.poll(None, -1)[0]["frames"] >= 2)
    return visitor.stream


def test_the_webcam_selects_its_model_and_loads_it_in_the_background(visitor, folders):
    visitor.choose(CAMERA)
    assert visitor.settings.model == folders["objects"]
    assert visitor.poll(None, -1)[0]["controls"] == 1, "the list of models must show it"
    until(lambda: visitor.poll(None, -1)[0]["about"]["model"])
    assert "knows objects" in visitor.poll(None, -1)[0]["advice"]["text"]
    visitor.choose(visitor.source({"kind": "clip", "id": "cards"}))
    assert visitor.settings.model == folders["cards"]
    assert visitor.poll(None, -1)[0]["advice"] is None


def test_a_stream_has_one_model_and_the_next_one_takes_its_slot(visitor, folders):
    before = play(visitor, "cards")
    visitor.transport("pause")
    visitor.choose(CAMERA)
    assert visitor.settings.model == folders["cards"], "the paused stream can still be asked"
    assert list(visitor.ask("What is shown now?"))[-1]["turns"][-1]["state"] == "done"
    after = play(visitor, "objects")
    assert after is not before
    assert (after.settings.model, visitor.settings.model) == (folders["objects"], folders["objects"])
    assert visitor._loader.engine.free_slots == 0
    with pytest.raises(HermesError, match="closed"):
        before.ask("What is shown now?")
    assert play(visitor, "objects") is after, "a source of the same model continues the stream"


def test_another_selected_source_does_not_change_what_is_asked(visitor):
    play(visitor, "cards")
    visitor.transport("pause")
    before = visitor.poll(None, -1)[0]
    assert before["advice"] is None
    visitor.choose(visitor.source({"kind": "clip", "id": "objects"}))
    state = visitor.poll(None, -1)[0]
    assert state["advice"]["text"] == "Questions go to “A clip” until you start the selected source."
    assert (state["about"], state["chips"]) == (before["about"], before["chips"])
    visitor.choose(CAMERA)
    until(lambda: "knows objects" in visitor.poll(None, -1)[0]["advice"]["text"])
    advice = visitor.poll(None, -1)[0]["advice"]
    assert advice["text"].startswith("Questions go to “A clip” until you start the selected source. After that: ")
    assert advice["answer"] == "", "another model would empty the paused memory"
    play(visitor, "objects")
    visitor.choose(visitor.source({"kind": "clip", "id": "objects"}))
    assert visitor.poll(None, -1)[0]["advice"] is None


def test_a_source_that_cannot_be_played_keeps_the_stream_of_the_other_model(visitor, folders, tmp_path):
    before = play(visitor, "cards")
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(b"not a video")
    with pytest.raises(HermesError):
        visitor.start(Source("upload", str(damaged), damaged, "damaged"))
    assert visitor.stream is before
    assert visitor.settings.model == folders["cards"]
    assert visitor._loader.engine.is_live(before)
    assert list(visitor.ask("What is shown now?"))[-1]["turns"][-1]["state"] == "done"


def test_a_model_that_the_visitor_chose_is_kept(visitor, folders):
    visitor.change(model=folders["objects"])
    visitor.change(model=folders["cards"])
    visitor.choose(CAMERA)
    assert visitor.settings.model == folders["cards"]
    assert "only knows cards" in visitor.poll(None, -1)[0]["advice"]["text"]
    assert play(visitor, "objects").settings.model == folders["cards"]
