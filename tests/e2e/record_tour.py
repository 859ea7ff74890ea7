"""Record the animation of README: `python tests/e2e/record_tour.py` writes it to assets/screenshots."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from conftest import ROOT, App, launch
from PIL import Image
from playwright.sync_api import sync_playwright

RUN = "first-card-hermes"  # a bundled run: nothing depends on how fast this machine is
TOUR, TOUR_SECONDS, TOUR_FRAMES = (1280, 720), 57, 20


def record(browser, url: str, folder: Path) -> None:
    """Record an animation: a question is asked and answered, and then the heatmap shows the attention of the answer."""
    context = browser.new_context(viewport={"width": TOUR[0], "height": TOUR[1]})
    page = context.new_page()
    page.goto(f"{url}?__theme=light&run={RUN}&t={TOUR_SECONDS}")
    page.get_by_role("button", name="Pause").wait_for(timeout=60_000)
    frames = []
    for number in range(TOUR_FRAMES):
        if number == 2 * TOUR_FRAMES // 3:
            page.get_by_role("radio", name="Answer attention").click()
            page.mouse.move(0, 0)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        frames.append(picture)
        page.wait_for_timeout(500)
    folder.mkdir(parents=True, exist_ok=True)
    frames[0].save(
        folder / "tour.webp", save_all=True, append_images=frames[1:], duration=500, loop=0, quality=60, method=6
    )
    context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "screenshots")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = App(Path(folder)).wait()
        try:
            browser = launch(playwright)
            record(browser, app.url, out)
            browser.close()
        finally:
            app.close()


if __name__ == "__main__":
    main()
