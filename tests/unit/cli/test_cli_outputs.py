"""Outputs of the commands: checked before a model is loaded; never an input, a device or a file in place of a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hermes.cli import main

CLIP = str(Path(__file__).parents[2] / "data" / "long_groups.mp4")


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
            message = capsys.readouterr()
            assert words in message.err, command
            assert message.err.count("\n") == 1
            assert message.out == ""
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
        message = capsys.readouterr().err
        assert message.startswith("hermes: error: ")
        assert message.count("\n") == 1
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
