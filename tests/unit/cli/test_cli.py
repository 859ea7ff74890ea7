"""The command line: answers, JSON, exit codes, and an error message for every invalid input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hermes
import hermes.cli.ask
from hermes.cli import COMMANDS, main
from hermes.cli.ask import pair_questions
from hermes.errors import FailedError, HermesError
from hermes.pocket.model import build, save

DATA = Path(__file__).parents[2] / "data"
CLIP = str(DATA / "long_groups.mp4")
KEYS = {
    "answer", "model", "policy", "budget", "guidance", "frames_seen", "tokens_seen", "kept_per_layer", "cache_bytes",
    "ingest_fps", "first_token_ms", "peak_rss_bytes",
}  # fmt: skip


def ask(*arguments: str) -> int:
    return main(["ask", *arguments])


# --- answers -------------------------------------------------------------------------------------------------------


def test_one_question_as_json(capsys, model_folder):
    code = ask(CLIP, "--question", "What is shown now?", "--model", model_folder, "--budget", "64", "--json")
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert set(report) >= KEYS
    assert "answers" not in report
    assert (report["model"], report["policy"], report["budget"], report["guidance"]) == (
        "random",
        "hermes",
        64,
        "forward",
    )
    assert report["frames_seen"] == 40  # twenty seconds at two frames a second
    assert report["tokens_seen"] == 40 * 16
    assert report["kept_per_layer"] == [64] * 10
    assert isinstance(report["answer"], str)
    assert report["cache_bytes"] > 0
    assert report["ingest_fps"] > 0
    assert report["first_token_ms"] > 0
    assert report["peak_rss_bytes"] > 10_000_000


def test_several_questions_are_asked_when_their_time_comes(capsys, model_folder):
    code = ask(
        CLIP, "--model", model_folder, "--json", "--fps", "1", "--policy", "full",
        "--question", "What was the first card?",
        "--question", "What is shown now?", "--at", "3.5",
        "--question", "Where is it?", "--at", "0",
    )  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [asked["question"] for asked in report["asked"]] == [
        "What was the first card?", "What is shown now?", "Where is it?",
    ]  # fmt: skip
    assert [asked["asked_seconds"] for asked in report["asked"]] == [19, 3, 0]
    assert [asked["frames_seen"] for asked in report["asked"]] == [20, 4, 1]
    assert report["answers"] == [asked["answer"] for asked in report["asked"]]
    assert report["answer"] == report["answers"][-1]
    assert report["budget"] is None
    assert report["guidance"] == "none"


def test_a_question_gets_the_same_answer_alone_and_among_others(capsys, model_folder):
    alone, among = ["--question", "Where is it?", "--at", "9"], ["--question", "What is it?", "--at", "4"]
    ask(CLIP, "--model", model_folder, "--json", *alone)
    first = json.loads(capsys.readouterr().out)
    ask(CLIP, "--model", model_folder, "--json", *among, *alone)
    second = json.loads(capsys.readouterr().out)
    assert second["answers"][1] == first["answer"]
    assert first["frames_seen"] == second["frames_seen"] == 19  # it stops when nothing is left to ask


def test_plain_answers(capsys, model_folder):
    ask(CLIP, "--model", model_folder, "--fps", "0.2", "--question", "What is it?", "--json")
    answer = json.loads(capsys.readouterr().out)["answer"]
    ask(CLIP, "--model", model_folder, "--fps", "0.2", "--question", "What is it?")
    assert capsys.readouterr().out.strip() == answer


def test_the_model_decides_the_answer(capsys, model_folder, tmp_path):
    """Different weights give different answers: answers come from the model."""
    model, tokenizer = build(seed=1)
    save(tmp_path / "other", model, tokenizer, {"name": "other", "about": "random weights", "max_new_tokens": 6})
    answers = set()
    for folder in (model_folder, str(tmp_path / "other")):
        ask(CLIP, "--model", folder, "--fps", "0.2", "--question", "What is it?", "--json")
        answers.add(json.loads(capsys.readouterr().out)["answer"])
    assert len(answers) == 2


def test_damage_is_noted(capsys, model_folder, tmp_path):
    data = (DATA / "long_groups.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    code = ask(
        str(tmp_path / "cut.mp4"), "--model", model_folder, "--fps", "1", "--question", "What is it?", "--at", "18"
    )
    captured = capsys.readouterr()
    assert code == 0
    assert "cut short" in captured.err
    assert "was asked there" in captured.err


# --- pairing questions with times ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "pairs"),
    [
        ("Q", [("a", None)]),
        ("Q1", [("a", 1)]),
        ("1Q", [("a", 1)]),
        ("Q1Q2", [("a", 1), ("b", 2)]),
        ("1Q2Q", [("a", 1), ("b", 2)]),
        ("QQ12", [("a", 1), ("b", 2)]),
        ("QQ2", [("a", None), ("b", 2)]),
        ("Q1QQ3", [("a", 1), ("b", None), ("c", 3)]),
    ],
)
def test_pairs(typed, pairs):
    names = iter("abc")
    options = [("question", next(names)) if c == "Q" else ("at", float(c)) for c in typed]
    assert [(asked.question, asked.at) for asked in pair_questions(options)] == pairs


@pytest.mark.parametrize("typed", ["", "1", "1QQ", "Q12", "Q1Q2345"])
def test_pairs_that_make_no_sense(typed):
    with pytest.raises(HermesError):
        pair_questions([("question", "a") if c == "Q" else ("at", float(c)) for c in typed])


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least one --question"),
        (["--question", "  "], "question is empty"),
        (["--question", "Q", "--at", "-3"], "0 seconds or later"),
        (["--question", "Q", "--at", "nan"], "0 seconds or later"),
        (["--question", "Q", "--fps", "0"], "sampling rate"),
        (["--question", "Q", "--model", "/no/such/folder"], "no model"),
        (["--question", "Q", "--model", str(DATA)], "There is no model in"),
    ],
)
def test_bad_use(capsys, arguments, message):
    assert ask(CLIP, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("hermes: error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "magic"], "no policy or preset “magic”"),
        (["--budget", "0"], "budget of 0 is too small"),
        (["--budget", "3"], "too small"),
        (["--budget", "1000000"], "too large"),
        (["--question", "word " * 10_000], "too long"),
    ],
)
def test_bad_settings(capsys, model_folder, arguments, message):
    assert ask(CLIP, "--model", model_folder, "--fps", "0.2", "--question", "What?", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("hermes: error: ")
    assert message in error


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"no video at all\n", "is a text file"),
        ("missing.mp4", None, "no file"),
    ],
)
def test_bad_videos(capsys, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert ask(str(tmp_path / name), "--question", "What?") == 2
    assert message in capsys.readouterr().err


def test_sound_only(capsys):
    assert ask(str(DATA / "sound_only.mp4"), "--question", "What?") == 2
    assert capsys.readouterr().err == 'hermes: error: "sound_only.mp4" holds no pictures, only sound.\n'


def test_hub_out_of_reach(capsys):
    assert ask(CLIP, "--question", "What?", "--model", "example/no-such-model") == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith("hermes: error: ")
    assert "cannot be reached" in sentence
    assert sentence.count("\n") == 1


# --- the command line itself -------------------------------------------------------------------------------------------


def test_a_failure_on_the_way_exits_with_1(capsys, monkeypatch):
    def fail(args):  # noqa: ARG001
        raise FailedError("The disk\nis full.")

    monkeypatch.setattr(hermes.cli.ask, "run", fail)
    assert ask(CLIP, "--question", "What?") == 1
    assert capsys.readouterr().err == "hermes: error: The disk is full.\n"


def test_usage_errors_exit_with_2():
    for arguments in ([], ["dance"], ["ask"], ["ask", CLIP, "--budget", "many"], ["ask", CLIP, "--nonsense"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2


def test_interrupt_exits_with_130(capsys, monkeypatch):
    def interrupt(args):  # noqa: ARG001
        raise KeyboardInterrupt

    monkeypatch.setattr(hermes.cli.ask, "run", interrupt)
    assert ask(CLIP, "--question", "What?") == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(capsys, name):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    sentence = capsys.readouterr().out
    assert f"python -m hermes {name}" in sentence
    assert "exit codes:" in sentence


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == f"HERMES Live {hermes.__version__}"
