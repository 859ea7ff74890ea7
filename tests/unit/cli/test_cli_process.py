"""The command line as a process: encodings, closed streams and pipes, and what it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest
from patience import PATIENCE

from hermes.cli import COMMANDS
from hermes.cli.terminal import text_argument

CLIP = str(Path(__file__).parents[2] / "data" / "long_groups.mp4")
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


def test_a_question_in_latin_1_is_answered(model_folder, tmp_path):
    """The whole way: arguments of other bytes than UTF-8, and a terminal that takes ASCII alone."""
    question = os.fsdecode("Où est-elle?".encode("latin-1"))  # as Python decodes arguments
    command = ["ask", CLIP, "--fps", "0.2", "--model", model_folder, "--json", "--question", question]
    code, out, err = preloaded.run("hermes", *command, folder=tmp_path, encoding="ascii")
    assert (code, err) == (0, "")
    assert isinstance(json.loads(out)["answer"], str)


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
def test_output_that_cannot_be_written_is_a_failure(tmp_path):
    errors = tmp_path / "errors"
    process = preloaded.start("hermes", "models", folder=tmp_path, out=Path("/dev/full"), err=errors)
    process.join(PATIENCE)
    assert (process.exitcode, errors.read_text("utf-8")) == (1, "hermes: error: No space left on device.\n")


def test_a_closed_pipe_is_not_an_error():
    reader, writer = os.pipe()
    os.close(reader)  # as `hermes models | true`, after `true` has ended
    command = [sys.executable, "-m", "hermes", "models"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_help_does_not_load_torch():
    program = "import sys, hermes.cli\ntry: hermes.cli.main(['--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "False"
    assert all(name in done.stdout for name in COMMANDS)
