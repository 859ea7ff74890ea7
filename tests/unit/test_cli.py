"""The command line: answers, JSON, exit codes, and an error message for every invalid input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hermes
import hermes.cli.ask
from hermes.cli import COMMANDS, main
from hermes.cli.ask import pair_questions
from hermes.cli.terminal import text_argument
from hermes.errors import FailedError, HermesError
from hermes.pocket.model import build, save

DATA = Path(__file__).parents[1] / "data"
CLIP = str(DATA / "long_groups.mp4")
KEYS = {
    "answer", "model", "policy", "budget", "guidance", "frames_seen", "tokens_seen", "kept_per_layer", "cache_bytes",
    "ingest_fps", "first_token_ms", "peak_rss_bytes",
}  # fmt: skip


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A pocket model with random weights: it answers, though not well."""
    folder = tmp_path_factory.mktemp("model") / "random"
    model, tokenizer = build(seed=0)
    save(folder, model, tokenizer, {"name": "random", "about": "random weights", "max_new_tokens": 6})
    return str(folder)


def ask(*arguments: str) -> int:
    return main(["ask", *arguments])


def run_hermes(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "hermes", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


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
    said = capsys.readouterr().err
    assert said.startswith("hermes: error: ")
    assert "cannot be reached" in said
    assert said.count("\n") == 1


# --- outputs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def fragile(tmp_path):
    """A folder that nothing may change: a clip, another name of it, a link to a device, a pipe."""
    (tmp_path / "clip.mp4").write_bytes(Path(CLIP).read_bytes())
    (tmp_path / "alias.mp4").hardlink_to(tmp_path / "clip.mp4")
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


UNUSABLE = {
    "clip.mp4": "is an input",
    "alias.mp4": "is an input",
    "link.mp4": "is an input",
    "null": "is a device",
    "/dev/null": "is a device",
    "/dev/stdout": "is a device",
    "/dev/full": "is a device",
    "pipe": "a pipe",
    "folder": "is a folder",
    "": "is a folder",
    "no/such/folder/run": "no folder",
    "clip.mp4/below": "not a folder",
    "/proc/run": "is a device",
    "x" * 300: "too long",
}


def test_no_command_loads_a_model_before_its_output_is_checked(fragile, capsys, monkeypatch):
    """The model is one that does not exist: the output is complained about first."""
    monkeypatch.chdir(fragile)
    before = sorted(fragile.iterdir())
    for name, words in UNUSABLE.items():
        commands = [
            ["record", "clip.mp4", "--model", "/no/model", "--out", name],
            ["record", "clip.mp4", "--model", "/no/model", "--out", name, "--policies", "hermes", "full"],
        ]
        if words != "is an input":
            commands.append(["eval", "/no/model", "--figure", name])
        for command in commands:
            assert main(command) == 2, command
            said = capsys.readouterr()
            assert words in said.err, command
            assert said.err.count("\n") == 1
            assert said.out == ""
    assert sorted(fragile.iterdir()) == before
    assert (fragile / "clip.mp4").read_bytes() == Path(CLIP).read_bytes()
    assert Path("/dev/null").is_char_device()
    assert (fragile / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mp4/below", "/dev", "/dev/null", "pipe", "/proc/lab"])
def test_no_command_uses_something_else_as_a_folder(fragile, capsys, monkeypatch, name):
    monkeypatch.chdir(fragile)
    before = sorted(fragile.iterdir())
    for command in (
        ["lab", "--model", "/no/model", "--out", name],
        ["clips", name],
        ["space", name],
        ["train-pocket", "--minutes", "1", "--out", name],
        ["train-pocket", "--minutes", "1", "--out", "new", "--run", name],
    ):
        assert main(command) == 2, command
        said = capsys.readouterr().err
        assert said.startswith("hermes: error: ")
        assert said.count("\n") == 1
    assert sorted(fragile.iterdir()) == before


def test_the_files_of_a_model_are_no_outputs(capsys, model_folder):
    weights = Path(model_folder) / "model.safetensors"
    before = weights.read_bytes()
    for command in (
        ["record", CLIP, "--model", model_folder, "--out", str(weights)],
        ["eval", model_folder, "--figure", str(weights)],
        ["lab", "--model", model_folder, "--out", model_folder],
        ["train-pocket", "--from", model_folder, "--out", model_folder],
        ["train-pocket", "--from", model_folder, "--out", f"{model_folder}-new", "--run", model_folder],
    ):
        assert main(command) == 2, command
        assert "is an input" in capsys.readouterr().err
    assert weights.read_bytes() == before


@pytest.mark.parametrize(
    ("command", "name"), [("lab --out {}", "lab.json"), ("lab --out {}", "measurements.jsonl"),
                          ("clips {}", "index.json"), ("clips {}", "quick-tour.webm"),
                          ("train-pocket --out {}", "model.safetensors")],
)  # fmt: skip
def test_a_device_among_the_files_of_a_folder_is_left_alone(tmp_path, capsys, command, name):
    (tmp_path / name).symlink_to("/dev/null")
    assert main(command.format(tmp_path).split()) == 2
    assert "is a device" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("numbers", ["--minutes 0", "--minutes nan", "--minutes inf", "--measure 2", "--measure -1"])
def test_training_refuses_numbers_out_of_range(tmp_path, capsys, numbers):
    assert main(["train-pocket", "--out", str(tmp_path / "new"), *numbers.split()]) == 2
    assert "must" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_report_needs_a_model(tmp_path, capsys):
    assert main(["eval", str(tmp_path / "none"), "--report"]) == 2
    assert "no pocket model" in capsys.readouterr().err


# --- terminals and encodings ---------------------------------------------------------------------------------------

QUESTION = "Où est la carte à l’étoile, 鍵?"
STUB = "import sys\nfrom hermes.cli.terminal import *\nprepare_streams()\n"


def run_python(program: str, *arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, check=False, env={**os.environ, **environment})


ENCODINGS = [
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "utf-16"},
]


@pytest.mark.parametrize("environment", ENCODINGS)
@pytest.mark.parametrize("raw", [QUESTION.encode(), "Où?".encode("latin-1")])
def test_text_arrives_in_any_encoding(environment, raw):
    program = STUB + "print_json(text_argument(sys.argv[1])); print('\\u2026\\xe9\\u9375')"
    done = run_python(program, raw, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    first, second = done.stdout.decode(encoding).splitlines()
    assert json.loads(first) == (QUESTION if raw == QUESTION.encode() else "Où?")
    assert second


def test_a_lone_surrogate_is_replaced():
    assert text_argument("a\ud800b") == "a?b"
    assert text_argument("plain é") == "plain é"


def test_a_question_in_latin_1_is_answered(model_folder):
    """The whole way: arguments of other bytes than UTF-8, and a terminal that takes ASCII alone."""
    command = [sys.executable, "-m", "hermes", "ask", CLIP, "--fps", "0.2", "--model", model_folder, "--json"]
    done = subprocess.run(
        [*command, "--question", "Où est-elle?".encode("latin-1")],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert isinstance(json.loads(done.stdout)["answer"], str)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed):
    """Nothing is printed into another file, and nothing fails."""
    script = f"'{sys.executable}' -m hermes --version {closed}; echo $?"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_a_closed_stream_is_no_file_of_ours(tmp_path):
    program = STUB + "file = open(sys.argv[1], 'w'); print('said', flush=True); print('said', file=sys.stderr)\n"
    call = f"'{sys.executable}' -c '{program.replace(chr(39), chr(34))}' '{tmp_path / 'file'}' >&- 2>&-"
    assert subprocess.run(["bash", "-c", call], check=False).returncode == 0
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_a_failure():
    script = f"'{sys.executable}' -m hermes models > /dev/full"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "hermes: error: No space left on device.\n")


def test_a_failure_on_the_way_exits_with_1(capsys, monkeypatch):
    def fail(args):  # noqa: ARG001
        raise FailedError("The disk\nis full.")

    monkeypatch.setattr(hermes.cli.ask, "run", fail)
    assert ask(CLIP, "--question", "What?") == 1
    assert capsys.readouterr().err == "hermes: error: The disk is full.\n"


# --- the command line itself ---------------------------------------------------------------------------------------


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


def test_a_closed_pipe_is_not_an_error():
    reader, writer = os.pipe()
    os.close(reader)  # as `hermes models | true`, after `true` has ended
    command = [sys.executable, "-m", "hermes", "models"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(capsys, name):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert f"python -m hermes {name}" in said
    assert "exit codes:" in said


def test_help_does_not_load_torch():
    program = "import sys, hermes.cli\ntry: hermes.cli.main(['--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "False"
    assert all(name in done.stdout for name in COMMANDS)


def test_version():
    assert run_hermes("--version").stdout.strip() == f"HERMES Live {hermes.__version__}"
