"""Video input: which frames come, with which times and in which shape."""

from __future__ import annotations

import struct

import av
import cv2
import numpy as np
import pytest
from videos import DATA, all_frames, turned, write_video

from hermes.video import VideoError, VideoSampler, probe, sample

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


def test_groups_that_hold_no_sampled_frame_are_not_decoded():
    sampler = sample(DATA / "long_groups.mp4", 0.1)
    got = list(sampler)
    every = {at: picture for picture, at in all_frames(DATA / "long_groups.mp4")}
    assert [at for _, at in got] == pytest.approx([0.0, 10.0])
    assert all(np.array_equal(picture, every[at]) for picture, at in got)
    assert sampler.decoded < 350  # of 600; a group has 150
    assert sampler.skipped == 0


def test_start_within_a_varying_rate():
    assert [round(at, 3) for _, at in sample(DATA / "variable_rate.mp4", 1, start=4.0)] == [4.0, 5.0]


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
    assert sampler.decoded == 1
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


@pytest.mark.parametrize(
    ("size", "max_side"),
    [((1280, 720), 512), ((1279, 719), 512), ((4000, 4), 512), ((1920, 1080), 1), ((2400, 40), 64)],
)
def test_scaling_keeps_the_mean_colour(tmp_path, size, max_side):
    """Also where few pixels are left: libswscale alone ignores most rows, or returns black."""
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[: size[1] // 2] = (240, 120, 40)
    picture[size[1] // 2 :, : size[0] // 2] = (20, 200, 100)
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    ((scaled, _),) = sample(tmp_path / "v.mkv", 1, max_side=max_side)
    assert scaled.mean(axis=(0, 1)) == pytest.approx(picture.mean(axis=(0, 1)), abs=4)


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
