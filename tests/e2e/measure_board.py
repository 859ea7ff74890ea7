"""Cost of updating the board: `PYTHONPATH=. python tests/e2e/measure_board.py` prints measurements, without assertions.

A large model's memory (28 layers, 4,000 tokens each, 196 tokens a frame) that changes four times a second is encoded by the
real encoder and drawn by the real script in headless Chromium. Printed are the size of every update, the time the encoder
takes, how long the browser's main thread was blocked (long tasks, their part beyond 50 ms and in whole), whether the canvas
was kept, and frames a second while the pointer moves over the board.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

import numpy as np
from conftest import launch
from playwright.sync_api import sync_playwright

from hermes.memory.tiers import tier_of_layers
from hermes.snapshot import VISION, Eviction, Snapshot
from hermes.video.thumbnails import Thumbnails
from ui import bundle
from ui.board.cells import Wanted
from ui.board.encoder import BoardEncoder

LAYERS, BUDGET, GRID, CHUNK = 28, 4000, (14, 14), 2
PER_FRAME = GRID[0] * GRID[1]
PROBE = """() => {
  window.tasks = []; window.beats = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: 'longtask' });
  const beat = (t) => { beats.push(t); requestAnimationFrame(beat); };
  requestAnimationFrame(beat);
}"""


class Stream:
    """A memory that sees frames and forgets: real arrays of a real size, scores drawn at random."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.tiers = np.array(tier_of_layers(LAYERS), np.int8)
        self.tokens = [np.zeros((2, 0), np.int64) for _ in range(LAYERS)]  # frame and patch of every token held
        self.frames = 0
        self.sequence = 0
        self.evictions: list[Eviction] = []
        self.thumbnails = Thumbnails()

    def push(self, frames: int) -> None:
        new = np.stack([np.repeat(np.arange(self.frames, self.frames + frames), PER_FRAME),
                        np.tile(np.arange(PER_FRAME), frames)])  # fmt: skip
        picture = self.random.integers(0, 256, (1, 24, 32, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
        self.thumbnails.add(self.frames, picture.repeat(frames, 0))
        self.frames += frames
        self.sequence += 1
        evicted = np.zeros(LAYERS, np.int64)
        for i in range(LAYERS):
            held = np.concatenate([self.tokens[i], new], axis=1)
            if held.shape[1] > BUDGET:
                age = np.linspace(0, 1, held.shape[1]) * (2.5 if self.tiers[i] < 2 else 0.2)
                kept = np.sort(np.argpartition(-(age + self.random.random(held.shape[1])), BUDGET)[:BUDGET])
                evicted[i] = held.shape[1] - BUDGET
                held = held[:, kept]
            self.tokens[i] = held
        if evicted.any():
            self.evictions.append(Eviction(self.sequence, self.frames / 4, self.frames, evicted,
                                           np.where(self.tiers == 2, evicted, 0), np.zeros(LAYERS, bool)))  # fmt: skip

    def snapshot(self) -> Snapshot:
        flat = np.concatenate(self.tokens, axis=1)
        count = [held.shape[1] for held in self.tokens]
        layer = np.repeat(np.arange(LAYERS), count)
        kept = np.bincount(layer * self.frames + flat[0], minlength=LAYERS * self.frames).reshape(LAYERS, -1)
        scores = self.random.random((3, flat.shape[1])).astype(np.float32)
        return Snapshot(
            sequence=self.sequence, model="28 layers", policy="hermes", budget=BUDGET, guidance="forward",
            guidance_prompts={}, seconds=self.frames / 4, grid=GRID, prompt_len=0, tiers=self.tiers,
            frame_times=np.arange(self.frames) / 4, kept=kept.astype(np.uint16), offsets=np.cumsum([0, *count]),
            frame=flat[0].astype(np.int32), patch=flat[1].astype(np.int16), kind=np.full(flat.shape[1], VISION, np.int8),
            mass=np.ones(flat.shape[1], np.float32), position=np.zeros(flat.shape[1], np.float32), importance=scores[0],
            guidance_attention=scores[1], recency=scores[2], tokens_seen=self.frames * PER_FRAME,
            cache_bytes=1, full_cache_bytes=1, evictions=tuple(self.evictions),
        )  # fmt: skip


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def measure(browser, mode: str, seconds: int, rate: float, frames: int) -> None:
    stream, encoder, acknowledged = Stream(), BoardEncoder(), None
    for _ in range(frames // 16):
        stream.push(16)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_content(
        f"<!doctype html><html><head>{bundle.head()}</head><body><main class='gradio-container'></main></body></html>"
    )
    page.evaluate("""() => {
      const part = document.querySelector('main');
      const watchers = [];
      window.props = {};
      const watch = (_, listener) => watchers.push(listener);
      HermesLive.mount('board', { element: part, props: window.props, trigger() {}, watch, upload() {} });
      window.feed = (text) => { window.props.value = text; watchers.forEach((f) => f()); };
    }""")
    canvas = page.locator("canvas[role=application]").nth(1)
    canvas.evaluate("node => { node.kept = true }")
    wanted = Wanted(mode=mode, pictures=14)
    sizes, encoding = [], []

    def update() -> None:
        nonlocal acknowledged
        stream.push(CHUNK)
        shot = stream.snapshot()
        began = time.perf_counter()
        message = encoder.encode(
            shot, acknowledged=acknowledged, duration=frames / 4 + 30, fps=4.0,
            meters={"fps": 4.0, "first": None, "dropped": 0, "skipped": 0}, thumbnails=stream.thumbnails.get, wanted=wanted,
        )  # fmt: skip
        text = json.dumps(message, separators=(",", ":"))
        encoding.append(time.perf_counter() - began)
        acknowledged = message["seq"]
        sizes.append(len(text))
        page.evaluate("text => feed(text)", text)

    for _ in range(12):  # key frame, thumbnails
        update()
    page.evaluate(f"HermesLive.boardView({{ mode: '{mode}' }})")
    page.wait_for_timeout(500)
    first = sizes[0]
    sizes.clear()
    encoding.clear()
    page.evaluate(PROBE)
    box = canvas.bounding_box()
    began = time.monotonic()
    step = 0
    while (now := time.monotonic() - began) < seconds:
        if now * rate >= step:
            update()
            step += 1
        page.mouse.move(box["x"] + 150 + (now * 211) % (box["width"] - 320), box["y"] + 30 + (now * 97) % 250)
        page.wait_for_timeout(8)
    beats = np.diff(page.evaluate("beats"))
    tasks = np.array(page.evaluate("tasks") or [0.0])
    whole, beyond = tasks.sum() / seconds, np.maximum(tasks - 50, 0).sum() / seconds
    kept = canvas.evaluate("node => node.kept === true")
    say(
        f"{mode:>10}  {len(sizes) / seconds:4.1f}  {first / 1000:8.1f}  {np.mean(sizes) / 1000:6.1f}"
        f"  {max(sizes) / 1000:5.1f}  {np.mean(encoding) * 1000:8.1f}  {whole:9.1f}  {beyond:8.1f}"
        f"  {1000 / beats.mean():5.0f}  {np.percentile(beats, 99):6.1f}  {kept!s:>6}"
    )
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rate", type=float, default=4.0, help="updates a second")
    parser.add_argument("--frames", type=int, default=480, help="frames seen before")
    given = parser.parse_args()
    say(
        f"{LAYERS} layers x {BUDGET} tokens, {given.frames} frames seen before, {os.cpu_count()} CPU cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    say("      mode  upd/s  first kB  mean kB  max kB  encode ms  long ms/s  >50 ms/s    fps  p99 ms    kept")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for mode in ("kept", "importance", "guidance"):
            measure(browser, mode, given.seconds, given.rate, given.frames)
        browser.close()


if __name__ == "__main__":
    main()
