"""The examples, notebooks and code blocks of CONTRIBUTING.md run as they are written."""

import csv
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import hermes
from hermes.assets import ASSETS, CLIPS, LESSONS
from hermes.backbones.families import FAMILIES
from hermes.cli import main
from hermes.lab.plan import Cell
from hermes.policies import load_plugin
from ui.board.cells import MODES
from ui.lessons.glossary import forms_of, read_glossary
from ui.lessons.model import Known
from ui.lessons.reader import read_lesson

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ("policy", "title", "fidelity", "badge")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


def _run_program(monkeypatch, *command):
    """Do what `python FILE ARGUMENT...` does, but in this process, which has imported torch already."""
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    runpy.run_path(sys.argv[0], run_name="__main__")


def test_stream_a_file(monkeypatch, capsys):
    _run_program(monkeypatch, EXAMPLES / "stream_a_file.py", CLIPS / "quick-tour.webm", "What was the first card?")
    printed = capsys.readouterr().out
    assert "What was the first card? Red circle." in printed
    assert "tokens a layer seen, 256 held" in printed


def test_record_and_read(tmp_path, monkeypatch, capsys):
    _run_program(monkeypatch, EXAMPLES / "record_and_read.py", tmp_path / "run.hermesrun")
    assert re.search(r"60 s: What was the first card\? .+ \(true answer: .+\)", capsys.readouterr().out)
    assert (tmp_path / "run.hermesrun").stat().st_size < 9e6


@pytest.mark.usefixtures("own_plugins")
def test_the_custom_policy_stays_under_its_budget():
    from hermes.cards.world import render_stream  # noqa: PLC0415

    load_plugin(str(EXAMPLES / "custom_policy.py"))
    stream = render_stream(seed=1, frames=40)
    session = hermes.StreamSession(hermes.load("pocket", device="cpu"), policy="first-and-thinned", budget=128)
    session.push(stream.frames, stream.times)
    snapshot = session.snapshot()
    assert (snapshot.kept_per_layer <= 128).all()
    assert (snapshot.kept[:, :4] == snapshot.tokens_per_frame).all()  # the first 64 tokens, four frames
    assert snapshot.kept[:, -1].all()


@pytest.fixture(scope="module")
def notebooks():
    """Cells of the executed notebooks. One kernel runs both, because each imports torch; names are reset between them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        read = [nbformat.read(path, as_version=4) for path in NOTEBOOKS]
        whole, parts = nbformat.v4.new_notebook(metadata=read[0].metadata), {}
        for path, notebook in zip(NOTEBOOKS, read, strict=True):
            nbformat.validate(notebook)
            assert all(not cell.get("outputs") for cell in notebook.cells)  # they ship without outputs
            first = len(whole.cells)
            whole.cells += [*notebook.cells, nbformat.v4.new_code_cell("%reset -f")]
            parts[path.stem] = slice(first, len(whole.cells) - 1)
        NotebookClient(whole, timeout=None, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
        return {name: whole.cells[part] for name, part in parts.items()}


@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_notebooks_run(notebooks, name):
    figures = [
        output.data["application/vnd.plotly.v1+json"]
        for cell in notebooks[name]
        for output in cell.get("outputs", ())
        if "application/vnd.plotly.v1+json" in output.get("data", {})
    ]
    assert len(figures) >= 3
    assert all(figure["layout"]["title"]["text"] for figure in figures)


def test_there_are_two_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["watch_a_memory_forget", "write_your_own_policy"]


def _blocks(language):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.usefixtures("own_plugins")
def test_the_contributing_guide_s_policy_runs_on_the_command_line(tmp_path, monkeypatch, capsys):
    code, check = _blocks("python")[:2]
    (tmp_path / "every_other.py").write_text(code, encoding="utf-8")
    (tmp_path / "check.py").write_text(check, encoding="utf-8")
    command = next(line for block in _blocks("sh") for line in block.splitlines() if "--plugin every_other.py" in line)
    assert command.startswith("python -m hermes lab ")
    monkeypatch.chdir(tmp_path)
    assert main([*command.split()[3:], "--out", "lab"]) == 0, capsys.readouterr().err
    assert "every-other" in capsys.readouterr().out
    monkeypatch.syspath_prepend(tmp_path)
    _run_program(monkeypatch, "check.py")


def test_the_contributing_guide_s_family_equals_the_shipped_one(tiny_folder, noise, monkeypatch):
    names = {}
    exec(_blocks("python")[2], names)  # noqa: S102
    frames, times = noise(5, 32, 32)

    def logits():
        session = hermes.StreamSession(hermes.load(tiny_folder, device="cpu"), policy="full")
        session.push(frames, times)
        return "".join(session.ask("What?")), session.snapshot()

    answer, shipped = logits()
    monkeypatch.setitem(FAMILIES, "llava_onevision", names["MyFamily"])
    model = hermes.load(tiny_folder, device="cpu")
    assert type(model) is names["MyFamily"]
    again, own = logits()
    assert again == answer
    assert np.array_equal(own.answer.attention, shipped.answer.attention)


def test_the_contributing_guide_s_lesson_is_valid(tmp_path):
    (text,) = _blocks("json")
    path = tmp_path / f"{json.loads(text)['id']}.json"
    path.write_text(text, encoding="utf-8")
    clips = {clip["name"]: clip["seconds"] for clip in json.loads((CLIPS / "index.json").read_text("utf-8"))["clips"]}
    known = Known(clips, set(), hermes.POLICIES, MODES, forms_of(read_glossary(ASSETS / "glossary.json")))
    lesson = read_lesson(path, known)
    assert lesson.number == len(list(LESSONS.glob("*.json"))) + 1


def test_the_files_that_the_contributing_guide_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:hermes|ui|tests|assets|examples|notebooks)/[\w./-]+)`", text))
    assert len(named) > 8
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_tables_of_results_hold_the_lab_s_figures():
    command = [sys.executable, ROOT / "docs" / "results_tables.py", "--check"]
    assert subprocess.run(command, check=False).returncode == 0
    summary = json.loads((ROOT / "assets" / "lab" / "lab.json").read_text())
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for cell in summary["cells"]:
        (row,) = (
            line for line in page.splitlines() if f" `{cell['policy']}` |" in line and f"| {cell['badge']} |" in line
        )
        assert row.startswith(f"| {cell['title']} `")
        if cell["budget"] is not None:
            assert f"{100 * cell['accuracy']['all']['value']:.1f}" in row


def test_published_results_name_policies_as_they_are_named_now():
    """No report shows a policy under a name or badge that it no longer has."""
    for path in (ROOT / "assets" / "lab").rglob("lab.json"):
        summary = json.loads(path.read_text())
        for cell in summary["cells"]:
            current = Cell(cell["policy"], cell["budget"]).description
            assert {name: cell[name] for name in current} == current
        text = path.with_suffix(".html").read_text()
        with path.with_suffix(".csv").open(newline="") as file:
            listed = {tuple(row[name] for name in NAMES) for row in csv.DictReader(file)}
        assert listed == {tuple(cell[name] for name in NAMES) for cell in summary["cells"]}
        assert all(f'<small class="badge">{cell["badge"]}</small>' in text for cell in summary["cells"])


def test_every_policy_is_described_in_the_docs_with_its_badge():
    page = (ROOT / "docs" / "policies.md").read_text()
    for name, policy in hermes.POLICIES.items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        if policy.fidelity_of() == "re-implemented":
            assert policy.badge in row
        if "style" in policy.title or policy.fidelity_of() != "re-implemented":
            assert policy.title.lower() in row.lower()
