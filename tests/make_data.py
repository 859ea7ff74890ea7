"""Makes tests/data: small videos of kinds that only ffmpeg can write.

Needs ffmpeg with libx264; run by hand, its results are committed:

python tests/make_data.py
"""

from __future__ import annotations

import subprocess
from pathlib import Path

DATA = Path(__file__).parent / "data"
# Left half red, right half blue: shows the orientation of a frame.
HALVES = "color=red:s=32x48:r=10:d={seconds},pad=64:48:0:0:blue"
# Brightness increases by 4 per frame: identifies the frame.
STEPS = "color=black:s=64x48:r=30:d={seconds},format=yuv420p,geq=lum='16+mod(N*4,216)':cb=128:cr=128"
H264 = ("-c:v", "libx264", "-preset", "veryslow", "-pix_fmt", "yuv420p")

FILES: dict[str, tuple[str, ...]] = {
    # frames 0, 1 and 2 of every second, six seconds
    "variable_rate.mp4": (
        "-f", "lavfi", "-i", STEPS.format(seconds=6), "-vf", "select='lt(mod(n,30),3)'", "-fps_mode", "vfr", *H264,
    ),
    # long groups of pictures with B frames, index first
    "long_groups.mp4": (
        "-f", "lavfi", "-i", STEPS.format(seconds=20), *H264, "-g", "150", "-bf", "2", "-movflags", "+faststart",
    ),
    # pixels twice as wide as high
    "wide_pixels.mp4": ("-f", "lavfi", "-i", HALVES.format(seconds=1) + ",setsar=2", *H264),
    "sound_only.mp4": ("-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", "-b:a", "16k"),
    "sound_only.webm": ("-f", "lavfi", "-i", "sine=d=1", "-c:a", "libopus", "-b:a", "8k"),
    # a pipe cannot be rewound, so the duration is never written: as recordings made in a browser
    "no_duration.webm": (
        "-f", "lavfi", "-i", STEPS.format(seconds=2), "-c:v", "libvpx", "-b:v", "50k", "-f", "webm", "pipe:1",
    ),
    # no container, no times
    "bare.h264": ("-f", "lavfi", "-i", STEPS.format(seconds=1), *H264, "-bf", "0"),
}  # fmt: skip


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for name, arguments in FILES.items():
        target = DATA / name
        piped = arguments[-1] == "pipe:1"
        command = ["ffmpeg", "-v", "error", "-y", *arguments, *(() if piped else (str(target),))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE if piped else None)
        if piped:
            target.write_bytes(done.stdout)
        print(f"{target.stat().st_size:8d} {name}")  # noqa: T201  (a command)


if __name__ == "__main__":
    main()
