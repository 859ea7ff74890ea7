"""The page's script, style sheet and font, each in one piece, so that the page works offline and under any path.

`static/js` holds ES modules in the same folders as the Python package. esbuild bundles them into `static/dist`, which is
committed, so that the page starts without Node.js: `npm run build` in `ui/static`.
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"


def script() -> str:
    """All modules as one script that sets `window.HermesLive`."""
    return (STATIC / "dist" / "hermes-live.js").read_text("utf-8")


def _styles() -> list[Path]:
    """Style sheets: the page's own first, because the others build on its definitions."""
    return sorted((STATIC / "css").glob("*.css"), key=lambda path: (path.stem != "page", path.stem))


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
    """Font, style sheet and script as HTML for the head of a standalone document."""
    data = base64.b64encode(font()).decode("ascii")
    code = script().replace("</", "<\\/")
    return f"<style>{style(f'data:font/woff2;base64,{data}')}</style>\n<script>{code}</script>"
