"""Files whose packets, times or clock jumps cost more than their size suggests: the work for each is bounded."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from videos import DATA, video_of

from hermes.video import VideoError, VideoSampler, packets, probe, sample
from hermes.video.container import MediaFile
from hermes.video.decoder import Decoder, Sampling
from hermes.video.formats import FileFormat
from hermes.video.limits import LIMITS


def box(kind, *inside):
    content = b"".join(inside)
    return struct.pack(">I", 8 + len(content)) + kind + content


def numbers(*values):
    return struct.pack(f">{len(values)}I", *values)


NOT_CODED = bytes.fromhex("000001b6504f")
"""A frame of MPEG-4 Part 2 that is marked as not coded, so that the decoder returns none."""


def of_tiny_packets(count, delta=1, content=b"\0", codec=DATA / "c29-mirrored-selfie.mp4"):
    """An MP4 of samples of a few bytes, which hold no frame. It does not state its duration."""
    real = codec.read_bytes()
    start = real.index(b"stsd") - 4
    codec = real[start : start + int.from_bytes(real[start : start + 4], "big")]
    top = box(b"ftyp", b"isom", bytes(4))
    table = box(
        b"stbl",
        codec,
        box(b"stts", numbers(0, 1, count, delta)),
        box(b"stsz", numbers(0, len(content), count)),
        box(b"stsc", numbers(0, 1, 1, count, 1)),
        box(b"stco", numbers(0, 1, len(top) + 8)),
    )
    matrix = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    header = box(b"tkhd", numbers(3, 0, 0, 1, 0, 0), bytes(16), matrix, numbers(64 << 16, 48 << 16))
    media = box(
        b"mdia",
        box(b"mdhd", numbers(0, 0, 0, 1000, 0, 0)),
        box(b"hdlr", bytes(8), b"vide", bytes(13)),
        box(b"minf", box(b"vmhd", bytes(12)), table),
    )
    movie = box(b"mvhd", numbers(0, 0, 0, 1000, 0, 1 << 16), bytes(12), matrix, bytes(24), numbers(2))
    return top + box(b"mdat", content * count) + box(b"moov", movie, box(b"trak", header, media))


def test_packets_without_frames_take_a_bounded_time(tmp_path):
    (tmp_path / "tiny.mp4").write_bytes(of_tiny_packets(1_000_000))
    limits = replace(LIMITS, base_cpu_seconds=0.3)
    with pytest.raises(VideoError, match=r"takes too long to decode: .* for the first 0\.0 seconds"):
        VideoSampler(tmp_path / "tiny.mp4", 1, limits=limits)


@pytest.mark.parametrize("content", [b"\0", NOT_CODED], ids=["damaged", "empty"])
def test_decoding_stops_after_many_packets_without_a_frame(tmp_path, monkeypatch, content):
    codec = video_of(tmp_path / "codec.mp4", "mpeg4" if content == NOT_CODED else "libx264", 1)
    (tmp_path / "tiny.mp4").write_bytes(of_tiny_packets(20_000, content=content, codec=codec))
    decoded, decode = [], Decoder._decode

    def count(decoder, packet):
        decoded.append(packet)
        decode(decoder, packet)

    monkeypatch.setattr(Decoder, "_decode", count)
    with (
        (tmp_path / "tiny.mp4").open("rb") as file,
        pytest.raises(VideoError, match="not one of its frames can be decoded"),
    ):
        Decoder(file, FileFormat("mov"), "v", Sampling(1, 0, 1e9, 16), LIMITS, lambda: None)
    most = LIMITS.empty_packets if content == NOT_CODED else packets.MAX_FAILURES
    # With the edit list and without it. The threads of a decoder report an error some packets later.
    assert 2 * most <= len(decoded) <= 2 * (most + 2 * LIMITS.threads)


def test_a_file_of_many_packets_is_not_read_to_find_its_duration():
    path = DATA / "no_duration.webm"
    known = len(list(sample(path, 1000)))
    sampler = VideoSampler(path, 1000, limits=replace(LIMITS, most_index_packets=known // 2))
    assert sampler.info.duration is None
    assert len(list(sampler)) == known
    assert sampler.info.duration == probe(path).duration


@pytest.mark.parametrize("scale", [2**32 - 1, 2**31 - 1, 1])
def test_a_rate_and_a_duration_that_no_video_has_are_unknown(tmp_path, scale):
    """The scale of a track's timestamps, in ticks per second, is replaced: its frames last a nanosecond, or hours."""
    data = bytearray(video_of(tmp_path / "v.mp4", "libx264", 20).read_bytes())
    at = data.index(b"mdhd") + 16
    data[at : at + 4] = numbers(scale)
    (tmp_path / "v.mp4").write_bytes(data)
    sampler = sample(tmp_path / "v.mp4", 1000)
    assert sampler.info.fps is None or sampler.info.fps < 1e9
    times = [at for _, at in sampler]
    assert times == sorted(set(times))
    assert times[0] == 0


def test_a_clock_that_jumps_at_each_packet_is_searched_for_tracks_a_limited_number_of_times(tmp_path, monkeypatch):
    monkeypatch.setattr(packets, "MAX_SEARCHES", 5)
    path = video_of(tmp_path / "v.ts", "mpeg2video", 30, options={"bf": "0"})
    data = bytearray(path.read_bytes())
    for number, at in enumerate(range(0, len(data), 188)):
        start = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
        if data[at + 1] & 0x40 and data[start : start + 4] == b"\0\0\1\xe0" and data[start + 7] & 0x80:
            stamp = number * 7919 * 90_000 % 2**33
            coded = [
                stamp >> 29 & 14 | 0x21,
                stamp >> 22 & 255,
                stamp >> 14 & 254 | 1,
                stamp >> 7 & 255,
                stamp << 1 & 254 | 1,
            ]
            data[start + 7] = data[start + 7] & 0x3F | 0x80  # no decoding time
            data[start + 9 : start + 14] = bytes(coded)
    path.write_bytes(data)
    searched, search = [], MediaFile.track_at

    def count(media, *given):
        searched.append(given)
        return search(media, *given)

    monkeypatch.setattr(MediaFile, "track_at", count)
    with path.open("rb") as file:
        decoder = Decoder(file, FileFormat("mpegts"), "v", Sampling(1000, 0, 1e9, 16), LIMITS, lambda: None)
    assert len(searched) == 5
    assert decoder.metadata.frame_count


def test_a_frame_of_a_million_columns_is_too_large(tmp_path):
    path = video_of(tmp_path / "wide.y4m", "rawvideo", 2, size=(1_000_000, 16))
    with pytest.raises(VideoError, match="is 1000000 × 16 pixels: larger than 8K video"):
        probe(path)
