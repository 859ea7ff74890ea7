"""Take the screenshots of README and docs: `python tests/e2e/take_screenshots.py` writes them to assets/screenshots."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from conftest import ROOT, App, launch
from PIL import Image
from playwright.sync_api import sync_playwright

RUN = "first-card-hermes"  # a bundled run: nothing depends on how fast this machine is
SECONDS = 76
LIMIT = 400_000
TOUR, TOUR_SECONDS, TOUR_FRAMES = (1280, 720), 57, 20


def small_png(data: bytes) -> bytes:
    """The picture with as many colours as fit into the limit."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    for colours in (256, 128, 64, 32):
        out = io.BytesIO()
        picture.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
            out, "PNG", optimize=True
        )
        if out.tell() <= LIMIT:
            break
    return out.getvalue()


def take(browser, url: str, folder: Path, name: str, *, dark: bool, size: tuple[int, int], part: str = "") -> None:
    """Open the run about the first card near its end, and take a screenshot of the window or of one section of the board."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    page.goto(f"{url}?__theme={'dark' if dark else 'light'}&run={RUN}&t={SECONDS}")
    page.get_by_role("button", name="Pause").click(timeout=60_000)
    page.locator(".hl-board [data-view=fate]").get_by_text("Kept and used", exact=True).first.wait_for(timeout=60_000)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    section = page.locator(f".hl-board [data-view={part}]").first if part else None
    if section:
        section.scroll_into_view_if_needed()
    page.wait_for_timeout(2500)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.png").write_bytes(small_png(section.screenshot() if section else page.screenshot()))
    context.close()


def take_tour(browser, url: str, folder: Path) -> None:
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
            take(browser, app.url, out, "light", dark=False, size=(1440, 900))
            take(browser, app.url, out, "dark", dark=True, size=(1440, 900))
            take(browser, app.url, out, "phone", dark=False, size=(390, 1800))
            take(browser, app.url, out, "fate", dark=False, size=(1440, 1000), part="fate")
            take_tour(browser, app.url, out)
            browser.close()
        finally:
            app.close()


if __name__ == "__main__":
    main()
