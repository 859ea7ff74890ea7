"""Flags and environment of `app.py`, and what the page offers to programs: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import app
import hermes
from hermes.engine import Engine, StreamSettings
from ui.options import Options
from ui.page import build, launch_options
from ui.sessions import Quota


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


def test_the_app_stays_small():
    assert len(Path(app.__file__).read_text("utf-8").splitlines()) < 80


def test_programs_are_offered_nothing_and_nothing_is_reported(tiny_folder):
    engine = Engine()
    settings = StreamSettings(model=str(tiny_folder))
    made = build(
        engine,
        hermes.POLICIES,
        Options(settings, (settings.model,), any_model=False, clips=Path("/nowhere"), quota=Quota()),
    )
    page = made.blocks
    assert page.get_api_info() == {"named_endpoints": {}, "unnamed_endpoints": {}}
    assert page.analytics_enabled is False
    launch = launch_options(Quota(), made.opening)
    assert launch["run_history"] is False
    assert launch["footer_links"] == []
    assert "allowed_paths" not in launch
    assert made.opening is not None
    frames = [fn for fn in page.fns.values() if fn.concurrency_id in ("poll", "shot", "chat", "act")]
    assert len(frames) == 4
    assert all(fn.concurrency_limit is None for fn in frames)
    engine.close()
