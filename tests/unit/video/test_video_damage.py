"""Long, damaged and non-video files: readable parts play, and the rest produces a specific error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from videos import DATA, spoiled, write_video

from hermes.errors import HermesError
from hermes.video import VideoError, probe, sample


def test_ten_hours(tmp_path):
    path = write_video(tmp_path / "ten_hours.mp4", "mp4v", frames=3600, fps=0.1, size=(32, 32))
    assert probe(path).duration == pytest.approx(36_000)
    sampler = sample(path, 1 / 1800)
    times = [at for _, at in sampler]
    assert times == pytest.approx([1800 * i for i in range(20)])
    assert sampler.decoded < 400  # groups without a sampled frame are not decoded


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
        ("song.ac3", b"\x0bw" + bytes(100), "only sound"),
        ("song.mp2", b"\xff\xfd\x80" + bytes(100), "only sound"),
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


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that cannot be read from its start")
def test_a_file_that_the_system_cannot_read():
    with pytest.raises(VideoError, match='"mem" cannot be read: Input/output error'):
        probe("/proc/self/mem")


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
    if os.geteuid() == 0:  # root may read everything: read as another user
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
        ({"fps": 5e-324}, "sampling rate"),
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
    for turn in range(20):
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
