"""Write the import diagram of docs/architecture.md: `python docs/import_diagram.py` (`--check` only compares)."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- diagram: begin -->\n", "<!-- diagram: end -->\n"
TOPS: Final = ("hermes", "ui")


def modules() -> dict[str, Path]:
    """Return every module of `hermes` and `ui` by its dotted name."""
    found = {}
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "node_modules" in parts:
                continue
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path, known: dict[str, Path], *, typing_only: bool = True) -> set[str]:
    """Return the modules of this project that a file imports.

    Args:
        path: The file.
        known: All modules, see `modules`.
        typing_only: Also count imports under `if TYPE_CHECKING`.
    """
    tree = parsed(path)
    hidden = set()
    if not typing_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
                hidden |= {id(inner) for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in TOPS}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in TOPS:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found


def package(module: str) -> str:
    """Return the package of a module: `hermes.memory` for `hermes.memory.cache`; top-level modules are listed separately."""
    parts = module.split(".")
    inner = ROOT.joinpath(*parts[:2])
    return ".".join(parts[:2]) if len(parts) > 1 and inner.is_dir() else parts[0] if parts[0] == "ui" else module


def edges(*, typing_only: bool = True) -> dict[str, set[str]]:
    """Return package -> the packages it imports, without itself."""
    known = modules()
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        own = package(name)
        skipped = (own, "hermes", "ui")
        graph.setdefault(own, set()).update(
            package(other) for other in imports(path, known, typing_only=typing_only) if package(other) not in skipped
        )
    return graph


def diagram() -> str:
    """Return the packages as a Mermaid flowchart; small top-level modules of `hermes` are left out."""
    graph = edges()
    shown = [name for name in graph if (ROOT / name.replace(".", "/")).is_dir() and name not in TOPS]
    lines = ["```mermaid", "flowchart TD"]
    for top in TOPS:
        lines.append(f"  subgraph {top}")
        lines += [f"    {name.replace('.', '_')}[{name}]" for name in shown if name.startswith(f"{top}.")]
        lines.append("  end")
    for name in shown:
        lines += [
            f"  {name.replace('.', '_')} --> {other.replace('.', '_')}" for other in sorted(_direct(name, graph, shown))
        ]
    return "\n".join([*lines, "```", ""])


def _direct(name: str, graph: dict[str, set[str]], shown: list[str]) -> set[str]:
    """The imports of a package that are not already implied by its other imports (transitive reduction)."""
    direct = {other for other in graph[name] if other in shown}

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for other in graph.get(todo.pop(), ()):
                if other in shown and other not in seen:
                    seen.add(other)
                    todo.append(other)
        return seen

    return {other for other in direct if not any(other in reach(third) for third in direct - {other})}


def main(*, check: bool) -> int:
    """Rewrite the page, or only compare it; returns 1 if it is not up to date."""
    text = PAGE.read_text("utf-8")
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    updated = text[:begin] + diagram() + text[end:]
    if check:
        return int(updated != text)
    PAGE.write_text(updated, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
