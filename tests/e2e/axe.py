"""axe-core in the pages of the browser tests."""

from __future__ import annotations

from importlib import resources

PROGRAM = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
ROWS = 16
"""Rows that stay in each table: enough for it to scroll."""
CHECKED_ROWS = 4
"""Rows whose cells are checked: the others have the same elements and styles, and axe needs a millisecond for each cell."""


def violations(page, *within, contrast_only=False):
    """Findings of axe-core as readable lines.

    `within` are selectors of the parts of the page to check; none: the whole page. `contrast_only` checks only the contrast
    of colours, for the second theme of a page: no other rule depends on colours.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(PROGRAM)
    page.evaluate(f"""document.querySelectorAll('tbody').forEach((body) => {{
        [...body.rows].slice({ROWS}).forEach((row) => row.remove());
    }})""")
    rules = "runOnly: ['color-contrast'], " if contrast_only else ""
    options = f"{{ {rules}resultTypes: ['violations'], preload: false }}"  # preloading is for style sheets elsewhere
    context = {"include": list(within) or ["html"], "exclude": [f"tbody tr:nth-child(n + {CHECKED_ROWS + 1})"]}
    found = page.evaluate(f"context => axe.run(context, {options})", context)
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]} {node['failureSummary'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"][:4]
    ]
