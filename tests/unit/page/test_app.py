"""Flags and environment of `app.py`, and the absence of a programmatic API."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gradio import Blocks

import app
import hermes
from hermes.serving.engine import Engine, StreamSettings
from ui.address import Address, AddressError, find_address
from ui.options import Options
from ui.page.page import build, launch_options
from ui.visitors.registry import Quota


@pytest.fixture
def no_environment(monkeypatch):
    for name in ("HOST", "PORT", "MODEL", "POLICY", "BUDGET", "STREAMS", "CLIPS", "YES"):
        monkeypatch.delenv(f"HERMES_{name}", raising=False)
    for name in ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_page_listens_to_this_computer_alone(no_environment):  # noqa: ARG001
    flags = app.parse([])
    assert (flags.host, flags.port, flags.model, flags.policy, flags.budget) == (
        "127.0.0.1",
        7860,
        "pocket",
        "hermes",
        512,
    )
    assert flags.share is False


def test_a_large_download_is_agreed_to_by_flag_or_on_a_space(no_environment):
    assert app.parse([]).yes is False
    assert app.parse(["--yes"]).yes is True
    no_environment.setenv("SPACE_ID", "someone/space")
    assert app.parse([]).yes is True


def test_flags_win_over_the_environment(no_environment):
    no_environment.setenv("HERMES_BUDGET", "256")
    no_environment.setenv("HERMES_MODEL", "some/model")
    no_environment.setenv("SPACE_ID", "owner/name")
    flags = app.parse(["--model", "pocket"])
    assert (flags.host, flags.budget, flags.model) == ("0.0.0.0", 256, "pocket")  # noqa: S104


@pytest.mark.parametrize("name", ["HERMES_POLICY", "HERMES_BUDGET", "HERMES_PORT"])
def test_a_wrong_environment_is_bad_usage(no_environment, name, capsys):
    no_environment.setenv(name, "nonsense")
    with pytest.raises(SystemExit) as stop:
        app.parse([])
    assert stop.value.code == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "0"], "from 1 to 65535"),
        (["--port", "65536"], "from 1 to 65535"),
        (["--port", "-1"], "from 1 to 65535"),
        (["--port", "http"], "'http'"),
        (["--budget", "0"], "--budget"),
        (["--budget", "-5"], "--budget"),
        (["--budget", "1e3"], "'1e3'"),
        (["--streams", "0"], "--streams"),
        (["--streams", "many"], "'many'"),
        (["--policy", "magic"], "no policy “magic”"),
        (["--replicas", "2"], "need --ray"),
        (["--ray", "--replicas", "0"], "--replicas"),
        (["--ray", "--gpus-per-replica", "1.5"], "'1.5'"),
        (["--ray", "--clip-mode"], "--clip-mode"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_an_invalid_flag_is_one_line(no_environment, capsys, arguments, words):  # noqa: ARG001
    with pytest.raises(SystemExit) as stop:
        app.main(arguments)
    assert stop.value.code == 2
    sentence = capsys.readouterr().err
    assert words in sentence
    assert sentence.startswith("hermes: error: ")
    assert sentence.count("\n") == 1


@pytest.mark.parametrize("name", ["BUDGET", "STREAMS", "PORT"])
@pytest.mark.parametrize("value", ["0", "-1", "99999999999", "nonsense"])
def test_an_invalid_variable_is_refused(no_environment, name, value):
    no_environment.setenv(f"HERMES_{name}", value)
    with pytest.raises(SystemExit) as stop:
        app.parse([])
    assert stop.value.code == 2


def refused(capsys, *arguments):
    """Start the app with invalid arguments; return its message, which must be one line."""
    assert app.main([*arguments]) == 2
    sentence = capsys.readouterr()
    assert sentence.out == ""
    assert sentence.err.startswith("hermes: error: ")
    assert sentence.err.count("\n") == 1
    return sentence.err


@pytest.mark.parametrize(
    "model", ["nonsense", "/no/such/folder", "example/no-such-model", "a/b/c", "~unknown/x", "x" * 300]
)
def test_an_unknown_model_is_refused(no_environment, capsys, model):  # noqa: ARG001
    refused(capsys, "--model", model)


def test_a_folder_without_a_usable_model_is_refused(no_environment, capsys, tmp_path):  # noqa: ARG001
    assert "config.json" in refused(capsys, "--model", str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert "bert" in refused(capsys, "--model", str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    assert "cannot be read" in refused(capsys, "--model", str(tmp_path))


def test_an_unusable_folder_of_clips_is_refused(no_environment, capsys, tmp_path):  # noqa: ARG001
    assert "no folder" in refused(capsys, "--clips", str(tmp_path / "missing"))
    assert "no folder" in refused(capsys, "--clips", __file__)
    for content in ("{", "7", "\udcff", "[1]", '[{"a": 1}]', '{"a": 1}'):
        (tmp_path / "index.json").write_text(content, "utf-8", "surrogateescape")
        assert "index.json" in refused(capsys, "--clips", str(tmp_path))


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1", "256.256.256.256", ".", "x" * 300])
def test_an_unusable_host_is_refused(no_environment, capsys, host):  # noqa: ARG001
    refused(capsys, "--host", host)


def test_a_ray_cluster_that_does_not_answer_is_refused(no_environment, capsys):  # noqa: ARG001
    with socket.socket() as bound:  # without listening
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        assert f"nothing answers at {address}" in refused(capsys, "--ray", address)


@pytest.fixture
def taken():
    """A port in use, with the number after it free or in use too."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_chosen_port_in_use_is_refused(no_environment, capsys, taken):
    assert f"Port {taken} is in use" in refused(capsys, "--port", str(taken))
    no_environment.setenv("HERMES_PORT", str(taken))
    assert f"Port {taken} is in use" in refused(capsys)


def test_the_next_free_port_is_taken_when_none_was_chosen(no_environment, taken):
    no_environment.setenv("GRADIO_SERVER_PORT", str(taken))
    flags = app.parse([])
    assert (flags.port, flags.port_given) == (taken, False)
    found = find_address("127.0.0.1", taken, explicit=False)
    assert taken < found.port < taken + 100
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", found.port))


def test_a_port_in_use_on_one_address_is_in_use_on_all(no_environment, taken):  # noqa: ARG001
    with pytest.raises(AddressError, match="in use"):
        find_address("0.0.0.0", taken, explicit=True)  # noqa: S104


def test_addresses_are_written_as_urls():
    assert str(Address("127.0.0.1", 80)) == "http://127.0.0.1:80"
    assert str(Address("::1", 80)) == "http://[::1]:80"
    assert find_address("localhost", 50_000, explicit=False).host == "localhost"


def test_a_port_in_use_ends_the_process_quietly(taken):
    """In a separate process, to check that nothing crashes at exit and that it ends before it imports what takes seconds."""
    heavy = "import sys; sys.modules.update(dict.fromkeys(['gradio.utils', 'torch', 'transformers', 'pandas']))"
    code = f"{heavy}; import runpy; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    command = [sys.executable, "-c", code, app.__file__, "--port", str(taken)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    begun, *message = done.stderr.splitlines()
    assert begun.startswith("INFO hermes.app: Loading the page.")
    assert message == [f"hermes: error: Port {taken} is in use on 127.0.0.1. {ADVICE}"]
    assert done.stdout == ""


def test_an_interrupt_during_the_imports_leaves_no_traceback():
    """The process interrupts itself where the module that reads the flags would be imported."""
    code = (
        "import os, runpy, signal, sys; from importlib.abc import MetaPathFinder\n"
        "class Interrupt(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'ui.flags': os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Interrupt()); runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code, app.__file__], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_folder_of_uploads_that_cannot_be_made_is_one_line(no_environment, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    no_environment.setenv("GRADIO_TEMP_DIR", str(tmp_path / "file"))
    assert "Not a directory" in refused(capsys)


ADVICE = "Stop the other program, or choose another port with --port."


def test_the_app_stays_small():
    assert len(Path(app.__file__).read_text("utf-8").splitlines()) < 90


def test_programs_are_offered_nothing_and_nothing_is_reported(tiny_folder):
    engine = Engine()
    settings = StreamSettings(model=str(tiny_folder))
    made = build(
        engine,
        hermes.POLICIES,
        Options(settings, (settings.model,), any_model=False, clips=Path("/nowhere"), quota=Quota()),
    )
    page = made.blocks
    public = page.get_api_info()
    assert set(public["named_endpoints"]) == {"/options", "/start", "/push", "/ask", "/status", "/memory", "/close"}
    assert public["unnamed_endpoints"] == {}
    assert page.analytics_enabled is False
    assert page._queue.sleep_when_free > Blocks()._queue.sleep_when_free, "an idle server polls less often"
    launch = launch_options(Quota(), made.handlers, made.opening)
    assert launch["run_history"] is False
    assert launch["footer_links"] == ["api"]
    assert "allowed_paths" not in launch
    assert made.opening is not None
    frames = [fn for fn in page.fns.values() if fn.concurrency_id in ("hello", "shot", "chat", "act")]
    assert len(frames) == 4
    assert all(fn.concurrency_limit is None for fn in frames)
    chosen = [
        fn
        for fn in page.fns.values()
        if any(event == "input" for _, event in fn.targets) or fn.concurrency_id == "back"
    ]
    assert len(chosen) == 5, "the four settings of the drawer, and the request to show the settings"
    assert {fn.trigger_mode for fn in chosen} == {"always_last"}, "Gradio would drop a choice made during another one"
    engine.close()
