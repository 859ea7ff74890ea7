"""The lab command: tables, JSON, CSV and the standalone report; resuming a killed run; rejected arguments."""

from __future__ import annotations

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import preloaded
import pytest
from patience import until
from small_lab import POLICIES, without_times

import hermes
from hermes.cli import lab as lab_command
from hermes.cli import main
from hermes.lab.statistics import holm
from hermes.lab.store import MEASUREMENTS
from hermes.policies.fidelity import GROUPS
from hermes.policies.presets import ABLATIONS

SMALL = ["--streams", "2", "--frames", "16", "--budgets", "25%", "--policies", *POLICIES]


class Page(HTMLParser):
    """Texts of a page's table cells, its tags, and whether every tag was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data

    def handle_startendtag(self, tag, attrs):  # noqa: ARG002
        self.tags.append(tag)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report")
    assert main(["lab", *SMALL, "--out", str(path)]) == 0
    return path


def test_the_report_is_self_contained_and_has_the_numbers(folder):
    text, found = (folder / "lab.html").read_text(), json.loads((folder / "lab.json").read_text())
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.tags.count("script") == 3  # the plotting library once, the figures, and the code that draws them
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"<[^>]+\b(src|href)=", text.partition("<script>")[0])
    assert text.count("plotly.js v") == 1
    stated = re.search(r"This file is ([\d.]+) MB large", text)
    assert float(stated[1]) == pytest.approx(len(text.encode()) / 1e6, abs=0.06)
    assert found["command"].startswith("python -m hermes lab --policies ")
    assert f"<code>{found['command']}</code>" in text
    # One figure of accuracy, one of differences, one of wrong answers with a budget and one without.
    without = ["wrong-None"] if sum(found["cells"][2]["outcomes"].values()) else []
    drawn = re.findall(r'data-figure="([^"]+)"', text)
    assert sorted(drawn) == sorted(["accuracy", "differences-64", "wrong-64", *without])
    figures = json.loads(re.search(r'<script id="figures" type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    assert sorted(figures) == sorted(drawn)
    policy = next(line for line in figures["accuracy"]["light"]["data"] if line["legendgroup"] == "policy")
    assert policy["y"] == [100 * found["cells"][0]["accuracy"]["memory"]["value"]]
    assert (
        figures["accuracy"]["dark"]["layout"]["paper_bgcolor"]
        != figures["accuracy"]["light"]["layout"]["paper_bgcolor"]
    )
    for cell in found["cells"]:
        for row in cell["accuracy"].values():
            assert f"{100 * row['value']:.1f}" in page.cells
        assert f"{cell['memory']['resident_tokens']:,.0f}" in page.cells
        assert f"{cell['times']['first_token_ms']:.1f} ms" in page.cells
    for cell in found["cells"]:
        assert all(str(count) in page.cells for count in cell["outcomes"].values())
    for row in found["expectations"]:
        assert {row["claim"], row["verdict"], f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"} <= set(page.cells)
    for row in found["comparisons"]:
        assert f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}" in page.cells


def test_the_csv_holds_every_accuracy(folder):
    found = json.loads((folder / "lab.json").read_text())
    rows = list(csv.DictReader((folder / "lab.csv").open()))
    assert len(rows) == sum(len(cell["accuracy"]) for cell in found["cells"])
    first = next(row for row in rows if row["policy"] == "hermes" and row["group"] == "first")
    assert float(first["accuracy"]) == found["cells"][0]["accuracy"]["first"]["value"]
    assert (first["title"], first["fidelity"], first["badge"], first["window"]) == (
        "HERMES", "re-implemented", "original method, no training", "64",
    )  # fmt: skip


def test_reports_of_the_same_streams_are_merged(folder, tmp_path, capsys):
    """A policy with other results replaces its rows; policies are listed in groups; Holm's correction covers everything."""
    older, newer = tmp_path / "older", tmp_path / "newer"
    shutil.copytree(folder, older)
    found = json.loads((older / "lab.json").read_text())
    (window,) = (cell for cell in found["cells"] if cell["policy"] == "sliding-window")
    measured = window["accuracy"]["all"]["value"]
    window["accuracy"]["all"]["value"] = 0.123  # as if an earlier version had given other answers
    window["title"] = "Old name"
    (older / "lab.json").write_text(json.dumps(found))
    more = [*SMALL[:-3], "hermes", "sliding-window", "recurrent-state", "storm"]
    assert main(["lab", *more, "--out", str(newer)]) == 0
    assert main(["lab", "--merge", str(older), str(newer)]) == 0
    merged = json.loads((older / "lab.json").read_text())
    assert [(cell["policy"], cell["fidelity"]) for cell in merged["cells"]] == [
        ("hermes", "re-implemented"), ("sliding-window", "re-implemented"), ("full", "re-implemented"),
        ("storm", "untrained"), ("recurrent-state", "surrogate"),
    ]  # fmt: skip
    window = merged["cells"][1]
    assert (window["accuracy"]["all"]["value"], window["title"]) == (measured, "Sliding window")
    runs = {cell["policy"]: cell["times"]["runs"] for cell in merged["cells"]}
    assert (runs["hermes"], runs["storm"], runs["sliding-window"]) == ("A", "B", "B")
    assert [source["runs"] for source in merged["sources"]] == [["A"], ["B"]]
    assert merged["sources"][1]["command"].endswith("--streams 2 --frames 16 --seed 0")
    compared = merged["comparisons"]
    assert {row["policy"] for row in compared} == {"sliding-window", "full", "storm", "recurrent-state"}
    assert [row["p_holm"] for row in compared] == holm([row["p"] for row in compared])
    text = (older / "lab.html").read_text()
    assert text.count("To repeat the measurement:") == 2
    assert "Old name" not in text
    assert all(title in text for title in GROUPS.values())
    assert '<small class="badge">approximation, not the original</small>' in text
    printed = capsys.readouterr().out
    assert "storm (untrained) 25 %" in printed
    assert "recurrent-state (surrogate) 25 %" in printed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda report: report["setup"].update(seed=7), "differ in seed"),
        (lambda report: report["cells"][0]["accuracy"]["all"].update(value=0.5), "reference “hermes” gave different"),
        (lambda report: report["groups"][0].update(n=1), "different questions"),
        (lambda report: report.pop("cells"), "not a report of the lab"),
    ],
)
def test_reports_that_do_not_fit_are_not_merged(folder, tmp_path, change, says, capsys):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    report = json.loads((other / "lab.json").read_text())
    change(report)
    (other / "lab.json").write_text(json.dumps(report))
    before = (folder / "lab.json").read_bytes()
    assert main(["lab", "--merge", str(folder), str(other)]) == 2
    assert says in capsys.readouterr().err
    assert (folder / "lab.json").read_bytes() == before


def test_a_missing_or_damaged_report_is_named(tmp_path, capsys):
    assert main(["lab", "--merge", str(tmp_path)]) == 2
    assert "no report" in capsys.readouterr().err
    (tmp_path / "lab.json").write_text("{")
    assert main(["lab", "--merge", str(tmp_path)]) == 2
    assert "not JSON" in capsys.readouterr().err


def test_the_command_prints_tables_or_json(folder, capsys):
    assert main(["lab", *SMALL, "--out", str(folder)]) == 0  # everything is measured already
    printed = capsys.readouterr()
    assert "6 of 6 measured" in printed.err
    assert "hermes 25 %" in printed.out
    assert "p (Holm)" in printed.out
    assert main(["lab", *SMALL, "--out", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["setup"]["full_tokens"] == 16 * 16


def test_a_killed_command_continues(folder, tmp_path, capsys):
    process = preloaded.start(
        "hermes", "lab", *SMALL, "--out", str(tmp_path), folder=tmp_path, out=tmp_path.with_suffix(".log")
    )
    path = tmp_path / MEASUREMENTS
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= 3)
    process.kill()
    process.join()
    assert main(["lab", *SMALL, "--out", str(tmp_path)]) == 0
    assert re.match(r"[1-6] of 6 measured", capsys.readouterr().err)
    there, here = (json.loads((path / "lab.json").read_text()) for path in (folder, tmp_path))
    assert without_times(there) == without_times(here)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--policies", "magic"], "no policy or preset “magic”"),
        (["--budgets", "much"], "“much”"),
        (["--workers", "0"], "At least one worker"),
        (["--model", "/nowhere"], "nowhere"),
    ],
)
def test_the_command_refuses(arguments, says, capsys, tmp_path):
    assert main(["lab", *SMALL, *arguments, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("hermes: error: ")
    assert says in error


def test_names_that_stand_for_many():
    listed = lab_command._policies(["all", "ablations", "hermes:smoothing=off"])
    assert listed == [*hermes.POLICIES, *(preset.name for preset in ABLATIONS), "hermes:smoothing=off"]
    assert lab_command._policies(["ablations@25%", "rekv@64"]) == [
        *(f"{preset.name}@25%" for preset in ABLATIONS),
        "rekv@64",
    ]


def test_a_folder_that_cannot_be_written_is_reported(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert main(["lab", *SMALL, "--out", str(tmp_path / "file")]) == 2
    assert "cannot be used" in capsys.readouterr().err
