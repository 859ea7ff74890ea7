"""Recordings that were appended, interrupted, cut, reordered or encrypted midway, generated for the tests."""

from __future__ import annotations

import struct

import av
import numpy as np
import pytest
from videos import grey, turned, video_of

from hermes.video import VideoError, sample

FAST = {"preset": "ultrafast", "bf": "0"}
OTHER_TRACK = {"mpegts_start_pid": "0x300"}


def test_a_clock_jump_of_two_seconds_loses_nothing(tmp_path):
    """The file has no bytes for the 50 frames that a constant rate would have in between."""
    first = video_of(tmp_path / "a.ts", "libx264", 40, options=FAST).read_bytes()
    later = {"output_ts_offset": "3.6"}  # the first part ends after 1.6 s
    second = video_of(tmp_path / "b.ts", "libx264", 40, options=FAST, container_options=later).read_bytes()
    (tmp_path / "jump.ts").write_bytes(first + second)
    sampler = sample(tmp_path / "jump.ts", 1000)
    times = [at for _, at in sampler]
    assert len(times) == 80
    assert np.diff(times).max() == pytest.approx(2.04, abs=0.05)
    assert (sampler.skipped, sampler.notes) == (0, ())


def test_bytes_without_frames_are_counted_as_loss(tmp_path):
    data = bytearray(video_of(tmp_path / "a.ts", "libx264", 150, options={**FAST, "g": "10"}).read_bytes())
    first, count = len(data) // 188 // 3 * 188, len(data) // 188 // 5 * 188
    data[first : first + count] = b"".join(b"\x47\x1f\xff\x10" + bytes(184) for _ in range(count // 188))
    (tmp_path / "lost.ts").write_bytes(data)
    sampler = sample(tmp_path / "lost.ts", 1000)
    times = [at for _, at in sampler]
    assert times[-1] == pytest.approx(149 / 25, abs=0.05)
    assert sampler.skipped > 15
    assert len(times) + sampler.skipped == 150


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("mpeg2video", {}),
        ("libx265", {}),
        ("libx264", {"mpegts_start_pid": "0x300"}),
        ("mpeg4", {"mpegts_start_pid": "0x300"}),
    ],
)
def test_a_recording_with_another_codec_or_track_is_appended(tmp_path, codec, options):
    first = video_of(tmp_path / "a.ts", "libx264", 50, options=FAST).read_bytes()
    more = {"x265-params": "log-level=none", "preset": "ultrafast"} if codec == "libx265" else {}
    second = video_of(tmp_path / "b.ts", codec, 50, options=more, container_options=options).read_bytes()
    (tmp_path / "both.ts").write_bytes(first + second + first)
    sampler = sample(tmp_path / "both.ts", 1000)
    promised = sampler.info.duration
    pictures = [(float(picture.mean()), at) for picture, at in sampler]
    assert 146 <= len(pictures) <= 150  # libavformat damages frames where the codec changes
    assert max(at for _, at in pictures) == pytest.approx(149 / 25, abs=0.17)
    assert promised == pytest.approx(6.0, abs=0.17)
    assert sampler.skipped <= 2
    brightness = [mean for mean, _ in pictures[-40:]]
    assert brightness == pytest.approx([40 + number * 4 % 160 for number in range(10, 50)], abs=4)


def test_the_chosen_track_is_kept_where_the_clock_jumps(tmp_path):
    """Two video tracks: the larger one continues, although the other one could be taken for a new recording."""
    parts = []
    for start in ("0", "20"):
        with av.open(str(tmp_path / "part.ts"), "w", options={"output_ts_offset": start}) as container:
            sizes = ((64, 48), (160, 120))
            streams = [container.add_stream("libx264", rate=25, options=FAST) for _ in sizes]
            for stream, (stream.width, stream.height) in zip(streams, sizes, strict=True):
                stream.pix_fmt = "yuv420p"
            for number in range(30):
                for stream, size in zip(streams, sizes, strict=True):
                    frame = grey(40 + number * 4, size).reformat(format="yuv420p")
                    frame.pts = number
                    container.mux(stream.encode(frame))
            for stream in streams:
                container.mux(stream.encode(None))
        parts.append((tmp_path / "part.ts").read_bytes())
    (tmp_path / "all.ts").write_bytes(b"".join(parts))
    sampler = sample(tmp_path / "all.ts", 1000)
    assert sampler.size == (160, 120)
    assert len(list(sampler)) == 60
    assert sampler.skipped == 0


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_scrambled_packets_of_a_transport_stream(tmp_path, share):
    data = bytearray(video_of(tmp_path / "a.ts", "libx264", 100, options={**FAST, "g": "10"}).read_bytes())
    random = np.random.default_rng(0)
    for at in range(int(len(data) // 188 * share) * 188, len(data), 188):
        if (data[at + 1] & 0x1F) << 8 | data[at + 2] == 256:
            data[at + 3] |= 0x80
            start = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
            data[start : at + 188] = random.bytes(at + 188 - start)
    (tmp_path / "scrambled.ts").write_bytes(data)
    frames = []

    def read():
        for frame in sample(tmp_path / "scrambled.ts", 1000):
            frames.append(frame)  # noqa: PERF402  (those before the error are kept)

    with pytest.raises(VideoError, match=r"is encrypted .* from [12]\.\d s on" if share else "is encrypted"):
        read()
    assert len(frames) == pytest.approx(100 * share, abs=6)


def test_rotation_and_a_change_of_size(tmp_path):
    """Two sizes in one MP4 track that is rotated by 90 degrees: the second part is rotated too, and letterboxed."""
    with av.open(str(tmp_path / "plain.mp4"), "w") as target:
        stream, base = None, 0
        for name, size in (("a.ts", (160, 120)), ("b.ts", (80, 120))):
            video_of(tmp_path / name, "libx264", 20, size, options=FAST)
            with av.open(str(tmp_path / name)) as source:
                track = source.streams.video[0]
                stream = stream or target.add_stream_from_template(track)
                packets = [packet for packet in source.demux(track) if packet.size]
            for number, packet in enumerate(packets):
                packet.pts = packet.dts = base + number * 3600
                packet.stream = stream
                target.mux(packet)
            base += 20 * 3600
    (tmp_path / "turned.mp4").write_bytes(turned((tmp_path / "plain.mp4").read_bytes(), 90, (160, 120)))
    sampler = sample(tmp_path / "turned.mp4", 1000)
    pictures = [picture for picture, _ in sampler]
    assert (sampler.info.rotation, sampler.size, len(pictures)) == (90, (120, 160), 40)
    assert {picture.shape for picture in pictures} == {(160, 120, 3)}
    assert min(picture.min() for picture in pictures[:20]) > 30
    last = pictures[-1]  # 120 x 80 of 120 x 160
    assert last[:38].max() < 8
    assert last[-38:].max() < 8
    assert last[42:-42].min() > 90


def test_reordered_frames_in_avi_have_rising_times(tmp_path):
    """AVI numbers frames in decoding order, so that the numbers of frames in presentation order fall."""
    path = video_of(tmp_path / "b.avi", "libx264", 60, options={"bf": "3", "b-adapt": "0"})
    sampler = sample(path, 1000)
    frames = [(float(picture.mean()), at) for picture, at in sampler]
    assert [at for _, at in frames] == pytest.approx([number / 25 for number in range(60)], abs=0.001)
    assert [mean for mean, _ in frames] == pytest.approx([40 + number * 4 % 160 for number in range(60)], abs=4)


def test_an_edit_list_that_selects_nothing_is_ignored(tmp_path):
    data = video_of(tmp_path / "a.mp4", "libx264", 50, options=FAST).read_bytes()
    at = data.index(b"elst") + 12
    (tmp_path / "beyond.mp4").write_bytes(data[:at] + struct.pack(">Ii", 1000, 1 << 30) + data[at + 8 :])
    sampler = sample(tmp_path / "beyond.mp4", 1000)
    assert len(list(sampler)) == 50
    assert sampler.info.duration == pytest.approx(2.0, abs=0.002)
    assert "edit list" in sampler.notes[0]


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), [("a.gif", "gif", "rgb8"), ("a.apng", "apng", "rgb24")])
def test_animated_pictures_that_are_cut_short(tmp_path, name, codec, pix_fmt):
    data = video_of(tmp_path / name, codec, 20, pix_fmt=pix_fmt).read_bytes()
    (tmp_path / ("cut" + name)).write_bytes(data[: len(data) // 2])
    whole, cut = sample(tmp_path / name, 1000), sample(tmp_path / ("cut" + name), 1000)
    assert len(list(whole)) == 20
    assert 5 < len(list(cut)) < 15
    assert (whole.ended_early, cut.ended_early) == (False, True)
