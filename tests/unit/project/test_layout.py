"""The rules of docs/architecture.md: which package may import which, one name per class, no crowded folders."""

from __future__ import annotations

import ast
import importlib.util
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MAX_FILES = 26
MAX_POLICY_FILES = 40  # one file per policy


def _tool():
    spec = importlib.util.spec_from_file_location("import_diagram", ROOT / "docs" / "import_diagram.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = _tool()
KNOWN = TOOL.modules()
CORE = ("hermes.memory", "hermes.policies", "hermes.session.stream_session", "hermes.analysis", "hermes.trace")
WORLDS = ("hermes.cards", "hermes.pocket", "hermes.things", "hermes.ground_truth")


def _external(path: Path, *, module_level: bool = False) -> set[str]:
    tree = TOOL.parsed(path)
    hidden: set[int] = set()
    for node in ast.walk(tree):
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        if module_level and (lazy or typing_only):
            hidden |= {id(inner) for inner in ast.walk(node)}
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_packages_do_not_import_each_other_in_a_circle():
    graph = TOOL.edges()
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            pytest.fail(" -> ".join([*path[path.index(name) :], name]))
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        if name not in ("hermes", "ui"):
            visit(name, ())


@pytest.mark.parametrize("core", CORE)
def test_the_core_does_not_import_the_card_world(core: str):
    assert any(name.startswith(core) for name in KNOWN)
    reached = {other for name, path in KNOWN.items() if name.startswith(core) for other in TOOL.imports(path, KNOWN)}
    assert not [other for other in reached if other.startswith(WORLDS)]


def test_the_library_imports_neither_the_page_nor_gradio_and_plotly_only_for_plots():
    for name, path in KNOWN.items():
        if name.split(".")[0] != "hermes":
            continue
        used = _external(path)
        assert not used & {"ui", "gradio", "tests"}, name
        assert "plotly" not in used or name.startswith("hermes.plots"), name


def test_the_page_does_not_import_torch_at_module_level():
    for name, path in KNOWN.items():
        if name.split(".")[0] == "ui":
            assert not _external(path, module_level=True) & {"torch", "transformers", "accelerate"}, name


BEFORE_SERVING = ("ui.flags", "ui.zerogpu._spaces", "ui.zerogpu._with_clear_errors")
"""Run before the page is served, in one thread, or import nothing that needs torch."""
LIGHT = ("fcntl", "resource", "numpy", "hermes.video")


def _unguarded_imports(node: ast.AST, *, lazy: bool = False, guarded: bool = False) -> Iterator[str]:
    """Modules that functions import on first use without the lock."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.Import | ast.ImportFrom) and lazy and not guarded:
            if isinstance(inner, ast.ImportFrom):
                yield f"{inner.module}.{inner.names[0].name}" if inner.module == "hermes" else str(inner.module)
            else:
                yield inner.names[0].name
        lock = isinstance(inner, ast.With) and any(
            getattr(item.context_expr, "id", "") == "IMPORTING" for item in inner.items
        )
        function = isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _unguarded_imports(inner, lazy=lazy or function, guarded=(guarded and not function) or lock)


def test_imports_on_first_use_hold_the_lock():
    """Threads of the page that import torch or transformers at the same time can fail, see `hermes.importing`."""
    served = ("ui", "hermes.serving", "hermes.session", "hermes.policies", "hermes.trace", "hermes.bench.machine")
    found = []
    for name, path in KNOWN.items():
        if any(name == package or name.startswith(f"{package}.") for package in served):
            for function in ast.walk(TOOL.parsed(path)):
                where = f"{name}.{getattr(function, 'name', '')}"
                if isinstance(function, ast.FunctionDef) and not where.startswith(BEFORE_SERVING):
                    modules = _unguarded_imports(function, lazy=True)
                    found += [f"{where}: {module}" for module in modules if not module.startswith(LIGHT)]
    assert found == ["hermes.policies.listing.describe_builtin: hermes.policies.builtin"]  # a command's


def test_no_two_classes_share_a_name():
    names = Counter(
        node.name for path in KNOWN.values() for node in TOOL.parsed(path).body if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_no_folder_is_crowded():
    for top in ("hermes", "ui"):
        for folder in [
            ROOT / top,
            *(path for path in (ROOT / top).rglob("*") if path.is_dir() and "node_modules" not in path.parts),
        ]:
            files = [path for path in folder.iterdir() if path.suffix in (".py", ".js")]
            most = MAX_POLICY_FILES if folder.name == "policies" else MAX_FILES
            assert len(files) <= most, f"{folder.relative_to(ROOT)} has {len(files)} files"


def test_the_import_diagram_is_up_to_date():
    assert TOOL.main(check=True) == 0
