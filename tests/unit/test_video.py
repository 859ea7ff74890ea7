"""Video input: which frames come, with which times, and what is said of every file that is no good video."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from hermes.errors import HermesError
from hermes.video import VideoError, VideoSampler, probe, sample

DATA = Path(__file__).parents[1] / "data"


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


def all_frames(path: Path) -> list[tuple[np.ndarray, float]]:
    """Every frame and its time, decoded one after the other without the code under test."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    result = []
    while capture.grab():
        at = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        result.append((cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB), at))
    return result


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


# --- which frames --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "name"), [("MJPG", "v.avi"), ("mp4v", "v.mp4"), ("VP80", "v.webm"), ("VP90", "v.mkv")]
)
def test_every_frame_at_the_files_own_rate(tmp_path, codec, name):
    path = write_video(tmp_path / name, codec)
    frames = list(sample(path, 30))
    assert [round(at, 3) for _, at in frames] == [round(i / 30, 3) for i in range(30)]
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for frame, _ in frames)
    brightness = [frame[:, 32:].mean() for frame, _ in frames]
    assert np.all(np.diff(brightness) > 1)


@pytest.mark.parametrize("fps", [0.3, 1, 2.5, 7, 24, 29.97, 30, 1000])
@pytest.mark.parametrize("name", ["variable_rate.mp4", "long_groups.mp4", "no_duration.webm"])
def test_first_frame_at_or_after_each_instant(name, fps):
    every = all_frames(DATA / name)
    tolerance = min(0.002, 0.1 / fps)
    expected, instant = [], 0
    for picture, at in every:
        if at >= instant / fps - tolerance:
            expected.append((picture, at))
            instant = max(instant + 1, int(np.floor((at + tolerance) * fps)) + 1)
    got = list(sample(DATA / name, fps))
    assert [at for _, at in got] == [at for _, at in expected]
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(got, expected, strict=True))


def test_variable_rate_keeps_true_times():
    times = [round(at, 3) for _, at in sample(DATA / "variable_rate.mp4", 30)]
    assert times == [round(second + part / 30, 3) for second in range(6) for part in range(3)]
    assert [round(at, 3) for _, at in sample(DATA / "variable_rate.mp4", 1)] == [0, 1, 2, 3, 4, 5]


def test_jumping_gives_the_same_frames_as_stepping():
    jumping, stepping = sample(DATA / "long_groups.mp4", 0.3), sample(DATA / "long_groups.mp4", 0.3)
    stepping._can_jump = False
    a, b = list(jumping), list(stepping)
    assert [at for _, at in a] == [at for _, at in b]
    assert all(np.array_equal(x, y) for (x, _), (y, _) in zip(a, b, strict=True))
    assert jumping._jump_cost > 0  # it did jump


def test_a_jump_that_lands_wrong_is_made_good():
    sampler = sample(DATA / "variable_rate.mp4", 1, start=4.0)
    sampler._interval = 0.001  # makes the gap look worth a jump, which misses where the rate varies
    assert [round(at, 3) for _, at in sampler] == [4.0, 5.0]
    assert not sampler._can_jump


def test_start_and_end():
    times = [at for _, at in sample(DATA / "long_groups.mp4", 2, start=9.5, end=11.0)]
    assert times == pytest.approx([9.5, 10.0, 10.5])


def test_rate_above_the_files_own_gives_each_frame_once(tmp_path):
    path = write_video(tmp_path / "slow.avi", frames=5, fps=2)
    assert [at for _, at in sample(path, 60)] == pytest.approx([0, 0.5, 1, 1.5, 2])


def test_file_without_times_counts_frames():
    assert [at for _, at in sample(DATA / "bare.h264", 1000)] == pytest.approx([i / 25 for i in range(30)])


def test_it_is_lazy(tmp_path):
    sampler = sample(write_video(tmp_path / "v.avi", frames=300), 30)
    next(sampler)
    assert sampler._stepped == 1
    sampler.close()
    assert list(sampler) == []


def test_closed_before_the_first_frame_is_simply_over():
    sampler = sample(DATA / "long_groups.mp4", 1)
    sampler.close()
    assert list(sampler) == []


def test_context_manager_closes():
    with VideoSampler(DATA / "long_groups.mp4", 1) as sampler:
        next(sampler)
    with pytest.raises(StopIteration):
        next(sampler)


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(tmp_path, degrees):
    size = (64, 48)
    path = tmp_path / "plain.mp4"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 10, size)
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32] = 255  # white corner, top left
    for _ in range(3):
        writer.write(frame)
    writer.release()
    (tmp_path / "turned.mp4").write_bytes(turned(path.read_bytes(), degrees))
    info = probe(tmp_path / "turned.mp4")
    assert info.rotation == degrees
    assert (info.width, info.height) == ((48, 64) if degrees % 180 else (64, 48))
    picture, _ = next(sample(tmp_path / "turned.mp4", 1))
    assert picture.shape == (info.height, info.width, 3)
    expected = np.rot90(frame, -degrees // 90)
    assert np.abs(picture.astype(int) - expected).mean() < 8


def test_pixels_that_are_not_square_are_made_square():
    picture, _ = next(sample(DATA / "wide_pixels.mp4", 1))
    assert picture.shape == (48, 128, 3)
    assert picture[24, 32].argmax() == 0
    assert picture[24, 96].argmax() == 2


def test_colours_are_rgb():
    picture, _ = next(sample(DATA / "wide_pixels.mp4", 1))
    assert picture[0, 0].tolist() == pytest.approx([254, 0, 0], abs=6)


@pytest.mark.parametrize(
    ("size", "max_side", "shape"),
    [((18, 10), 512, (10, 18, 3)), ((800, 450), 512, (288, 512, 3)), ((450, 800), 100, (100, 56, 3)),
     ((2000, 2), 64, (1, 64, 3)), ((64, 48), 1, (1, 1, 3))],
)  # fmt: skip
def test_size(tmp_path, size, max_side, shape):
    path = write_video(tmp_path / "v.avi", frames=2, size=size)
    assert [frame.shape for frame, _ in sample(path, 30, max_side=max_side)] == [shape] * 2


def test_odd_size(tmp_path):
    """17 x 9 pixels, which encoders with halved colour planes round: patched into an MJPEG of 18 x 10."""
    data = write_video(tmp_path / "even.avi", frames=3, size=(18, 10)).read_bytes()
    jpeg_even, jpeg_odd = struct.pack(">HH", 10, 18), struct.pack(">HH", 9, 17)
    (tmp_path / "odd.avi").write_bytes(data.replace(b"\x08" + jpeg_even, b"\x08" + jpeg_odd))
    shapes = {frame.shape for frame, _ in sample(tmp_path / "odd.avi", 30)}
    assert shapes == {(9, 17, 3)}


def test_8k(tmp_path):
    path = write_video(tmp_path / "8k.avi", frames=2, size=(7680, 4320))
    assert (probe(path).width, probe(path).height) == (7680, 4320)
    assert [frame.shape for frame, _ in sample(path, 30)] == [(288, 512, 3)] * 2


def test_larger_than_8k_is_refused(tmp_path):
    path = write_video(tmp_path / "huge.avi", frames=1, size=(9000, 6000))
    with pytest.raises(VideoError, match=r"9000 × 6000 pixels: larger than 8K"):
        probe(path)


# --- long, damaged and wrong files ---------------------------------------------------------------------------------


def test_ten_hours(tmp_path):
    path = write_video(tmp_path / "ten_hours.mp4", "mp4v", frames=3600, fps=0.1, size=(32, 32))
    assert probe(path).duration == pytest.approx(36_000)
    sampler = sample(path, 1 / 1800)
    times = [at for _, at in sampler]
    assert times == pytest.approx([1800 * i for i in range(20)])
    assert sampler._stepped < 400  # jumped, instead of decoding 3,600 frames


def test_one_frame(tmp_path):
    path = write_video(tmp_path / "one.mp4", "mp4v", frames=1)
    assert [at for _, at in sample(path, 1)] == [0.0]


@pytest.mark.parametrize(("codec", "name"), [("mp4v", "v.mp4"), ("VP80", "v.webm"), ("VP90", "v.webm")])
def test_corrupt_frames_in_the_middle_are_skipped_and_counted(tmp_path, codec, name):
    path = spoiled(write_video(tmp_path / name, codec, frames=90), 0.35, 0.15)
    sampler = sample(path, 30)
    times = [at for _, at in sampler]
    assert times[0] == 0
    assert times[-1] == pytest.approx(89 / 30, abs=0.01)  # it went on behind the damage
    assert len(times) + sampler.skipped == 90
    assert sampler.skipped > 3
    assert not sampler.ended_early


def test_a_healthy_file_skips_nothing():
    for name in ("variable_rate.mp4", "long_groups.mp4", "no_duration.webm", "bare.h264"):
        sampler = sample(DATA / name, 1000)
        assert len(list(sampler)) > 10
        assert (sampler.skipped, sampler.ended_early) == (0, False), name


def test_cut_short_with_its_index_in_front_plays_until_there(tmp_path):
    data = (DATA / "long_groups.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    sampler = sample(tmp_path / "cut.mp4", 10)
    times = [at for _, at in sampler]
    assert 2 < times[-1] < 19
    assert sampler.ended_early


def test_cut_short_without_its_index(tmp_path):
    data = write_video(tmp_path / "v.mp4", "mp4v").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match=r'^"cut.mp4" is cut short: the index of its frames is missing'):
        probe(tmp_path / "cut.mp4")


def test_not_one_frame_decodes(tmp_path):
    data = bytearray((DATA / "long_groups.mp4").read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    (tmp_path / "dead.mp4").write_bytes(data)
    with pytest.raises(VideoError, match="not one of its frames can be decoded"):
        probe(tmp_path / "dead.mp4")
    with pytest.raises(VideoError, match="not one of its frames can be decoded"):
        list(sample(tmp_path / "dead.mp4", 1))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"This is no video.\n" * 100, "is a text file"),
        ("umlaut.mp4", "Grüße ".encode() * 20_000, "is a text file"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1/secret.ts\n", "is a text file"),
        ("concat.mp4", b"ffconcat version 1.0\nfile /etc/hostname\n", "is a text file"),
        ("list0.mp4", b"#EXTM3U\n\x00#EXTINF:10,\nhttp://127.0.0.1/secret.ts\n", "not a video in a format known"),
        ("photo.mp4", b"\x89PNG\r\n\x1a\n" + bytes(100), "is a still picture"),
        ("photo.avif", b"\x00\x00\x00\x20ftypavif" + bytes(100), "is a still picture"),
        ("song.mp4", b"ID3\x04" + bytes(500), "only sound"),
        ("song.wav", b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(100), "only sound"),
        ("noise.mp4", bytes(range(255, 0, -1)) * 9, "not a video in a format known"),
        ("head.webm", b"\x1aE\xdf\xa3" + bytes(100), "cannot be decoded"),
        ("head.mp4", b"\x00\x00\x00\x18ftypisom" + bytes(12), "is cut short"),
    ],
)
def test_wrong_content(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=message) as caught:
        sample(tmp_path / name, 1)
    assert f'"{name}"' in str(caught.value)
    assert isinstance(caught.value, HermesError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["sound_only.mp4", "sound_only.webm"])
def test_sound_without_pictures(name):
    with pytest.raises(VideoError, match="no pictures, only sound"):
        probe(DATA / name)


def test_missing_folder_and_pipe(tmp_path):
    with pytest.raises(VideoError, match=r'There is no file "nothing.mp4"'):
        probe(tmp_path / "nothing.mp4")
    with pytest.raises(VideoError, match="is a folder"):
        probe(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match="is a device or a pipe"):
        probe(tmp_path / "pipe.mp4")


def test_addresses_and_impossible_names_are_just_missing_files():
    for name in ("http://127.0.0.1:9/a.mp4", "concat:a|b", "nul\0byte.mp4", "x" * 5000):
        with pytest.raises(VideoError):
            probe(name)


def test_a_name_that_looks_like_a_protocol_is_a_plain_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "v.avi", frames=3).rename(tmp_path / "concat:v.avi")
    assert probe("concat:v.avi").frame_count == 3


def test_no_permission(tmp_path):
    path = write_video(tmp_path / "secret.avi", frames=2)
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything: look as somebody else
        for folder in (tmp_path, *list(tmp_path.parents)[:2]):
            folder.chmod(0o755)
        os.seteuid(65534)
    try:
        with pytest.raises(VideoError, match=r'"secret.avi" may not be read: permission denied'):
            probe(path)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)


def test_names_are_made_printable_and_short(tmp_path):
    name = "a\nb" + "c" * 200 + ".mp4"
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(VideoError) as caught:
        probe(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 140


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fps": 0}, "sampling rate"),
        ({"fps": -1}, "sampling rate"),
        ({"fps": float("nan")}, "sampling rate"),
        ({"fps": 1, "start": -1}, "start"),
        ({"fps": 1, "start": 5, "end": 5}, "end"),
        ({"fps": 1, "start": 21}, "is 20.0 s long"),
        ({"fps": 1, "max_side": 0}, "at least 1 pixel"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(VideoError, match=message):
        sample(DATA / "long_groups.mp4", **arguments)


def test_damaged_files_never_crash_and_stay_quiet(tmp_path):
    """Mutated files in a process of their own: it must live, write nothing, and give times that move forward."""
    write_video(tmp_path / "a.mp4", "mp4v", frames=20)
    write_video(tmp_path / "b.webm", "VP90", frames=20)
    write_video(tmp_path / "c.avi", "MJPG", frames=20)
    program = """
import sys, pathlib
import numpy as np
from hermes.video import VideoError, sample
rng = np.random.default_rng(0)
for source in map(pathlib.Path, sys.argv[1:]):
    whole = np.frombuffer(source.read_bytes(), np.uint8)
    for turn in range(40):
        data = whole.copy()
        data[rng.integers(8, len(data) if turn % 2 else 1000, 30)] = rng.integers(0, 256, 30)
        target = source.with_name("mutated" + source.suffix)
        target.write_bytes(data.tobytes())
        try:
            times = [at for _, at in sample(target, 1000, max_side=32)]
            assert times == sorted(set(times))
        except VideoError:
            pass
"""
    files = [str(tmp_path / name) for name in ("a.mp4", "b.webm", "c.avi")]
    done = subprocess.run([sys.executable, "-c", program, *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
