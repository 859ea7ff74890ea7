"""Generated test videos, and their content read independently of the code under test."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import cv2
import numpy as np

DATA = Path(__file__).parent / "data"


def write_video(path: Path, codec: str = "MJPG", frames: int = 30, fps: float = 30.0, size=(64, 48)) -> Path:
    """A video whose frames are grey and grow brighter by 4 a frame, with noise so that data has a length."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), fps, size)
    assert writer.isOpened()
    rng = np.random.default_rng(0)
    for index in range(frames):
        frame = np.full((size[1], size[0], 3), 16 + index * 4 % 216, np.uint8)
        frame[:, : size[0] // 4] = rng.integers(0, 255, (size[1], size[0] // 4, 3))
        writer.write(frame)
    writer.release()
    return path


def noise_video(path: Path) -> Path:
    """A WebM video of six seconds at 8 frames a second, whose frames are noise."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"VP80"), 8, (64, 48))
    random = np.random.default_rng(3)
    for _ in range(48):
        writer.write(random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    return path


def grey(value, size=(64, 48)) -> av.VideoFrame:
    """A frame of one brightness."""
    return av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), value, np.uint8))


def video_of(
    path, codec, frames=30, size=(64, 48), pix_fmt="yuv420p", options=None, times=None, container_options=None
) -> Path:
    """A video at 25 frames a second whose frames are grey and grow brighter by 4 a frame, encoded by PyAV."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for number in range(frames):
            frame = grey(40 + number * 4 % 160, size).reformat(format=pix_fmt)
            frame.pts = number if times is None else times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def all_frames(path: Path) -> list[tuple[np.ndarray, float]]:
    """Every frame and its time, decoded one after the other without the code under test."""
    with av.open(str(path)) as container:
        frames = [
            (frame.to_ndarray(format="rgb24"), frame.pts * frame.time_base) for frame in container.decode(video=0)
        ]
    return [(picture, float(at - frames[0][1])) for picture, at in frames]


def turned(data: bytes, degrees: int, size=(64, 48)) -> bytes:
    """The same MP4 with another display matrix in its track header."""
    width, height = size
    a, b, c, d, x, y = {
        90: (0, 1, -1, 0, height, 0),
        180: (-1, 0, 0, -1, width, height),
        270: (0, -1, 1, 0, 0, width),
    }[degrees]
    one = 1 << 16
    matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, x * one, y * one, 1 << 30)
    at = data.index(b"tkhd") + 4 + 40
    return data[:at] + matrix + data[at + 36 :]


def spoiled(path: Path, start: float, length: float) -> Path:
    """A copy with a part of its bytes set to zero; `start` and `length` are shares of the file."""
    data = bytearray(path.read_bytes())
    first, count = int(len(data) * start), int(len(data) * length)
    data[first : first + count] = bytes(count)
    copy = path.with_name("spoiled" + path.suffix)
    copy.write_bytes(data)
    return copy
