"""Take the pictures of the README: `python tests/e2e/take_screenshots.py` writes them to assets/screenshots."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from conftest import ROOT, App, launch
from PIL import Image
from playwright.sync_api import sync_playwright

QUESTION = "What was the first card?"
LIMIT = 400_000


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


def take(browser, url: str, folder: Path, name: str, *, dark: bool, width: int) -> None:
    """Play the clip about the first card, ask, and take the page from its head to the board's last figure."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto(f"{url}?__theme={'dark' if dark else 'light'}&run=none")
    page.get_by_role("radio", name="Remember the first card").click()
    page.get_by_role("radio", name="4×").click()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Pause").wait_for(timeout=120_000)
    for seconds, question in ((23, "What is shown now?"), (80, QUESTION)):
        page.wait_for_function(
            "seconds => { const [m, s] = document.querySelector('.hl-clock span').textContent.split(':');"
            " return 60 * m + Number(s) >= seconds }",
            arg=seconds,
            timeout=120_000,
        )
        if question == QUESTION:
            page.get_by_role("button", name="Pause").click()
        page.get_by_label("Your question").fill(question)
        page.keyboard.press("Enter")
        page.wait_for_timeout(2500)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")  # figures out of view are drawn when scrolled to
    page.wait_for_timeout(500)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1500)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.png").write_bytes(small_png(page.screenshot(full_page=True)))
    context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "screenshots")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = App(Path(folder)).wait()
        try:
            browser = launch(playwright)
            take(browser, app.url, out, "light", dark=False, width=1440)
            take(browser, app.url, out, "dark", dark=True, width=1440)
            take(browser, app.url, out, "phone", dark=False, width=390)
            browser.close()
        finally:
            app.close()


if __name__ == "__main__":
    main()
