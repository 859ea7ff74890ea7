"""Lab and benchmark on a local Ray cluster of two cores: the results of a local run, and an actor that is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tomllib
from pathlib import Path

import pytest
from benchmark_data import choice, write_annotations
from small_lab import without_times

from hermes.assets import CLIPS
from hermes.benchmarks.results import read_results
from hermes.cli import main
from hermes.errors import FailedError, HermesError
from hermes.ray_workers import TESTED, RayCluster

ROOT = Path(__file__).parents[3]
LAB = ["lab", "--streams", "2", "--frames", "24", "--budgets", "25%", "--policies", "hermes", "sliding-window"]


def _results(path):
    return [{k: v for k, v in row.items() if k != "times"} for row in read_results(path).rows]


def test_lab_and_benchmark_give_the_results_of_a_local_run(tmp_path, monkeypatch):
    """One cluster serves all commands, because starting one takes most of the time."""
    pytest.importorskip("ray", reason="the optional extra hermes-live[ray] is not installed")
    with RayCluster("", 2) as cluster:
        monkeypatch.setattr("hermes.cli.ray.RayCluster", lambda *_: _Open(cluster))
        for name, more in (("local", ()), ("ray", ("--ray", "--workers", "2"))):
            assert main([*LAB, *more, "--out", str(tmp_path / name)]) == 0
        local, ray = (json.loads((tmp_path / name / "lab.json").read_text()) for name in ("local", "ray"))
        assert without_times(ray) == without_times(local)
        assert (tmp_path / "ray" / "lab.csv").read_bytes() == (tmp_path / "local" / "lab.csv").read_bytes()

        entries = [
            {
                "video_path": f"/data/{name}.webm",
                "video_id": name,
                "task": "EPM",
                "conversations": [choice(2), choice(5)],
            }
            for name in ("first-card", "missing", "counting")
        ]
        write_annotations(tmp_path / "a.json", entries)
        command = ["benchmark", "ovobench", "--annotations", str(tmp_path / "a.json"), "--videos", str(CLIPS)]
        command += ["--fps", "1", "--budget", "64"]
        local, ray = tmp_path / "local.jsonl", tmp_path / "ray.jsonl"
        assert main([*command, "--out", str(local)]) == 0
        ray.write_text("".join(local.read_text().splitlines(keepends=True)[:2]))  # killed in the middle of a video
        assert main([*command, "--ray", "--resume", "--out", str(ray)]) == 0
        assert _results(ray) == _results(local)

        killed, failing = _light_workers()
        with pytest.raises(FailedError, match="Run the command again"):
            list(cluster.run(killed, (), [(0,), (1,)], 1))
        with pytest.raises(HermesError, match="Job 3 is invalid"):
            list(cluster.run(failing, (), [(3,)], 1))
        jobs = [(n,) for n in (2, 3, 4, 5, 6)]
        done = list(cluster.run(killed, (), jobs, 2))
        assert sorted(number for number, _ in done) == [2, 3, 4, 5, 6]
        assert len({process for _, process in done}) == 2


def _light_workers():
    """Two workers, which Ray copies by value, so that their processes need not import this module and torch."""

    class Killed:
        """Dies in its second job, as if the system had killed it."""

        def work(self, number):
            yield number, os.getpid()
            if number == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    class Failing:
        """Has an invalid job."""

        def work(self, number):
            yield number
            raise HermesError(f"Job {number} is invalid.")

    return Killed, Failing


class _Open:
    """A cluster that a command does not end."""

    def __init__(self, cluster):
        self._cluster = cluster

    def __enter__(self):
        return self._cluster

    def __exit__(self, *_):
        pass


def test_a_missing_package_or_cluster_is_an_error(tmp_path, monkeypatch, capsys):
    command = [*LAB, "--out", str(tmp_path / "lab"), "--ray"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "127.0.0.1:99999"):
        assert main([*command, address]) == 1
        assert f"nothing answers at {address}" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(command) == 2
    assert "pip install ray==" in capsys.readouterr().err
    pinned = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["ray"]
    assert pinned == [f"ray=={TESTED}"]
