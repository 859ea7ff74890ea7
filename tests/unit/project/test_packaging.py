"""The wheel: its files, its declared dependencies, and the installed command outside the checkout."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hermes import assets

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LARGEST_WHEEL = 40_000_000


def _imported(*places):
    """Names of the third-party distributions that Python files import, at any level of nesting."""
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))]
    modules = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.partition(".")[0])
    modules -= {*sys.stdlib_module_names, "hermes", "ui", "app"}
    distributions = packages_distributions()
    return {canonicalize_name(distributions.get(module, [module])[0]) for module in modules}


def _declared(lines):
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name): one.specifier for one in requirements}


def _pinned(path):
    lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    return _declared(line for line in lines if line)


LIBRARY = _declared(PROJECT["dependencies"])
PAGE = _declared(PROJECT["optional-dependencies"]["page"])
ZERO_GPU = _declared(PROJECT["optional-dependencies"]["zerogpu"])
TRAINING = _declared(PROJECT["optional-dependencies"]["training"])
MCP = _declared(PROJECT["optional-dependencies"]["mcp"])
RAY = _declared(PROJECT["optional-dependencies"]["ray"])
PINS = _pinned(ROOT / "requirements.txt")


def test_the_library_declares_exactly_its_imports():
    assert _imported(ROOT / "hermes") == {*LIBRARY, *TRAINING, *RAY}


def test_the_page_declares_exactly_its_imports():
    imported = _imported(ROOT / "ui", ROOT / "app.py")
    assert imported - set(LIBRARY) == {*PAGE, *MCP, *ZERO_GPU}


def test_requirements_pin_one_version_of_every_dependency_within_its_range():
    assert set(PINS) == {*LIBRARY, *PAGE}
    for name, pin in {**PINS, **_pinned(ROOT / "tests" / "requirements.txt")}.items():
        assert re.fullmatch(r"==[\w.]+", str(pin)), f"{name}{pin}"
        declared = (LIBRARY | PAGE | MCP | ZERO_GPU).get(name)
        if declared is not None:
            assert {specifier.operator for specifier in declared} == {">=", "<"}, f"{name}{declared}"
            assert declared.contains(str(pin).removeprefix("==")), f"{name}{pin} is outside {declared}"


def test_the_packages_that_the_project_names_are_all_used():
    named = {"torch", "transformers", "gradio", "plotly", "opencv-python-headless", "accelerate"}
    assert named <= set(PINS)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the installed wheel, and nothing else of the repository."""
    target = tmp_path_factory.mktemp("installed")
    _pip("install", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel)
    return target


def _pip(command, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _run(installed, folder, *arguments):
    """Run Python in `folder` with the installed package and the packages of this environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HERMES"))}
    environment |= {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=folder, env=environment,
    )  # fmt: skip


def _tracked(*folders):
    """The files of the checkout below its folders, without caches of Python and of the tools."""
    found = (file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file())
    return {file.relative_to(ROOT).as_posix() for file in found if "__pycache__" not in file.parts}


def test_the_wheel_holds_the_library_and_its_data_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    library = _tracked("hermes")
    assert {
        "hermes/policies/listing.json",
        "hermes/lab/templates/report.html",
        "hermes/lab/templates/report.css",
    } <= library
    data = _tracked(
        "assets/pocket", "assets/things", "assets/objects", "assets/clips", "assets/runs", "assets/photographs/held-out"
    )
    data = {name for name in data if not Path(name).match("training_*.jsonl")} | {"assets/photographs/README.md"}
    assert "assets/pocket/model.safetensors" in data
    assert names == library | {f"hermes/data/{name.removeprefix('assets/')}" for name in data}
    assert wheel.stat().st_size < LARGEST_WHEEL


ASK = ["ask", "quick-tour", "--fps", "1", "--question", "What was the first card?", "--json"]
NEED_A_CHECKOUT = {
    "hermes space": ["space", "out"],
    "hermes train-pocket": ["train-pocket", "--minutes", "1"],
    "hermes record --bundled": ["record", "--bundled"],
    "hermes eval --report": ["eval", "pocket", "--report"],
    "hermes bench --visitors": ["bench", "--visitors", "1"],
}


def test_the_installed_program_is_that_of_the_wheel(installed, tmp_path):
    imported = _run(installed, tmp_path, "-c", "import hermes; print(hermes.__file__, hermes.__version__)")
    path, version = imported.stdout.split()
    assert Path(path).is_relative_to(installed), imported.stderr
    done = _run(installed, tmp_path, installed / "bin" / "hermes", "--version")
    assert (done.returncode, done.stdout) == (0, f"HERMES Live {version}\n"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_installed_commands_outside_the_checkout(installed, tmp_path):
    """A question is answered; commands that need a checkout say so. One process runs all, because each loads torch."""
    code = "import json, sys; from hermes.cli import main; print([main(one) for one in json.loads(sys.argv[1])])"
    done = _run(installed, tmp_path, "-c", code, json.dumps([ASK, *NEED_A_CHECKOUT.values()]))
    answered, codes = done.stdout.rstrip().rsplit("\n", 1)
    assert codes == f"{[0] + [2] * len(NEED_A_CHECKOUT)}", done.stderr
    payload = json.loads(answered)
    assert (payload["model"], payload["policy"], payload["frames_seen"]) == ("HERMES pocket", "hermes", 40)
    assert payload["answer"] == "Red circle."
    for line, command in zip(done.stderr.splitlines(), NEED_A_CHECKOUT, strict=True):
        assert line.startswith(f"hermes: error: `{command}")
        assert "needs a checkout of the repository" in line
    assert list(tmp_path.iterdir()) == []


def test_the_checkout_is_found_without_an_installation():
    assert assets.checkout("This test") == ROOT
    assert assets.ASSETS == ROOT / "assets"


def test_bundled_clips_are_found_by_name():
    assert assets.bundled_clip("first-card") == ROOT / "assets" / "clips" / "first-card.webm"
    for name in ("second-card", "first-card.webm", "../clips/first-card", "", "\0", "a" * 5000):
        assert assets.bundled_clip(name) is None


def test_the_page_names_the_missing_package_if_only_the_library_is_installed(tmp_path):
    code = "import runpy, sys; sys.modules['gradio'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    done = _run(ROOT, tmp_path, "-c", code, ROOT / "app.py")
    assert done.returncode == 1
    assert done.stderr.startswith("hermes: error: The page needs gradio, which is not installed: pip install")
    assert len(done.stderr.splitlines()) == 1


def test_an_editable_installation_points_to_the_checkout(tmp_path):
    code = "import sys; from hatchling.build import build_editable; print(build_editable(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert [archive.read(name).decode().strip() for name in names] == [str(ROOT)]
        assert names[0].endswith(".pth")
