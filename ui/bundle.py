"""The page's own script, style and font as one piece each, so that the page works offline and under any path.

The modules in `static/js` are plain ES modules (and tested as such). Here each becomes a function that returns its
exports, in the order of their imports; nothing else is done to them.
"""

from __future__ import annotations

import base64
import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:function|const|class) (\w+)", re.MULTILINE)


def module_order(entry: str, folder: Path) -> list[str]:
    """Names of the modules that `entry` needs, itself last, each after what it imports."""
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"The modules {' -> '.join((*above, name))} import each other in a circle.")
        if name in order:
            return
        for _, needed in _IMPORT.findall((folder / f"{name}.js").read_text("utf-8")):
            visit(needed, (*above, name))
        order.append(name)

    visit(entry, ())
    return order


def _wrap(name: str, source: str) -> str:
    """One module as a function that returns its exports."""
    exports = ", ".join(_EXPORT.findall(source))
    body = _IMPORT.sub(lambda m: f'const {{{m[1].replace(" as ", ": ")}}} = modules["{m[2]}"];', source)
    body = re.sub(r"^export ", "", body, flags=re.MULTILINE)
    return f'modules["{name}"] = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();'


def script(entry: str = "index", folder: Path = STATIC / "js") -> str:
    """All modules as one script that sets `window.HermesLive` to the exports of `entry`."""
    parts = [_wrap(name, (folder / f"{name}.js").read_text("utf-8")) for name in module_order(entry, folder)]
    inner = "\n".join(parts)
    return f'(() => {{\n"use strict";\nconst modules = {{}};\n{inner}\nwindow.HermesLive = modules["{entry}"];\n}})();'


def _styles() -> list[Path]:
    """Style sheets: the page's own first, since the others build on what it defines."""
    return sorted(STATIC.glob("*.css"), key=lambda path: (path.stem != "page", path.stem))


def font() -> bytes:
    """The page's font (WOFF2)."""
    return (STATIC / "fonts" / "inter.woff2").read_bytes()


def style(font_address: str) -> str:
    """All style sheets as one, with the font at an address."""
    face = (
        '@font-face { font-family: "Inter Variable"; font-weight: 100 900; font-display: swap; '
        f'src: url("{font_address}") format("woff2"); }}'
    )
    return "\n".join([face, *(path.read_text("utf-8") for path in _styles())])


@cache
def head() -> str:
    """Font, style and script as HTML for the head of a document that has to stand alone."""
    data = base64.b64encode(font()).decode("ascii")
    code = script().replace("</", "<\\/")
    return f"<style>{style(f'data:font/woff2;base64,{data}')}</style>\n<script>{code}</script>"
