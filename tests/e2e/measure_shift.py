"""Layout shift and requests of a stream: `PYTHONPATH=. python tests/e2e/measure_shift.py` prints them, without assertions.

The page opens on the clips, a clip is started, and a question is asked every half minute. Printed are the cumulative layout
shift as browsers report it (the largest session window), the sum of all shifts, the elements that moved most, and the
requests per second by path in the second half, when the stream is in its steady state.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from conftest import App, launch
from playwright.sync_api import sync_playwright

from hermes.assets import CLIPS

WATCH = """() => {
  window.hlShifts = [];
  const element = (node) => (node?.nodeType === 1 ? node : node?.parentElement);
  const name = (node) => String(element(node)?.className || element(node)?.id || element(node)?.tagName);
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      const moved = entry.sources.map((source) => name(source.node));
      hlShifts.push({ at: entry.startTime, value: entry.value, moved });
    }
  }).observe({ type: 'layout-shift', buffered: true });
}"""


def cumulative(shifts: list[dict]) -> float:
    """The largest sum of shifts in a session: gaps below one second, at most five seconds long."""
    worst = total = 0.0
    began = last = -1e9
    for shift in shifts:
        if shift["at"] - last > 1000 or shift["at"] - began > 5000:
            total, began = 0.0, shift["at"]
        total, last = total + shift["value"], shift["at"]
        worst = max(worst, total)
    return worst


def most_moved(shifts: list[dict]) -> list[str]:
    """The elements that moved most, as lines."""
    moved: Counter[str] = Counter()
    for shift in shifts:
        for name in shift["moved"]:
            moved[name] += shift["value"]
    return [f"  {value:.4f} {name}" for name, value in moved.most_common(10)]


def measure(page, seconds: float) -> tuple[list[dict], list[dict], Counter[str]]:
    """The layout shifts until the stream has started and while it plays, and the requests in the second half, by path."""
    requests: Counter[str] = Counter()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Pause").wait_for()
    opening = page.evaluate("hlShifts.splice(0)")
    step = 15.0
    for i in range(round(seconds / step)):
        if i % 2:
            page.get_by_label("Your question").fill("What is shown now?")
            page.keyboard.press("Enter")
        if i == round(seconds / step / 2):
            page.on("request", lambda request: requests.update([urlsplit(request.url).path]))
        page.wait_for_timeout(1000 * step)
    return opening, page.evaluate("hlShifts"), requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--clip", default="half-hour", help="id of the clip")
    given = parser.parse_args()
    title = json.loads((CLIPS / f"{given.clip}.json").read_text("utf-8"))["title"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = App(Path(folder)).wait()
        try:
            browser = launch(playwright)
            page = browser.new_page(viewport={"width": given.width, "height": given.height})
            page.add_init_script(f"({WATCH})()")
            page.goto(f"{app.url}?run=none")
            page.get_by_role("tab", name="Clips").click()
            page.get_by_role("radiogroup", name="Clips").get_by_role("radio").filter(has_text=title).first.click()
            opening, shifts, requests = measure(page, given.seconds)
            browser.close()
        finally:
            app.close()
    total = sum(shift["value"] for shift in shifts)
    lines = [
        f"cumulative layout shift until the stream has started: {cumulative(opening):.4f}",
        *most_moved(opening),
        f"cumulative layout shift: {cumulative(shifts):.4f}; sum of {len(shifts)} shifts: {total:.4f}",
        *most_moved(shifts),
        f"requests per second: {sum(requests.values()) / (given.seconds / 2):.2f}",
        *(f"  {count / (given.seconds / 2):.2f} {path}" for path, count in requests.most_common(6)),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
