"""The bundled runs and their recipes, the command that records, and a run on a clock."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from patience import until
from synthetic_stream import SyntheticStream, recorded
from videos import DATA

from hermes import trace
from hermes.assets import RUNS
from hermes.bundled.lab_runs import read_recipes as read_lab_recipes
from hermes.bundled.recipes import ENDING
from hermes.bundled.runs import check, read_recipes
from hermes.cli import main
from hermes.cli.record import parse_question
from hermes.errors import HermesError
from hermes.trace import RunTurn
from hermes.video.decoder_process import fork_server
from ui.board.detail import word_detail
from ui.runs.replay import Replay, state
from ui.runs.runs import card, read_openings, read_runs, usual_speed
from ui.runs.stream_recorder import StreamRecording

RECIPES = read_recipes()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.id)
def test_a_bundled_run_matches_its_title(recipe):
    path = RUNS / f"{recipe.id}{ENDING}"
    assert path.stat().st_size < trace.LIMIT
    run = trace.read(path)
    assert run.id == recipe.id
    assert "{" not in run.title + run.about + run.head.look
    assert check(run.chat, recipe.expected) == []
    assert run.head.machine
    assert run.settings.policy == recipe.policy
    assert run.settings.budget in recipe.budgets
    for turn in run.chat:
        assert run.view(turn.done).snapshot.answer.question == turn.question


def test_the_runs_tell_the_story_that_was_asked_for():
    by_policy = {(recipe.clip, recipe.policy): recipe for recipe in RECIPES}
    ours, window = by_policy["first-card", "hermes"], by_policy["first-card", "sliding-window"]
    assert ours.questions == window.questions
    assert ours.budgets == window.budgets
    wrong = [q for q, wish in zip(window.questions, window.expected, strict=True) if wish == "wrong"]
    assert wrong
    assert all(ours.expected[ours.questions.index(question)] == "right" for question in wrong)
    assert any("forgotten" in recipe.expected for recipe in RECIPES)
    assert max(trace.read(RUNS / f"{recipe.id}{ENDING}").seconds for recipe in RECIPES) > 1750


TRUE, FALSE = RunTurn("Red?", "yes", 1, 1, truth="Yes."), RunTurn("Red?", "No.", 9, 9, truth="Yes.")


@pytest.mark.parametrize(
    ("turns", "expected", "fits"),
    [
        ([TRUE], ["right"], True), ([FALSE], ["right"], False), ([TRUE], ["wrong"], False), ([FALSE], ["wrong"], True),
        ([FALSE], ["any"], True), ([TRUE, FALSE], ["any", "forgotten"], True), ([FALSE], ["forgotten"], False),
        ([TRUE, TRUE], ["any", "forgotten"], False), ([TRUE], [], False),
        ([RunTurn("Who?", "Me.", 1, 1)], ["wrong"], False),
    ],
)  # fmt: skip
def test_answers_are_checked_against_the_truth(turns, expected, fits):
    assert (check(turns, expected) == []) is fits


def test_questions_of_the_command_line():
    asked = parse_question("60: What was first: red or blue?")
    assert (asked.at, asked.text) == (60.0, "What was first: red or blue?")
    asked = parse_question("Was it: red?")
    assert (asked.at, asked.text) == (None, "Was it: red?")
    for wrong in ("5:", " ", "-1: What?", "nan: What?"):
        with pytest.raises(HermesError):
            parse_question(wrong)


def test_the_command_records_a_clip_and_names_its_faults(tmp_path, capsys):
    out = tmp_path / "tour.hermesrun"
    asked = ["--ask", "5: What is shown now?", "--policy", "sliding-window", "--budget", "64", "--fps", "1"]
    assert main(["record", "quick-tour", *asked, "--title", "A <tour>", "--out", str(out)]) == 0
    assert "40 frames" in capsys.readouterr().out
    run = trace.read(out)
    assert (run.title, run.clip_id, run.frames, run.settings.budget) == ("A <tour>", "quick-tour", 40, 64)
    assert run.chat[0].at == 5
    assert run.chat[0].truth
    assert run.view(30).snapshot.kept.sum(1).tolist() == [64] * 10
    assert run.token_history(0).held[:, -1].tolist() == [0] * 10
    for arguments, words in [
        (["record"], "Give either"), (["record", "no-such-clip"], "no-such-clip"),
        (["record", "x", "--bundled"], "Give either"),
        (["record", "quick-tour", "--policy", "magic"], "magic"), (["record", "quick-tour", "--fps", "0"], "frame rate"),
        (["record", "quick-tour", "--out", str(tmp_path / "no" / "x")], "no folder"),
        (["record", "--bundled", "--only", "no-such-run"], "no-such-run"),
    ]:  # fmt: skip
        assert main(arguments) == 2
        assert words in capsys.readouterr().err


def test_a_video_whose_name_is_not_utf8_is_opened_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"M\xfcnchen %d.mp4")
    shutil.copy(DATA / "long_groups.mp4", tmp_path / name)
    before = fork_server().requests
    assert main(["record", name, "--policy", "sliding-window", "--fps", "0.2"]) == 0
    assert fork_server().requests == before + 1
    assert "4 frames" in capsys.readouterr().out
    run = trace.read(tmp_path / os.fsdecode(b"M\xfcnchen %d.hermesrun"))
    assert (run.title, run.frames) == ("M�nchen %d.mp4", 4)


# A run on a clock -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    stream, views = SyntheticStream(1), []
    for number in range(30):
        views.append(stream.push())
        if number == 14:
            views.append(stream.ask("What?"))
    at = views[14].clock
    return recorded(tmp_path, views, chat=(RunTurn("What?", "Red triangle.", at, at + 1, truth="Red triangle."),))[0]


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_replay_plays_pauses_jumps_and_ends(run):
    clock = Clock()
    replay = Replay(run, 1.0, 2.0, clock)
    assert (replay.state, replay.position) == ("paused", 1.0)
    clock.now += 5
    assert replay.position == 1.0
    replay.resume()
    clock.now += 2
    assert (replay.state, replay.position) == ("playing", 5.0)
    assert replay.view().clock == run.view(5.0).clock
    assert replay.view().state == "playing"
    replay.pace(1)
    clock.now += 1
    assert replay.position == 6.0
    jumps = replay.jumps
    replay.seek(2.5)
    assert (replay.position, replay.state) == (2.5, "playing")
    assert replay.jumps != jumps
    replay.pause()
    replay.seek(1e9)
    assert (replay.position, replay.state) == (run.seconds, "ended")
    replay.resume()
    assert replay.position == 0.0
    clock.now += 1000
    assert (replay.position, replay.state) == (run.seconds, "ended")
    with pytest.raises(HermesError):
        replay.seek(float("nan"))
    with pytest.raises(HermesError, match="is a recording"):
        replay.ask("What?")


def test_questions_come_at_their_times(run):
    replay = Replay(run, 0.0)
    payload = state(replay, bundled=True, startable="")["run"]
    assert payload["turns"] == []
    assert payload["stops"] == [{"at": run.chat[0].at, "text": "What?"}]
    replay.seek(run.chat[0].at)
    (turn,) = state(replay, bundled=True, startable="")["run"]["turns"]
    assert (turn["state"], turn["answer"], turn["right"]) == ("writing", "", None)
    replay.seek(run.chat[0].done)
    assert state(replay, bundled=True, startable="")["run"]["settings"].endswith(" frames per second")
    (turn,) = state(replay, bundled=True, startable="")["run"]["turns"]
    assert (turn["state"], turn["answer"], turn["right"]) == ("done", "Red triangle.", True)
    assert json.dumps(state(replay, bundled=True, startable=""), allow_nan=False)


def test_runs_that_cannot_be_read_are_left_out(tmp_path, caplog):
    stream = SyntheticStream(0)
    (tmp_path / "good").mkdir()
    source = recorded(tmp_path / "good", [stream.push()], id="good")[1]
    (tmp_path / f"good{ENDING}").write_bytes(source.read_bytes())
    (tmp_path / f"other{ENDING}").write_bytes(source.read_bytes())  # claims to be another
    (tmp_path / f"bad{ENDING}").write_bytes(b"nothing")
    names = ("bad", "missing", "other", "good")
    (tmp_path / "index.json").write_text(json.dumps({"runs": [{"id": name} for name in names]}))
    runs = read_runs(tmp_path)
    assert list(runs) == ["good"]
    assert caplog.text.count("Skipping run") == 3
    assert card(runs["good"])["poster"].startswith("data:image/jpeg;base64,")
    assert read_runs(tmp_path / "nowhere") == {}


def test_a_bundled_run_opens_with_a_filled_memory_shortly_before_a_question():
    openings = read_openings(RUNS)
    for recipe in RECIPES:
        run, at = trace.read(RUNS / f"{recipe.id}{ENDING}"), openings[recipe.id]
        snapshot = run.view(at).snapshot
        assert snapshot.kept_per_layer.max() > 0.7 * snapshot.budget, recipe.id
        wait = min(turn.at - at for turn in run.chat if turn.at >= at) / usual_speed(run.seconds)
        assert 1 <= wait <= 5, (recipe.id, wait)
        assert card(run, at)["open_at"] == at


def test_openings_that_make_no_sense_are_the_beginning(tmp_path, caplog):
    assert read_openings(tmp_path) == {}
    listed = [{"id": "a", "open_at": 5}, {"id": "b"}, {"id": "c", "open_at": -1}]
    (tmp_path / "index.json").write_text(json.dumps({"runs": listed}))
    assert read_openings(tmp_path) == {"a": 5.0, "b": 0.0}
    (tmp_path / "index.json").write_text(json.dumps({"runs": [{"id": "a", "open_at": "soon"}]}))
    assert read_openings(tmp_path) == {}
    assert "open at their start" in caplog.text


def test_a_recording_ends_by_itself_when_the_memory_begins_again(tmp_path):
    class Stream:
        scores = ()
        source = SyntheticStream(2)

        def view(self):
            return self.source.push()

        def thumbnails(self, frames):  # noqa: ARG002
            return {}

    stream = Stream()
    recording = StreamRecording(stream)
    assert recording.capture()
    assert recording.capture()
    restarted = SyntheticStream(3).push()
    stream.view = lambda: restarted
    assert not recording.capture()
    recording.start()
    until(lambda: recording.state()["ended"])
    assert recording.state()["ended"] == "the stream restarted"
    path = recording.finish(tmp_path, trace.Head(title="A/B <c>", created="2026-01-02"), [], lambda *_: None)
    assert path.name == "a-b-c-2026-01-02.hermesrun"
    assert trace.read(path).frames == 2


def test_a_list_of_runs_that_lacks_them_is_reported(tmp_path):
    (tmp_path / "index.json").write_text('{"labs": []}')
    with pytest.raises(HermesError, match="cannot be read"):
        read_recipes(tmp_path)
    (tmp_path / "index.json").write_text('{"runs": []}')
    assert read_lab_recipes(tmp_path) == []


def test_the_words_of_a_recording_have_their_attention():
    run = trace.read(RUNS / f"first-card-hermes{ENDING}")
    replay = Replay(run, run.seconds)
    payload = state(replay, bundled=True, startable="")["run"]["turns"]
    assert ["".join(text for text, *_ in turn["words"]) for turn in payload] == [turn.answer for turn in run.chat]
    for turn in payload:
        answer = replay.trace(turn["id"])
        for _, first, stop in [word for word in turn["words"] if word[2] > word[1]]:
            reply = word_detail(answer, {"turn": turn["id"], "first": first, "stop": stop, "bin": 1})
            assert (reply["layers"], reply["heads"], reply["columns"]) == answer.attention_heads.shape
    newest = payload[-1]["id"]
    replay.seek(10.0)
    assert replay.trace(newest) is None, "that question comes later"
    assert replay.trace(0) is not None
    assert replay.trace("0") is replay.trace(-1) is replay.trace(True) is None
