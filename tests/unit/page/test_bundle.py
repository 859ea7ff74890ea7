"""The page's script is one piece that a browser can parse, is built from the current modules, and loads nothing external."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from ui import bundle

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
BUILDER = bundle.STATIC / "node_modules" / ".bin" / "esbuild"


@needs_node
@pytest.mark.skipif(not BUILDER.exists(), reason="npm ci was not run in ui/static")
def test_the_committed_script_is_built_from_the_current_modules(tmp_path):
    out = tmp_path / "hermes-live.js"
    command = ["npm", "run", "--silent", "build", "--", f"--outfile={out}"]
    subprocess.run(command, cwd=bundle.STATIC, check=True, capture_output=True)
    assert out.read_text("utf-8") == bundle.script(), "run `npm run build` in ui/static and commit the result"


def test_every_module_is_reachable_from_the_entry():
    folder = bundle.STATIC / "js"
    reached, todo = set(), [folder / "page" / "index.js"]
    while todo:
        path = todo.pop().resolve()
        if path not in reached:
            reached.add(path)
            todo += [path.parent / name for name in re.findall(r'from "(\.[^"]+)"', path.read_text("utf-8"))]
    assert reached == {path.resolve() for path in folder.rglob("*.js")}


def test_nothing_comes_from_elsewhere():
    urls = set(re.findall(r"""https?://[^\s"'`)]+""", bundle.head() + bundle.style("font")))
    assert urls <= {"http://www.w3.org/2000/svg"}


@needs_node
def test_the_script_runs(tmp_path):
    script = tmp_path / "bundle.cjs"
    script.write_text(
        "globalThis.window = globalThis;\n"
        + bundle.script()
        + '\nwindow.HermesLive = HermesLive;\nif (typeof window.HermesLive.mount !== "function") process.exit(1);\n'
    )
    subprocess.run([shutil.which("node"), str(script)], check=True)
