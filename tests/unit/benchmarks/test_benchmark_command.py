"""The benchmark command with the pocket model: from annotations to the report, and kill -9 in the middle of a video."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import preloaded
import pytest
from benchmark_data import choice, write_annotations
from patience import until

from hermes.assets import CLIPS
from hermes.benchmarks.results import read_results
from hermes.cli import main

ROOT = Path(__file__).parents[3]
ASKED = [choice(2.2), choice(9), choice(11.6, "green")]
ENTRIES = [
    {"video_path": f"/data/{name}.webm", "video_id": name, "task": task, "conversations": ASKED}
    for name, task in (("first-card", "EPM"), ("counting", "ACR"))
]
PAUSING = '''
import os
import time
from pathlib import Path

import hermes
from hermes.policies.sliding_window import SlidingWindow


@hermes.register_policy
class Pausing(SlidingWindow):
    """A sliding window that waits after two answers, until a file exists."""

    name = "pausing"

    def after_encode(self, step):
        """Wait, then evict."""
        out, go = Path(os.environ["RESULTS"]), Path(os.environ["GO"])
        while out.read_bytes().count(b"\\n") > 2 and not go.exists():
            time.sleep(0.01)
        return super().after_encode(step)
'''


def command(folder, out, *more, name="ovobench"):
    return [
        "benchmark", name, "--annotations", str(folder / "a.json"), "--videos", str(CLIPS), "--model", "pocket",
        "--fps", "1", "--budget", "64", "--out", str(out), *more,
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    write_annotations(tmp_path / "a.json", ENTRIES)
    return tmp_path


def _without_times(path):
    return [{k: v for k, v in json.loads(line).items() if k != "times"} for line in path.read_text().splitlines()]


def test_a_run_names_its_settings_and_is_compared_with_another(folder, capsys):
    first, second = folder / "first.jsonl", folder / "second.jsonl"
    assert main(command(folder, first, "--json")) == 0
    (section,) = json.loads(capsys.readouterr().out)
    found = read_results(first)
    assert found.settings | {"fingerprint": "", "changed": {}} == {
        "format": 1, "benchmark": "ovobench", "annotations": found.settings["annotations"], "model": "pocket",
        "preset": "released", "fingerprint": "", "revision": None, "rate": 1.0, "chunk": 16, "max_pixels": None,
        "policy": "hermes", "budget": 64, "guidance": "embedding", "reindexing": "lazy", "changed": {},
    }  # fmt: skip
    assert found.settings["changed"]["repetition_penalty"] == 1.1
    assert {"processor", "cores", "gpu", "torch", "hermes", "device", "dtype"} <= set(found.environments[0])
    assert len(found.records) == 6
    for row in found.records.values():
        assert row["frames"] == {2.2: 3, 9: 9, 11.6: 12}[row["end"]]
        assert 0 < row["tokens_read"] <= row["tokens_read_most"] <= 64
        assert row["cache_bytes"] > 0
        assert row["times"]["first_token_ms"] > 0
        assert row["correct"] == (row["letter"] == row["truth"])
    assert section["runs"][0]["recorded"] == section["runs"][0]["questions"] == 6

    assert main(command(folder, second, "--policy", "sliding-window", "--budget", "32")) == 0
    assert main(["benchmark", "report", str(first), str(second), "--out", str(folder / "r.html")]) == 0
    printed = capsys.readouterr().out
    assert "A: first.jsonl: pocket, policy released, budget 64 tokens per layer, 1 frames per second" in printed
    assert "B: second.jsonl: pocket, policy sliding-window, budget 32 tokens per layer" in printed
    assert "B minus A" in printed
    assert "6 of 6" in printed
    assert "plotly.js v" in (folder / "r.html").read_text()


@pytest.mark.usefixtures("own_plugins")
def test_a_killed_run_continues_to_the_file_of_an_uninterrupted_one(folder, monkeypatch, capsys):
    plugin, killed, whole = folder / "pausing.py", folder / "killed.jsonl", folder / "whole.jsonl"
    plugin.write_text(PAUSING)
    more = ("--policy", "pausing", "--plugin", str(plugin))
    environment = {"GO": str(folder / "go"), "RESULTS": str(killed)}
    arguments = command(folder, killed, *more)
    process = preloaded.start("hermes", *arguments, folder=ROOT, out=folder / "killed.log", **environment)
    try:
        until(lambda: (killed.exists() and killed.read_bytes().count(b"\n") == 3) or not process.is_alive())
        assert process.is_alive()
    finally:
        process.kill()
        process.join()
    with killed.open("ab") as file:
        file.write(b'{"video":0,"quest')
    (folder / "go").touch()
    monkeypatch.setenv("GO", str(folder / "go"))
    monkeypatch.setenv("RESULTS", str(killed))
    assert main(command(folder, killed, *more)) == 2
    assert "Add --resume" in capsys.readouterr().err
    assert main(command(folder, killed, *more, "--resume", "--fps", "2")) == 2
    assert "other settings (rate: 1.0 instead of 2.0)" in capsys.readouterr().err
    assert main(command(folder, killed, *more, "--resume")) == 0
    monkeypatch.setenv("RESULTS", str(whole))
    assert main(command(folder, whole, *more)) == 0
    assert _without_times(killed) == _without_times(whole)


def test_egoschema_writes_the_table_for_its_server(folder, capsys):
    entries = [entry | {"q_uid": f"q-{entry['video_id']}"} for entry in ENTRIES]
    for entry in entries:
        entry["conversations"] = [choice(None, None)]
    entries.append(entries[0] | {"video_path": "/data/missing.mp4", "q_uid": "q-missing"})
    write_annotations(folder / "a.json", entries)
    assert main(command(folder, folder / "ego.jsonl", name="egoschema")) == 0
    assert "skipped: There is no video missing.mp4." in capsys.readouterr().out
    rows = list(csv.DictReader((folder / "ego.csv").open()))
    assert [row["q_uid"] for row in rows] == ["q-first-card", "q-counting", "q-missing"]
    assert {row["answer"] for row in rows} <= set("01234567")
    assert read_results(folder / "ego.jsonl").settings["reindexing"] == "eager"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--fps", "0"), "sampling rate"),
        (("--limit", "0"), "--limit"),
        (("--budget", "3"), "budget"),
        (("--policy", "nothing"), "no policy"),
        (("--set", "alpha=1", "--policy", "hermes"), "alpha"),
        (("--videos", "/nothing"), "no folder of videos"),
        (("--annotations", "/nothing"), "no annotation file"),
        (("--out", "/nothing/run.jsonl"), "no folder /nothing"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_invalid_arguments_create_no_file(folder, more, reason, capsys):
    assert main(command(folder, folder / "run.jsonl", *more)) == 2
    assert reason in capsys.readouterr().err
    assert not (folder / "run.jsonl").exists()
