"""Time until the page shows content: `PYTHONPATH=. python tests/e2e/measure_opening.py` prints it, without assertions.

The page is opened again and again, each time in a fresh browser profile's tab and then once more with a filled cache. Times
are milliseconds since navigation began, medians of all rounds: the first answer of the server, the first paint of anything,
the player's and the board's elements in the document, the run's picture visible and decoded, the board's figures drawn, and
the first news from the server over Gradio's queue.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from conftest import App, launch
from playwright.sync_api import sync_playwright

WATCH = """() => {
  const seen = window.hlSeen = {};
  const note = (name, there) => { if (!(name in seen) && there()) seen[name] = performance.now(); };
  const drawn = (canvas) => {
    if (!canvas || !canvas.width || !canvas.height || !canvas.checkVisibility()) return false;
    const some = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    for (let i = 3; i < some.length; i += 4) if (some[i]) return true;
    return false;
  };
  const picture = () => [...document.querySelectorAll('.hl-picture:not(.hl-poster)')]
    .some((image) => image.checkVisibility() && image.complete && image.naturalWidth);
  const look = () => {
    note('player', () => document.querySelector('.hl-player'));
    note('board', () => document.querySelector('.hl-board'));
    note('picture', picture);
    note('drawn', () => [...document.querySelectorAll('.hl-board:not(.is-empty) canvas:not(.hl-overlay)')].some(drawn));
    note('news', () => performance.getEntriesByType('resource').some((e) => e.name.includes('queue/data')));
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
NAMES = ("answer", "paint", "player", "board", "picture", "drawn", "news")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def open_once(context, url: str) -> dict[str, float]:
    """Milliseconds from the start of navigation to each thing in `NAMES`."""
    page = context.new_page()
    page.add_init_script(f"({WATCH})()")
    page.goto(url)
    page.wait_for_function("hlSeen.picture && hlSeen.drawn && hlSeen.news", timeout=60_000)
    seen = page.evaluate("""() => ({ ...hlSeen, answer: performance.getEntriesByType('navigation')[0].responseStart,
      paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN })""")
    page.close()
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=1800, help="so tall that the board is in view")
    parser.add_argument("--query", default="", help="what follows the address, such as ?run=half-hour")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = App(Path(folder)).wait()
        try:
            browser = launch(playwright)
            first, again = [], []
            for _ in range(given.rounds):
                context = browser.new_context(viewport={"width": given.width, "height": given.height})
                for payload in (first, again):
                    payload.append(open_once(context, app.url + given.query))
                context.close()
            browser.close()
        finally:
            app.close()
    say(f"{given.rounds} rounds, {os.cpu_count()} CPU cores, load {os.getloadavg()[0]:.1f}; milliseconds, medians")
    say("          " + "".join(f"{name:>9}" for name in NAMES))
    for name, payload in (("first", first), ("again", again)):
        say(f"{name:<10}" + "".join(f"{statistics.median(one[at] for one in payload):9.0f}" for at in NAMES))
        say(f"{'  slowest':<10}" + "".join(f"{max(one[at] for one in payload):9.0f}" for at in NAMES))


if __name__ == "__main__":
    main()
