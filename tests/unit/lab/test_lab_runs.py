"""Recorded lab runs: several memories in one file are read back unchanged; damaged files are rejected."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damaged import DAMAGES, with_part
from synthetic_stream import SyntheticStream, assert_same

from hermes import trace
from hermes.assets import RUNS
from hermes.bundled.lab_runs import check, read_recipes
from hermes.bundled.recipes import ENDING
from hermes.cli import main
from hermes.errors import HermesError
from hermes.trace import Head, LabRecorder, RunTurn
from hermes.trace.block import pack, unpack
from ui.lab.lab import Lab

NAMES = ("hermes", "sliding-window", "full")
QUESTIONS = (("What?", 9), ("What was first?", 20))
RECIPES = read_recipes()


def recorded_lab(path: Path, *, lanes: int = 3, moments: int = 24, limit: int = trace.LIMIT, **head):
    """A synthetic lab run of `lanes` memories, and the views from which it was recorded [lanes][moments]."""
    recorder = LabRecorder(lanes, limit)
    streams = [SyntheticStream(7, budget=30 + 20 * i) for i in range(lanes)]
    views = [[] for _ in streams]
    for number in range(moments):
        for stream, seen, recording in zip(streams, views, recorder.lanes, strict=True):
            seen.append(stream.push())
            asked = [text for text, at in QUESTIONS if at == number]
            seen.extend(stream.ask(text) for text in asked)
            for view in seen[-1 - len(asked) :]:
                recording.add(view)
    heads = []
    for i in range(lanes):
        answers = ("Red triangle.", "Red circle.", "Red triangle.", "Blue star.")
        payload = [view for view in views[i] if view.snapshot.answer is not None]
        times = [
            next(v.clock for v in payload if v.snapshot.answer.question == text)
            for text, at in QUESTIONS
            if at < moments
        ]
        turns = tuple(
            RunTurn(text, answers[i], at, at, "done", 10.0 + i, truth="Red triangle.")
            for (text, _), at in zip(QUESTIONS, times, strict=False)
        )
        policy = {"name": f"{NAMES[i % 3]}", "title": NAMES[i % 3], "badge": "made up", "about": ""}
        heads.append(Head(title=NAMES[i % 3], policy=policy, chat=turns))
    more = {"id": "a-lab", "title": "A lab run", "created": "2026-01-02T03:04:05Z", "machine": "2 CPU cores", **head}
    recorder.write(path, Head(**more), heads, 4.0)
    return views


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "good.hermesrun"
    recorded_lab(path)
    return path


def lab_head(source: Path, path: Path, **values) -> Path:
    return with_part(source, path, "lab.json", lambda data: json.dumps({**json.loads(data), **values}).encode())


def look_at_everything(path: Path) -> None:
    run = trace.read_lab(path)
    for lane in run.lanes:
        for number in range(len(lane.times)):
            lane.moment(number)
    for frame in range(run.lanes[0].frames):
        run.picture(frame)


# Reading a recording -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [2, 3, 4])
def test_every_memory_comes_back_field_by_field(tmp_path, lanes):
    views = recorded_lab(tmp_path / "x.hermesrun", lanes=lanes)
    run = trace.read_lab(tmp_path / "x.hermesrun")
    assert len(run.lanes) == lanes
    for lane, seen in zip(run.lanes, views, strict=True):
        assert len(lane.times) == len(seen)
        for number, view in enumerate(seen):
            assert_same(lane.moment(number), view)
    assert (run.id, run.title, run.head.machine, run.events_fps) == ("a-lab", "A lab run", "2 CPU cores", 4.0)
    assert run.seconds == views[0][-1].clock
    assert [[turn.answer for turn in turns] for turns in run.questions] == [
        ["Red triangle.", "Red circle.", "Red triangle.", "Blue star."][:lanes]
    ] * 2


def test_pictures_are_kept_once(good):
    with zipfile.ZipFile(good) as parts:
        names = parts.namelist()
    assert names[0] == "lab.json"
    assert [name for name in names if name.endswith("pictures.bin")] == ["pictures.bin"]
    run = trace.read_lab(good)
    assert run.picture(5).startswith(b"\xff\xd8")
    assert all(lane.picture(5) == run.picture(5) for lane in run.lanes)
    assert run.picture(999) is None


def test_a_long_run_stays_below_its_limit(tmp_path):
    path, limit = tmp_path / "x.hermesrun", 200_000
    views = recorded_lab(path, lanes=2, moments=320, limit=limit)
    assert path.stat().st_size < limit
    run = trace.read_lab(path)
    assert any(lane.head.thinned for lane in run.lanes)
    assert run.seconds == views[0][-1].clock
    for turns in run.questions:
        assert all(lane.view(turns[0].done).snapshot.answer.question == turns[0].question for lane in run.lanes)


def test_the_two_kinds_of_files_are_distinguished(good, tmp_path):
    single = tmp_path / "single.hermesrun"
    recorder = trace.Recorder()
    recorder.add(SyntheticStream(1).push())
    recorder.write(single, Head(title="One"))
    assert (trace.is_lab(good), trace.is_run(good)) == (True, False)
    assert (trace.is_lab(single), trace.is_run(single)) == (False, True)
    with pytest.raises(trace.TraceError, match=r"single\.hermesrun is a run of one memory"):
        trace.read_lab(single)
    with pytest.raises(trace.TraceError, match=r"good\.hermesrun is a lab run"):
        trace.read(good)


# Untrusted files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"lanes": []}, {"lanes": ["lanes/0"]}, {"lanes": [f"lanes/{i}" for i in range(5)]}, {"lanes": "lanes/0"},
        {"lanes": ["lanes/0", "lanes/7"]}, {"lanes": ["lanes/0", ""]}, {"lanes": [{}, []]}, {"events_fps": 0},
        {"events_fps": "4"}, {"events_fps": float("inf")}, {"title": 5}, {"id": "../x"}, {"version": "1"}, {"events": [1]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_head_that_does_not_fit_is_refused(good, tmp_path, values):
    path = lab_head(good, tmp_path / "x.hermesrun", **values)
    with pytest.raises(trace.TraceError, match=r"x\.hermesrun is (damaged|not a recorded run)"):
        trace.read_lab(path)


def test_memories_that_were_asked_different_questions_are_refused(good, tmp_path):
    def forget(data: bytes) -> bytes:
        head = json.loads(data)
        return json.dumps({**head, "chat": head["chat"][:1]}).encode()

    with pytest.raises(trace.TraceError, match="asked different questions"):
        trace.read_lab(with_part(good, tmp_path / "x.hermesrun", "lanes/1/run.json", forget))


def test_a_newer_version_is_reported(good, tmp_path):
    with pytest.raises(trace.TraceError, match="newer version"):
        trace.read_lab(lab_head(good, tmp_path / "x.hermesrun", version=3))


PARTS = ("lab.json", "pictures.xz", "lanes/0/run.json", "lanes/1/history.xz", "lanes/2/moments/0001.xz")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("part", PARTS)
def test_a_missing_truncated_or_overwritten_part_is_rejected(good, tmp_path, part, damage):
    path = with_part(good, tmp_path / "x.hermesrun", part, DAMAGES[damage])
    with pytest.raises(trace.TraceError, match=r"^x\.hermesrun "):
        look_at_everything(path)


@pytest.mark.parametrize(
    "event", [{"colour": "red"}, {"colour": "red", "shape": "star", "where": "left", "start": 1e308, "end": 1e308}]
)
def test_events_that_make_no_sense_are_refused(good, tmp_path, event):
    with pytest.raises(trace.TraceError, match="damaged"):
        trace.read_lab(lab_head(good, tmp_path / "x.hermesrun", events=[event]))


def test_an_answer_of_another_stream_is_refused(good, tmp_path):
    def stretch(data: bytes) -> bytes:
        meta, arrays = unpack(data)
        arrays |= {
            "attention": np.zeros((4, 500), np.float16),
            "attention_heads": np.zeros((4, 2, 500), np.float16),
        }
        meta["said"]["frames_seen"] = 500
        return pack(meta, arrays)

    with pytest.raises(trace.TraceError, match="damaged"):
        trace.read_lab(with_part(good, tmp_path / "x.hermesrun", "lanes/0/answers/0.xz", stretch))


def test_a_clip_of_impossible_length_counts_as_of_unknown_length(tmp_path):
    recorder = LabRecorder(2)
    for lane in recorder.lanes:
        lane.add(replace(SyntheticStream(1).push(), duration=1e300))
    policy = {"name": "full", "title": "Full", "badge": "", "about": ""}
    path = tmp_path / "x.hermesrun"
    recorder.write(path, Head(), [Head(policy=policy), Head(policy=policy)])
    lab = Lab(None, None, {}, live=False)
    lab.open(trace.read_lab(path))
    payload = lab.poll(-1)
    assert (payload["duration"], payload["columns"], len(payload["lanes"])) == (None, 1, 2)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + b"\0" * 26 + b"lab.json", b"no zip at all" * 99])
def test_other_files_are_not_lab_runs(tmp_path, content):
    path = tmp_path / "x.hermesrun"
    path.write_bytes(content)
    with pytest.raises(trace.TraceError, match="not a recorded run"):
        trace.read_lab(path)


def test_a_memory_that_saw_nothing_cannot_be_written(tmp_path):
    recorder = LabRecorder(2)
    recorder.lanes[0].add(SyntheticStream(1).push())
    with pytest.raises(trace.TraceError, match="no frame has been seen"):
        recorder.write(tmp_path / "x.hermesrun", Head(), [Head(), Head()])
    assert list(tmp_path.iterdir()) == []


def test_a_lab_run_is_read_and_replayed_without_torch(good):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = sys.modules['gradio'] = None\n"
        "from hermes import trace\n"
        "from ui.lab.lab import Lab\nfrom ui.lab.choices import offer\n"
        f"run = trace.read_lab({str(good)!r})\n"
        "lab = Lab(None, None, {}, {run.id: run}, live=False)\n"
        "assert offer({}, {}, {run.id: run}, live=False)['runs'][0]['id'] == 'a-lab'\n"
        "lab.do({'action': 'open', 'id': 'a-lab', 'seconds': 4.0, 'play': False})\n"
        "state = lab.poll(-1)\n"
        "print(state['notice'], len(state['lanes']), len(state['asked']), state['frame']['index'])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert done.stdout.split() == ["None", "3", "1", "12"], done.stderr


# The bundled ones, and the command that makes them --------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.id)
def test_a_bundled_lab_run_matches_its_title(recipe):
    path = RUNS / f"{recipe.id}{ENDING}"
    assert path.stat().st_size < 3_000_000
    run = trace.read_lab(path)
    assert run.id == recipe.id
    assert "{" not in run.title + run.head.about + run.head.look
    assert run.head.machine
    assert [lane.head.policy["name"] for lane in run.lanes] == list(recipe.policies)
    assert check(dict(zip(recipe.policies, (lane.chat for lane in run.lanes), strict=True)), recipe.expected) == []
    assert run.head.settings.budget in recipe.budgets
    times = {tuple(lane.times) for lane in run.lanes}
    assert len(times) == 1  # the memories are aligned in time
    for lane in run.lanes:
        for turn in lane.chat:
            assert lane.view(turn.done).snapshot.answer.question == turn.question


def test_one_of_them_is_the_window_that_forgets():
    wishes = [wish for recipe in RECIPES for wish in recipe.expected]
    assert {"hermes": "right", "sliding-window": "wrong"} in wishes


RIGHT, WRONG = RunTurn("Red?", "yes", 1, 1, truth="Yes."), RunTurn("Red?", "No.", 1, 1, truth="Yes.")


@pytest.mark.parametrize(
    ("turns", "expected", "problems"),
    [
        ({"a": [RIGHT], "b": [WRONG]}, [{"a": "right", "b": "wrong"}], 0),
        ({"a": [RIGHT], "b": [RIGHT]}, [{"a": "right", "b": "wrong"}], 1),
        ({"a": [WRONG], "b": [RIGHT]}, [{"a": "right", "b": "wrong"}], 2),
        ({"a": [WRONG], "b": [RIGHT]}, [{}], 0),
        ({"a": [RIGHT], "b": []}, [{}], 1),
        ({"a": [replace(WRONG, state="error")]}, [{"a": "wrong"}], 1),
        ({"a": [replace(WRONG, truth=None)]}, [{"a": "wrong"}], 1),
    ],
)
def test_answers_are_checked_against_the_expectations(turns, expected, problems):
    assert len(check(turns, expected)) == problems


@pytest.mark.parametrize(
    "entry",
    [
        {"expect": {"full": "right"}}, {"expect": {"hermes": "maybe"}}, {"expect": "right"},
    ],
)  # fmt: skip
def test_recipes_that_make_no_sense_are_refused(tmp_path, entry):
    question = {"at": 3, "text": "What?", **entry}
    recipe = {"id": "x", "title": "", "about": "", "look": "", "clip": "quick-tour", "policies": ["hermes", "h2o"],
              "budgets": [64], "fps": 2, "questions": [question]}  # fmt: skip
    (tmp_path / "index.json").write_text(json.dumps({"runs": [], "labs": [recipe]}))
    with pytest.raises(HermesError, match="cannot be read"):
        read_recipes(tmp_path)


def test_the_command_records_a_lab_run_and_names_its_faults(tmp_path, capsys):
    out = tmp_path / "tour.hermesrun"
    memories = ["--policies", "hermes:smoothing=off", "sliding-window"]
    asked = [
        "--ask",
        "5: What is shown now?",
        "--ask",
        "30: What was the first card?",
        "--budget",
        "64",
        "--fps",
        "0.5",
    ]
    assert main(["record", "quick-tour", *memories, *asked, "--title", "A <tour>", "--out", str(out)]) == 0
    assert "2 memories, 20 frames" in capsys.readouterr().out
    run = trace.read_lab(out)
    assert (run.title, run.head.clip_id, run.head.settings.budget) == ("A <tour>", "quick-tour", 64)
    assert run.head.events
    variant, window = run.lanes
    assert variant.head.policy["name"] == "hermes:smoothing=off"
    assert variant.settings.changed == (("smoothing", False),)
    assert window.view(99).snapshot.kept_per_layer.tolist() == [64] * 10
    assert [turns[0].at for turns in run.questions] == [4, 30]
    assert all(turn.truth for turns in run.questions for turn in turns)
    for arguments, words in [
        (["--policies", "hermes"], "two to four"), (["--policies", "hermes", "hermes"], "two to four"),
        (["--policies", "hermes", "magic"], "magic"), (["--policies", "hermes", "full", "--policy", "h2o"], "--policies"),
        (["--policies", "hermes", "full", "--set", "k=2"], "hermes:smoothing=off"),
    ]:  # fmt: skip
        assert main(["record", "quick-tour", *arguments]) == 2
        assert words in capsys.readouterr().err
