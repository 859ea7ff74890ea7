"""The world of everyday objects: names, streams, questions and the words that people use for them."""

from __future__ import annotations

import json
import struct
import sys
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hermes.errors import HermesError
from hermes.things.fetch import GAME, fetch, unpack_models
from hermes.things.models3d.meshes import read_mesh
from hermes.things.models3d.renders import render_models, rendered
from hermes.things.objects import BY_NAME, CATEGORIES, CATEGORY_NAMES, CATEGORY_OF, NAMES, OBJECTS, UNKNOWN_MODELS
from hermes.things.packing import ObjectTrack, evidence_of
from hermes.things.pictures import SHIPPED, Cutout, held_out, read_cutouts, read_shipped
from hermes.things.qt_resources import read_resources
from hermes.things.questions import EXTRA_KINDS, KINDS, REFUSAL, ask
from hermes.things.timeline import TEMPOS, ObjectEvent, few_categories, make_events, shown_at
from hermes.things.tokenizer import build_tokenizer
from hermes.things.truth import truth_of
from hermes.things.world import render_stream
from hermes.worlds.timeline import PLACES

EVENTS = [
    ObjectEvent("dog", "top-left", 2, 6, 6, "top-left"),
    ObjectEvent("apple", "left", 8, 14, 11, "centre"),
    ObjectEvent("cat", "right", 15, 18, 18, "right"),
    ObjectEvent("hot-dog", "bottom", 20, 24, 24, "bottom"),
]


def true_answers(kind: str, at: int, draws: int = 60) -> dict[str, str]:
    track = ObjectTrack(EVENTS, 2.0)
    asked = [ask(track, at, kind, np.random.default_rng([seed, at])) for seed in range(draws)]
    return {question.text: question.answer for question in asked if question is not None}


def test_objects_have_unique_names_and_classes() -> None:
    assert 100 <= len(OBJECTS) <= 130
    assert len(set(NAMES)) == len(NAMES)
    classes = [number for item in OBJECTS for number in item.imagenet]
    assert len(set(classes)) == len(classes)
    assert all(0 <= number < 1000 for number in classes)
    assert all(item.imagenet for item in OBJECTS)
    other = [word for item in OBJECTS for word in item.also]
    assert not set(other) & set(NAMES)
    assert len(set(other)) == len(other)


def test_every_category_has_objects() -> None:
    assert set(CATEGORY_OF) == set(range(len(CATEGORIES)))
    assert not set(CATEGORY_NAMES) & set(NAMES)


@pytest.mark.parametrize("tempo", TEMPOS)
def test_events_follow_each_other_inside_the_stream(tempo: str) -> None:
    events = make_events(np.random.default_rng(3), 200, TEMPOS[tempo])
    assert events == make_events(np.random.default_rng(3), 200, TEMPOS[tempo])
    for before, after in pairwise(events):
        assert before.end <= after.start
    for event in events:
        assert 0 <= event.start < event.end <= 200
        assert event.start < event.moved <= event.end
        assert {event.place_at(event.start), event.place_at(event.end)} <= set(PLACES)
        assert (event.moved == event.end) == (event.later == event.place)
    assert len({event.name for event in events[: len(NAMES)]}) == min(len(events), len(NAMES))


def test_streams_of_few_categories_show_only_those() -> None:
    chosen = few_categories(np.random.default_rng(1))
    assert 2 <= len({CATEGORY_OF[index] for index in chosen}) <= 4
    events = make_events(np.random.default_rng(1), 40, objects=chosen)
    assert {event.name for event in events} <= {NAMES[index] for index in chosen}


@pytest.mark.parametrize(
    ("kind", "at", "answers"),
    [
        ("now", 21, {"Hot dog."}),
        ("now", 19, {"Nothing."}),
        ("before", 21, {"Cat."}),
        ("before", 19, {"Cat."}),
        ("before", 4, {"Nothing."}),
        ("first", 21, {"Dog."}),
        ("first", 1, {"Nothing."}),
        ("count", 21, {"4."}),
        ("list", 17, {"Dog, apple, cat."}),
        ("other", 17, {REFUSAL}),
    ],
)
def test_true_answers(kind: str, at: int, answers: set[str]) -> None:
    assert set(true_answers(kind, at).values()) == answers


def test_existence_questions_name_shown_and_absent_objects() -> None:
    message = true_answers("exists", 21, 200)
    assert set(message.values()) == {"Yes.", "No."}
    for text, answer in message.items():
        shown = any(event.name.replace("-", " ") in text.rstrip("?").split("a ")[-1] for event in EVENTS)
        if answer == "Yes.":
            assert shown, text


def test_categories_of_shown_objects() -> None:
    message = true_answers("category", 21, 300)
    for text, answer in message.items():
        if text.startswith(("Which", "What")):
            assert answer in ({"Apple."} if "fruit" in text else {"Hot dog."}), text
        else:
            wanted = any(BY_NAME[event.name].category in text for event in EVENTS)
            assert answer == ("Yes." if wanted else "No."), text


def test_after_and_place_follow_moves() -> None:
    after = true_answers("after", 21, 100)
    assert {answer for text, answer in after.items() if "dog?" in text and "hot" not in text} == {"Apple."}
    assert {answer for text, answer in after.items() if "hot dog" in text} <= {"Nothing."}
    where = true_answers("place", 21, 200)
    assert {answer for text, answer in where.items() if "apple" in text} == {"Centre."}
    early = true_answers("place", 9, 200)
    assert {answer for text, answer in early.items() if "apple" in text} == {"Left."}


def test_evidence_points_at_the_event_asked_about() -> None:
    track = ObjectTrack(EVENTS)
    for seed in range(50):
        question = ask(track, 21, "place", np.random.default_rng(seed))
        assert question is not None
        if question.form == "place":
            (index,) = evidence_of(question, track, 21)
            assert EVENTS[index].name == question.subject[0]


@pytest.mark.parametrize("kind", [kind for kind in (*KINDS, *EXTRA_KINDS) if kind != "other"])
def test_the_truth_of_a_typed_question_is_that_of_the_drawn_one(kind: str) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        track = ObjectTrack(make_events(rng, 40), 2.0)
        at = int(rng.integers(40))
        question = ask(track, at, kind, rng)
        if question is None:
            continue
        truth = truth_of(question.text.upper(), track.events, at, 2.0)
        assert truth is not None, question.text
        assert (truth.kind, truth.answer) == (question.kind, question.answer), question.text
        assert truth.evidence[0] <= truth.evidence[1] <= (at + 1) / 2


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Where was the hotdog?", "Bottom."),
        ("did you see any dogs", "Yes."),
        ("Was there a mug?", "No."),
        ("Was there any clothing?", "No."),
        ("Which snack was there?", "Hot dog."),
        ("What came after the kitten?", "Hot dog."),
    ],
)
def test_truth_parses_typed_questions(text: str, answer: str) -> None:
    truth = truth_of(text, EVENTS, 21, 2.0)
    assert truth is not None
    assert truth.answer == answer


@pytest.mark.parametrize(
    "text", ["Who are you?", "Which animal was there?", "Where was the sofa?", "", "Where was the xyzzy?"]
)
def test_questions_without_a_defined_answer_have_no_truth(text: str) -> None:
    assert truth_of(text, EVENTS, 21, 2.0) is None


def test_every_question_and_answer_is_in_the_vocabulary() -> None:
    tokenizer = build_tokenizer()
    for kind in (*KINDS, *EXTRA_KINDS):
        for seed in range(80):
            rng = np.random.default_rng(seed)
            track = ObjectTrack(make_events(rng, 30))
            question = ask(track, 29, kind, rng)
            if question is None:
                continue
            assert tokenizer.unk_token_id not in tokenizer(question.answer)["input_ids"], question.answer
            if kind != "other":
                assert tokenizer.unk_token_id not in tokenizer(question.text)["input_ids"], question.text


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Was there a mug?", ["cup"]),
        ("Did you see any dogs?", ["dog"]),
        ("Did you see hot dogs or a dog?", ["hot-dog", "dog"]),
        ("Where was my mobile phone?", ["phone"]),
        ("A glass of wine, then glasses.", ["wine-glass", "glasses"]),
        ("Was the TV before the telephone?", ["screen", "telephone"]),
        ("Was there a T-shirt?", ["shirt"]),
        ("Was there a teddy bear or a bear?", ["teddy-bear", "bear"]),
    ],
)
def test_people_may_use_other_names(text: str, names: list[str]) -> None:
    tokenizer = build_tokenizer()
    words = [str(tokenizer.convert_ids_to_tokens(index)) for index in tokenizer(text)["input_ids"]]
    assert [word for word in words if word in NAMES] == names


def test_names_are_written_with_spaces() -> None:
    tokenizer = build_tokenizer()
    ids = tokenizer("teddy bear, ice cream.")["input_ids"]
    assert tokenizer.decode(ids) == "teddy bear, ice cream."


def test_streams_are_rendered_as_their_events_say() -> None:
    cutouts, photographs = read_shipped()
    stream = render_stream(5, 12, cutouts, photographs, events=[ObjectEvent("apple", "left", 3, 9, 6, "top-left")])
    again = render_stream(5, 12, cutouts, photographs, events=[ObjectEvent("apple", "left", 3, 9, 6, "top-left")])
    assert stream.frames.shape == (12, 224, 224, 3)
    assert (stream.frames == again.frames).all()
    assert shown_at(stream.events, 2) is None
    calm = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(stream.frames)]
    assert calm[2] > 1.5 * np.median([*calm[:2], *calm[9:]]), "the object appears"
    wide = render_stream(5, 2, cutouts, photographs, aspect=16 / 9, size=90)
    assert wide.frames.shape == (2, 90, 160, 3)


def test_shipped_cutouts_have_a_licence_and_names() -> None:
    cutouts, photographs = read_shipped()
    assert len({cutout.label for cutout in cutouts}) > 90
    assert photographs
    assert all(cutout.pixels.shape[2] == 4 for cutout in cutouts)
    assert "MIT License" in (SHIPPED / "LICENSE").read_text(encoding="utf-8")
    assert "Microsoft" in (SHIPPED / "LICENSE").read_text(encoding="utf-8")


def test_missing_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(HermesError, match="train-things --fetch"):
        read_cutouts(tmp_path)


def test_fetching_names_the_missing_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HermesError, match="pip is needed"):
        fetch(tmp_path / "data", lambda _: None)


def test_models_and_icons_are_only_for_training() -> None:
    pixels = np.full((8, 8, 4), 255, np.uint8)
    stamps = [Cutout(0, "stamp", f"stamp {number}", pixels) for number in range(3)]
    others = [Cutout(0, style, f"{style} {number}", pixels) for style in ("model", "icon") for number in range(5)]
    training, kept = held_out([*others, *stamps])
    assert [cutout.name for cutout in kept] == ["stamp 1"]
    assert len(training) == 12


def test_models_show_one_object_each() -> None:
    models = [model for item in OBJECTS for model in item.models]
    assert len({*models, *UNKNOWN_MODELS}) == len(models) + len(UNKNOWN_MODELS)
    libraries = {model.split("/")[0] for model in (*models, *UNKNOWN_MODELS)}
    assert libraries == {"BlendSwap-CC-0", "BlendSwap-CC-BY", "KatorLegaz", "Scopia", "Reallusion", "0ad"}


def test_missing_renders_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HermesError, match="cup is missing; run python -m hermes train-things --fetch"):
        rendered(tmp_path, "Scopia/cup")
    monkeypatch.setitem(sys.modules, "vtk", None)
    with pytest.raises(HermesError, match="pip install vtk"):
        render_models(tmp_path, ["Scopia/cup"], lambda _: None)


def test_models_inside_packages_are_unpacked(tmp_path: Path) -> None:
    library = tmp_path / "usr/share/sweethome3d/furniture/Scopia.sh3f"
    game = tmp_path / GAME
    for path, members in (
        (library, {"cup/cup.obj": "v 0 0 0"}),
        (game, {"art/actors/fauna/lion.xml": "<actor/>", "audio/lion.ogg": "sound"}),
    ):
        path.parent.mkdir(parents=True)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    unpack_models("sweethome3d", tmp_path)
    unpack_models("0ad", tmp_path)
    assert (tmp_path / "libraries/Scopia/cup/cup.obj").read_text(encoding="utf-8") == "v 0 0 0"
    assert (tmp_path / "art/actors/fauna/lion.xml").is_file()
    assert not (tmp_path / "audio").exists()
    assert not game.exists()


def mesh_file(sets: int) -> bytes:
    """A PMD mesh with one triangle and `sets` sets of texture coordinates."""
    rows = b"".join(
        struct.pack("<6f", corner, 2, 3, 0, 0, 1) + struct.pack(f"<{2 * sets}f", *range(2 * sets)) + bytes(20)
        for corner in range(3)
    )
    return b"PSMD" + struct.pack("<4I", 4, 0, 3, sets) + rows + struct.pack("<I3H", 1, 0, 1, 2)


@pytest.mark.parametrize("sets", [1, 2])
def test_meshes_are_read_and_mirrored(sets: int) -> None:
    points, normals, places, faces = read_mesh(mesh_file(sets))
    assert points.tolist() == [[0, 2, -3], [1, 2, -3], [2, 2, -3]]
    assert normals.tolist() == [[0, 0, -1]] * 3
    assert places.tolist() == [[0, 1]] * 3
    assert faces.tolist() == [[2, 1, 0]]


def test_other_meshes_are_rejected() -> None:
    with pytest.raises(HermesError, match="version 4"):
        read_mesh(b"PSMD" + struct.pack("<4I", 3, 0, 3, 1))
    for length in (0, 10, 60, len(mesh_file(1)) - 2):
        with pytest.raises(HermesError, match="not complete"):
            read_mesh(mesh_file(1)[:length])


def resource_file(files: dict[str, bytes]) -> bytes:
    """A version 1 resource file with all files in its root, stored with zlib."""
    names, data, nodes = b"", b"", b""
    for name, content in files.items():
        packed = struct.pack(">I", len(content)) + zlib.compress(content)
        nodes += struct.pack(">IHHHI", len(names), 1, 0, 0, len(data))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        data += struct.pack(">I", len(packed)) + packed
    tree = struct.pack(">IHII", 0, 2, len(files), 1) + nodes
    start = 20
    head = b"qres" + struct.pack(">4I", 1, start, start + len(tree), start + len(tree) + len(data))
    return head + tree + data + names


def test_resource_files_are_read(tmp_path: Path) -> None:
    files = {"a.webp": b"first", "b.json": json.dumps({"x": 1}).encode()}
    path = tmp_path / "x.rcc"
    path.write_bytes(resource_file(files))
    assert dict(read_resources(path)) == files
    path.write_bytes(b"something else")
    with pytest.raises(HermesError, match="not a Qt resource"):
        list(read_resources(path))
