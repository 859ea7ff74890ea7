"""axe-core in the pages of the browser tests."""

from __future__ import annotations

from importlib import resources

PROGRAM = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
ROWS = 16
"""Rows that stay in each table: enough for it to scroll."""
CHECKED_ROWS = 4
"""Rows whose cells are checked: the others have the same elements and styles, and axe needs a millisecond for each cell."""

CHECK = f"""async ([context, options]) => {{
    for (const body of document.querySelectorAll("tbody")) for (const row of [...body.rows].slice({ROWS})) row.remove();
    return (await axe.run(context, options)).violations;
}}"""


def violations(page, *within, contrast_only=False):
    """Findings of axe-core as readable lines.

    `within` are selectors of the parts of the page to check; none: the whole page. `contrast_only` checks only the contrast
    of colours, for the second theme of a page: no other rule depends on colours.
    """
    options = {
        "resultTypes": ["violations"],
        "preload": False,  # it is for style sheets elsewhere
        "selectors": False,  # the findings contain the elements
        **({"runOnly": ["color-contrast"]} if contrast_only else {}),
    }
    context = {"include": list(within) or ["html"], "exclude": [f"tbody tr:nth-child(n + {CHECKED_ROWS + 1})"]}
    if not page.evaluate("'axe' in window"):
        page.evaluate(PROGRAM)
    found = page.evaluate(CHECK, [context, options])
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]} {node['failureSummary'][:200]}"
        for rule in found
        for node in rule["nodes"][:4]
    ]
