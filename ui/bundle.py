"""The page's bundled script, style sheet and font. The page works offline and under any path.

`static/js` holds ES modules, in a folder for each part of the page. esbuild bundles them into `static/dist`, which is
committed, so that the page starts without Node.js: `npm run build` in `ui/static`.
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Final

STATIC = Path(__file__).parent / "static"
FIRST: Final = ("page", "player", "chat", "controls", "board", "sizes")
"""The style sheets of the first screen, in their order: `sizes` adapts the ones before it to narrow windows."""


def script() -> str:
    """Return the bundled script, which sets `window.HermesLive`."""
    return (STATIC / "dist" / "hermes-live.js").read_text("utf-8")


def _styles() -> list[Path]:
    """Return the style sheets, those of `FIRST` before the others: later rules override earlier ones."""
    paths = {path.stem: path for path in (STATIC / "css").glob("*.css")}
    return [paths[name] for name in (*FIRST, *sorted(paths.keys() - set(FIRST)))]


def font() -> bytes:
    """Return the page's font (WOFF2)."""
    return (STATIC / "fonts" / "inter.woff2").read_bytes()


def style(font_address: str) -> str:
    """Return all style sheets as one, with the font at the given address."""
    face = (
        '@font-face { font-family: "Inter Variable"; font-weight: 100 900; font-display: swap; '
        f'src: url("{font_address}") format("woff2"); }}'
    )
    return "\n".join([face, *(path.read_text("utf-8") for path in _styles())])


@cache
def head() -> str:
    """Return font, style sheet and script as HTML for the head of a standalone document."""
    data = base64.b64encode(font()).decode("ascii")
    code = script().replace("</", "<\\/")
    return f"<style>{style(f'data:font/woff2;base64,{data}')}</style>\n<script>{code}</script>"
