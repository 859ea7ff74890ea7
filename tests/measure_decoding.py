"""Measures what the separate decoder process costs: on a generated 720p clip, against decoding in this process.

python tests/measure_decoding.py [ROUNDS]
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from hermes.video import sample
from hermes.video.decoder import Decoder, Sampling
from hermes.video.decoder_process import fork_server
from hermes.video.kinds import FileKind
from hermes.video.limits import LIMITS

FPS, SECONDS = 30, 20
RATES = (2.0, 30.0)


def write_clip(path: Path) -> None:
    """H.264, 1280 x 720: noise that moves over a gradient."""
    rng = np.random.default_rng(0)
    ground = np.linspace(0, 200, 1280, dtype=np.uint8)[None, :, None].repeat(720, 0).repeat(3, 2)
    stamp = rng.integers(0, 255, (200, 200, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": "60"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number in range(FPS * SECONDS):
            picture = ground.copy()
            x = number * 7 % 1080
            picture[200:400, x : x + 200] = stamp
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))


def inside(path: Path, fps: float) -> tuple[float, float, int]:
    """Seconds to the first frame and to the last, and the number of frames, decoded in this process."""
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        decoder = Decoder(file, FileKind("mov"), "", Sampling(fps, 0.0, math.inf, 512), LIMITS, lambda: None)
        canvas = np.zeros((decoder.size[1], decoder.size[0], 3), np.uint8)
        first, count = math.nan, 0
        for _ in decoder.sample(lambda: canvas):
            canvas.copy()
            count += 1
            if count == 1:
                first = time.perf_counter() - began
    return first, time.perf_counter() - began, count


def outside(path: Path, fps: float) -> tuple[float, float, int]:
    """The same through a decoder process."""
    began = time.perf_counter()
    first, count = math.nan, 0
    for _ in sample(path, fps):
        count += 1
        if count == 1:
            first = time.perf_counter() - began
    return first, time.perf_counter() - began, count


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    fork_server().start()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path)
        inside(path, 30.0)
        outside(path, 30.0)
        print(f"load {os.getloadavg()[0]:.1f}; {SECONDS} s of 1280 x 720 at {FPS} fps; medians of {rounds}")  # noqa: T201
        for fps in RATES:
            pairs = [(inside(path, fps), outside(path, fps)) for _ in range(rounds)]
            here, there = (statistics.median(pair[i][1] for pair in pairs) for i in (0, 1))
            ratio = statistics.median(pair[1][1] / pair[0][1] for pair in pairs)
            first = statistics.median(pair[1][0] for pair in pairs)
            print(  # noqa: T201
                f"sampled at {fps:g} fps ({pairs[0][0][2]} frames): in this process {here:.3f} s, in a decoder process "
                f"{there:.3f} s, ratio {ratio:.2f}; first frame after {first * 1000:.0f} ms"
            )


if __name__ == "__main__":
    main()
