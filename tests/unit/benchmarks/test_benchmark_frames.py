"""Frames of benchmark videos are those of the released runner, for video files, folders of images and arrays."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from benchmark_data import number_of, numbered, write_numbered
from PIL import Image

from hermes.benchmarks.annotations import AnnotatedVideo
from hermes.benchmarks.catalogue import BenchmarkError
from hermes.benchmarks.frames import frame_step, open_frames, sampled_indices
from hermes.errors import HermesError

RATES = (0.5, 1, 2)


def released_indices(fps, count, rate, start=None, end=None):
    """The formula of the released code, for video files."""
    first, after = (0, count) if start is None else (int(start * fps), min(int(end * fps) + 1, count))
    return list(range(first, after, int(round(fps) / rate)))


def video(path, fps=None, clip=None):
    return AnnotatedVideo(0, "v", path, fps, clip, "", ())


def numbers(folder, entry, rate):
    with open_frames(folder, entry, rate) as frames:
        return [number_of(frame) for frame in frames]


@pytest.mark.parametrize("fps", [23.976, 25, 29.97, 30])
@pytest.mark.parametrize("rate", RATES)
def test_indices_follow_the_released_formula(fps, rate):
    step = frame_step(fps, rate)
    assert list(sampled_indices(fps, 5000, step)) == released_indices(fps, 5000, rate)
    assert list(sampled_indices(fps, 5000, step, (3.4, 61.7))) == released_indices(fps, 5000, rate, 3.4, 61.7)
    assert sampled_indices(fps, 100, step, (2.0, 1e6))[-1] < 100


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), 25, Fraction(30000, 1001), 30])
def test_a_video_file_gives_the_frames_of_the_formula(tmp_path, fps):
    count = 10 * round(fps) + 7
    write_numbered(tmp_path / "v.mp4", count, fps)
    for rate in RATES:
        assert numbers(tmp_path, video("v.mp4"), rate) == released_indices(float(fps), count, rate)
    assert numbers(tmp_path, video("v.mp4", clip=(2.3, 7.1)), 2) == released_indices(float(fps), count, 2, 2.3, 7.1)


def test_a_folder_of_images_is_sampled_in_the_order_of_its_numbers(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(24):
        Image.fromarray(numbered(index)).save(folder / f"{index + 1}.png")  # 1, 10, 11 … by alphabet
    (folder / "notes.txt").write_text("not an image")
    assert numbers(tmp_path, video("images", 3), 1) == list(range(0, 24, 3))
    assert numbers(tmp_path, video("images", 3), 0.5) == list(range(0, 24, 6))
    assert numbers(tmp_path, video("images", 3), 4) == list(range(24))
    assert numbers(tmp_path, video("images", 3, (2.0, 4.5)), 1) == [6, 9, 12]
    with pytest.raises(BenchmarkError, match="none of them in the part"):
        numbers(tmp_path, video("images", 3, (20.0, 30.0)), 1)
    (folder / "1.png").write_bytes(b"damaged")
    with pytest.raises(BenchmarkError, match=r"image 1\.png cannot be read"):
        numbers(tmp_path, video("images", 3), 1)
    with pytest.raises(BenchmarkError, match="no folder of images"):
        numbers(tmp_path, video("nothing", 3), 1)


def test_an_array_is_sampled_evenly_from_its_first_to_its_last_frame(tmp_path):
    np.save(tmp_path / "v.npy", np.stack([numbered(index) for index in range(21)]))
    assert numbers(tmp_path, video("v.npy"), 1) == list(range(21))
    for rate in (0.5, 2):
        assert numbers(tmp_path, video("v.npy"), rate) == np.linspace(0, 20, int(21 * rate)).astype(int).tolist()
    with pytest.raises(BenchmarkError, match="too short"):
        numbers(tmp_path, video("v.npy"), 0.01)


def _object_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    return file.getvalue()


def _header_only() -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 480, 640, 3)})
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an array"),
        (b"no array", "not an array"),
        (_object_array(), "not an array"),
        (_header_only(), "incomplete"),
        (np.zeros((4, 4), np.uint8), "must hold frames as uint8"),
        (np.zeros((2, 4, 4, 3), np.float32), "must hold frames as uint8"),
        (np.zeros((0, 4, 4, 3), np.uint8), "must hold frames as uint8"),
    ],
    ids=["empty", "text", "pickle", "header only", "two axes", "floats", "no frames"],
)
def test_an_array_that_holds_no_frames_is_rejected(tmp_path, data, reason):
    path = tmp_path / "v.npy"
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        np.save(path, data)
    with pytest.raises(BenchmarkError, match=reason):
        numbers(tmp_path, video("v.npy"), 1)


def test_missing_damaged_and_slow_videos_are_rejected(tmp_path):
    with pytest.raises(BenchmarkError, match=r"no video missing\.mp4"):
        numbers(tmp_path, video("missing.mp4"), 1)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(HermesError):
        numbers(tmp_path, video("text.mp4"), 1)
    write_numbered(tmp_path / "slow.mp4", 5, 2)
    with pytest.raises(BenchmarkError, match="cannot be sampled at 5"):
        numbers(tmp_path, video("slow.mp4"), 5)
