"""Cost of streams on Ray actors: `PYTHONPATH=.:tests python tests/measure_ray.py` prints medians, without assertions.

The same visitor is measured with the engine in this process and on one of two actors of this machine. Then a server with
either is loaded with visitors over HTTP as by `hermes bench --visitors`. Arguments: number of visitors (default 8; 0: skip),
and seconds (default 60).
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from patience import until

import hermes
from hermes.assets import CLIPS
from hermes.bench.machine import load_average, machine_sentence
from hermes.bench.server import Server
from hermes.bench.visitors import measure as measure_visitors
from hermes.ray_workers import RayCluster
from hermes.serving.engine import Engine
from hermes.serving.ray_engine import RayEngine
from hermes.view import StreamSettings
from ui.board.cells import Wanted
from ui.player.clips import read_clips
from ui.settings.model_loader import ModelLoader
from ui.visitors.autosave import Autosave
from ui.visitors.visitor import Visitor

POLLS, FRAMES = 200, 100
KEY = "tab-" + "0" * 40


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def milliseconds(action, count):
    """Return the median and the 95th percentile of the duration of an action, and its CPU time in this process, as text."""
    times, cpu = [], time.process_time()
    for _ in range(count):
        began = time.perf_counter()
        action()
        times.append((time.perf_counter() - began) * 1000)
    cpu = (time.process_time() - cpu) * 1000 / count
    return f"{statistics.median(times):.2f} / {statistics.quantiles(times, n=20)[-1]:.2f} ms, {cpu:.2f} ms of CPU time"


def paused_visitor(engine, folder):
    """Return a visitor whose clip is paused, at 256 tokens per layer."""
    loader = ModelLoader(engine)
    loader.ensure("pocket")
    clips = {clip.id: clip for clip in read_clips(CLIPS)}
    settings = StreamSettings(speed=8.0, budget=256)
    visitor = Visitor(settings, loader, clips, hermes.POLICIES, downloads=folder / "files")
    visitor.start(visitor.source({"kind": "clip", "id": "first-card"}))
    until(lambda: visitor.poll(None, -1)[0]["frames"] >= 20)
    visitor.transport("pause")
    until(lambda: visitor.stream.status().state == "paused")
    return visitor


def measure(name, engine, folder):
    visitor = paused_visitor(engine, folder)
    wanted = Wanted(pictures=13)
    seen = visitor.poll(None, -1, wanted)[1]["seq"]
    shown = visitor.poll(seen, -1, wanted)[0]["frames"] - 1
    say(f"{name}: poll without changes {milliseconds(lambda: visitor.poll(seen, shown, wanted), POLLS)}")
    say(f"{name}: poll with the whole board {milliseconds(lambda: visitor.poll(None, -1, wanted), POLLS)}")
    camera = engine.open(StreamSettings())
    camera.camera()
    frame = np.zeros((480, 640, 3), np.uint8)
    camera.pause()
    say(f"{name}: camera frame of 640x480 {milliseconds(lambda: camera.offer(frame), FRAMES)}")
    camera.close()
    say(f"{name}: answer {milliseconds(lambda: list(visitor.ask('What was shown first?')), 10)}")
    return visitor


def measure_loss(engine, visitor, folder):
    autosave = Autosave(folder / "saved", 100)
    autosave.save_if_due(KEY, visitor, lambda: {KEY: visitor})
    began = time.perf_counter()
    os.kill(visitor.stream.replica.where[1], signal.SIGKILL)
    until(lambda: visitor.lost)
    say(f"ray: a killed actor is noticed after {time.perf_counter() - began:.2f} s")
    autosave.save_if_due(KEY, visitor, lambda: {KEY: visitor})
    began = time.perf_counter()
    visitor.resume_saved()
    say(f"ray: its stream is resumed on the other actor in {time.perf_counter() - began:.2f} s")
    before = engine.free_slots
    until(lambda: engine.free_slots > before)
    say(f"ray: the replacement is ready {time.perf_counter() - began:.1f} s later")


def measure_server(name, visitors, seconds, *flags):
    with Server("--model", "pocket", *flags) as server:
        page, used = server.process, 0.0

        def note(text):
            nonlocal used
            if "arrive" in text:
                used = sum(page.cpu_times()[:2])

        result = asyncio.run(measure_visitors(server.url, visitors, seconds, page, note))
        used = sum(page.cpu_times()[:2]) - used
    frames = f"{min(result.frames)} to {max(result.frames)}" if result.frames else "no"
    say(
        f"{name}: {result.playing} of {visitors} visitors play; first token {result.first_token.p50:.3f} / "
        f"{result.first_token.p95:.3f} s; update {result.poll.p50:.3f} / {result.poll.p95:.3f} s; {frames} frames per "
        f"visitor, {result.behind:.1f} s behind, {result.dropped} dropped; errors {dict(result.errors)}; page process "
        f"{used:.1f} s of CPU time, all processes {result.resources.server_cores:.2f} cores; load {load_average()}"
    )


def main() -> int:
    visitors, seconds = (*map(int, sys.argv[1:]), *(8, 60)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"{machine_sentence()}; load {load_average()}")
        engine = Engine()
        measure("local", engine, folder).close()
        engine.close()
        with RayCluster("", 2) as cluster:
            began = time.perf_counter()
            engine = RayEngine(cluster, 2)
            engine.load("pocket")
            say(f"ray: two actors are ready after {time.perf_counter() - began:.1f} s")
            measure_loss(engine, measure("ray", engine, folder), folder)
            engine.close()
    if visitors:
        measure_server("local", visitors, seconds)
        measure_server("ray", visitors, seconds, "--ray", "--replicas", "2")
    return 0


if __name__ == "__main__":
    sys.exit(main())
