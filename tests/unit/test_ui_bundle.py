"""The page's script is one piece that a browser can parse, and it asks no other machine for anything."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from ui import bundle


def test_every_module_is_in_the_script_after_what_it_imports():
    order = bundle.module_order("index", bundle.STATIC / "js")
    assert set(order) == {path.stem for path in (bundle.STATIC / "js").glob("*.js")}
    assert order[-1] == "index"
    code = bundle.script()
    assert not re.search(r"^\s*(import|export) ", code, re.MULTILINE)


def test_circles_are_refused(tmp_path):
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\nexport const a = 1;\n')
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\nexport const b = 1;\n')
    with pytest.raises(ValueError, match="circle"):
        bundle.module_order("a", tmp_path)


def test_nothing_comes_from_elsewhere():
    urls = set(re.findall(r"""https?://[^\s"'`)]+""", bundle.head() + bundle.style("font")))
    assert urls <= {"http://www.w3.org/2000/svg"}


def test_the_script_runs(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the script is not run outside a browser here")
    script = tmp_path / "bundle.cjs"
    script.write_text(
        "globalThis.window = globalThis;\n"
        + bundle.script()
        + '\nif (typeof window.HermesLive.mount !== "function") process.exit(1);\n'
    )
    subprocess.run([node, str(script)], check=True)
