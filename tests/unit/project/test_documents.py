"""The examples, notebooks and code blocks of CONTRIBUTING.md run as they are written."""

import ast
import csv
import json
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import numpy as np
import pytest
from plotly.graph_objects import Figure

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

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ("policy", "title", "fidelity", "badge")


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


def _shown(source, names):
    """Run the code of a notebook's cell; returns the value of its last line, which a notebook shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec", dont_inherit=True), names)  # noqa: S102
    return last and eval(compile(ast.Expression(last.value), "cell", "eval", dont_inherit=True), names)  # noqa: S307


@pytest.mark.usefixtures("own_plugins")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, monkeypatch):
    """In this process, because starting a kernel and importing torch takes as long as the notebooks."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # they ship without outputs
    module = ModuleType("notebook_cells")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look up the module of a class
    monkeypatch.chdir(path.parent)
    values = [_shown(cell.source, vars(module)) for cell in notebook.cells if cell.cell_type == "code"]
    figures = [value for value in values if isinstance(value, Figure)]
    assert len(figures) >= 3
    assert all(figure.layout.title.text for figure in figures)


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


def test_the_tables_of_results_hold_the_lab_s_figures(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # the program adds the repository
    with pytest.raises(SystemExit) as ended:
        _run_program(monkeypatch, ROOT / "docs" / "results_tables.py", "--check")
    assert ended.value.code == 0
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
