"""What the separate decoder process costs, compared with decoding in this process."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np

from hermes.video import sample
from hermes.video.decoder import Decoder, Sampling
from hermes.video.decoder_process import fork_server
from hermes.video.formats import FileFormat
from hermes.video.limits import LIMITS, MAX_SIDE

WIDTH, HEIGHT, FPS, SECONDS = 1280, 720, 30, 20
RATES: Final = (2.0, float(FPS))


@dataclass(frozen=True)
class DecodingResult:
    """Medians over the rounds at one sampling rate.

    Attributes:
        fps: Sampled frames per second of video.
        frames: Frames that were sampled.
        here_seconds: Wall time in this process.
        process_seconds: Wall time with a decoder process.
        ratio: Median of the ratios of these two within a round.
        first_frame_ms: Wall time from opening the file to the first frame of the decoder process, in milliseconds.
    """

    fps: float
    frames: int
    here_seconds: float
    process_seconds: float
    ratio: float
    first_frame_ms: float


def write_clip(path: Path, seconds: int = SECONDS) -> None:
    """Write an H.264 clip of 1280 x 720 pixels at 30 fps in which a square of noise moves over a gradient."""
    rng = np.random.default_rng(0)
    ground = np.linspace(0, 200, WIDTH, dtype=np.uint8)[None, :, None].repeat(HEIGHT, 0).repeat(3, 2)
    noise = rng.integers(0, 255, (200, 200, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": "60"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FPS * seconds):
            picture = ground.copy()
            x = number * 7 % (WIDTH - 200)
            picture[200:400, x : x + 200] = noise
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))


def measure_decoding(rounds: int, seconds: int = SECONDS) -> list[DecodingResult]:
    """Decode a generated clip in this process and in a decoder process, alternating, at two sampling rates."""
    fork_server().start()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, seconds)
        _decode_here(path, RATES[0])
        _decode_in_process(path, RATES[0])
        return [_compare(path, fps, rounds) for fps in RATES]


def _compare(path: Path, fps: float, rounds: int) -> DecodingResult:
    pairs = [(_decode_here(path, fps), _decode_in_process(path, fps)) for _ in range(rounds)]
    return DecodingResult(
        fps,
        pairs[0][1][2],
        statistics.median(here[1] for here, _ in pairs),
        statistics.median(there[1] for _, there in pairs),
        statistics.median(there[1] / here[1] for here, there in pairs),
        1000 * statistics.median(there[0] for _, there in pairs),
    )


def _decode_here(path: Path, fps: float) -> tuple[float, float, int]:
    """Return the seconds to the first and to the last frame, and the number of frames, decoded in this process."""
    began = time.perf_counter()
    first, count = math.nan, 0
    with path.open("rb", buffering=0) as file:
        decoder = Decoder(file, FileFormat("mov"), "", Sampling(fps, 0.0, math.inf, MAX_SIDE), LIMITS, lambda: None)
        canvas = np.zeros((decoder.size[1], decoder.size[0], 3), np.uint8)
        for _ in decoder.sample(lambda: canvas):
            canvas.copy()  # as the reader of a decoder process gets its own frames
            first = first if count else time.perf_counter() - began
            count += 1
    return first, time.perf_counter() - began, count


def _decode_in_process(path: Path, fps: float) -> tuple[float, float, int]:
    """Do the same with a decoder process."""
    began = time.perf_counter()
    first, count = math.nan, 0
    for _ in sample(path, fps):
        first = first if count else time.perf_counter() - began
        count += 1
    return first, time.perf_counter() - began, count
