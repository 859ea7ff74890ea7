"""Real-world inputs that other decoders get wrong, each with its correct frames, times, shape and brightness."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from videos import DATA, all_frames

from hermes.video import VideoError, probe, sample


@pytest.mark.parametrize(
    ("name", "frames", "last", "duration", "size"),
    [
        ("c01-av1.mp4", 40, 3.9, 4.0, (320, 240)),
        ("c02-iphone-hlg.mp4", 10, 0.9, 1.0, (320, 240)),
        ("c02-display-p3.mp4", 10, 0.9, 1.0, (320, 240)),
        ("c07-animated.apng", 40, 3.9, 4.0, (320, 240)),
        ("c10-ts-two-recordings-appended.ts", 120, 11.9, 12.0, (320, 240)),
        ("c11-ts-clock-jumps-two-hours.ts", 120, 12.8, 12.9, (320, 240)),
        ("c14-edit-list-cut.mp4", 55, 5.4, 5.5, (320, 240)),
        ("c18-interlaced-h264.mp4", 50, 1.96, 2.0, (352, 288)),
        ("c21-three-byte-start.h264", 40, 39 / 25, 40 / 25, (320, 240)),
        ("c23-size-changes-mid-stream.webm", 40, 3.9, 4.0, (320, 240)),
        ("c25-two-frames-at-zero.webm", 59, 50.0, 50.1, (320, 240)),
        ("c26-sound-longer.webm", 40, 3.9, 3.9, (320, 240)),
        ("c29-mirrored-selfie.mp4", 80, 7.9, 8.0, (320, 240)),
        ("c30-two-video-tracks.mp4", 30, 2.9, 3.0, (640, 480)),
    ],
)
def test_frames_times_and_duration(name, frames, last, duration, size):
    sampler = sample(DATA / name, 1000, max_side=640)
    promised = sampler.info.duration
    times = [at for _, at in sampler]
    assert len(times) == frames
    assert times[0] == 0
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx(last, abs=0.002)
    assert promised == pytest.approx(duration, abs=0.002)
    assert sampler.info.duration == pytest.approx(duration, abs=0.002)
    assert sampler.size == (sampler.info.width, sampler.info.height) == size
    assert (sampler.skipped, sampler.ended_early) == (0, False)


def test_interlaced_frames_are_those_of_the_file():
    """They were uninitialised memory: the brightness shows that they are decoded, the rows that fields do not comb."""
    pictures = np.stack([picture for picture, _ in sample(DATA / "c18-interlaced-h264.mp4", 1000)]).astype(int)
    assert pictures.mean() == pytest.approx(126.6, abs=1.0)
    assert np.ptp(pictures.mean(axis=(1, 2, 3))) < 10
    again = np.stack([picture for picture, _ in sample(DATA / "c18-interlaced-h264.mp4", 1000)])
    assert np.array_equal(pictures, again)
    next_row = np.abs(np.diff(pictures, axis=1)).mean()
    row_after = np.abs(pictures[:, 2:] - pictures[:, :-2]).mean()
    assert next_row < row_after  # combing would make rows of one field more alike than neighbours


def test_a_gap_is_shortened_and_reported():
    sampler = sample(DATA / "c11-ts-clock-jumps-two-hours.ts", 1000)
    times = np.array([at for _, at in sampler])
    assert np.diff(times).max() == pytest.approx(1.0)
    assert [note for note in sampler.notes if "2.0 hours" in note and "5.9 s" in note] == list(sampler.notes)


def test_appended_recordings_are_reported_by_nothing():
    sampler = sample(DATA / "c10-ts-two-recordings-appended.ts", 1000)
    assert np.diff([at for _, at in sampler]) == pytest.approx(np.full(119, 0.1))
    assert sampler.notes == ()


def test_frames_are_mirrored_by_the_display_matrix():
    path = DATA / "c29-mirrored-selfie.mp4"
    data = path.read_bytes()
    at = data.index(b"tkhd") + 44
    a, b, _, c, d = np.frombuffer(data[at : at + 20], ">i4")
    assert (b, c) == (0, 0)
    assert a < 0 < d  # left and right are exchanged
    info = probe(path)
    assert (info.mirrored, info.rotation) == (True, 0)
    shown = [picture for picture, _ in sample(path, 1000)]
    coded = [picture for picture, _ in all_frames(path)]
    assert all(np.array_equal(x, y[:, ::-1]) for x, y in zip(shown, coded, strict=True))


def test_letterboxed_when_the_size_changes():
    pictures = [picture for picture, _ in sample(DATA / "c23-size-changes-mid-stream.webm", 1000)]
    first, last = pictures[0], pictures[-1]
    assert first[:, :40].mean() > 20
    assert last.shape == first.shape == (240, 320, 3)
    assert last[:, :60].max() < 8  # 180 of 320 columns hold the portrait picture
    assert last[:, -60:].max() < 8
    assert last[:, 80:240].mean() > 60


def test_encrypted():
    with pytest.raises(VideoError, match="is encrypted"):
        probe(DATA / "c35-encrypted.mp4")


def test_an_animated_picture_that_costs_too_much():
    with pytest.raises(VideoError, match=r"6300 × 6300 pixels: an animated picture may have at most 16.8 million"):
        probe(DATA / "b01-gif-6300x6300-just-allowed.gif")


@pytest.mark.parametrize("name", [b"M\xfcnchen.mp4", b"\xff\xfe.mp4", b"clip%d.jpg", b"%05d.png", b"*.mp4", b"-i.mp4"])
def test_names_are_only_names(tmp_path, name):
    """Not UTF-8, or what image2 would take for a pattern; beside it lie the files that the pattern would match."""
    path = tmp_path / name.decode("utf-8", "surrogateescape")
    for number in range(3):
        shutil.copy(DATA / "c30-two-video-tracks.mp4", tmp_path / f"clip{number}.jpg")
        shutil.copy(DATA / "c30-two-video-tracks.mp4", tmp_path / f"{number:05d}.png")
    shutil.copy(DATA / "long_groups.mp4", path)
    with sample(path, 1) as sampler:
        assert (sampler.info.width, sampler.info.height) == (64, 48)
        assert len(list(sampler)) == 20
    path.write_bytes(b"text")
    with pytest.raises(VideoError, match="text file"):
        probe(path)
