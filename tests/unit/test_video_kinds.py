"""More files of the same classes, generated: cover art, wraps and appended recordings, interlaced codecs, HDR."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from hermes.video import VideoError, probe, sample


def grey(value, size=(64, 48)):
    return av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), value, np.uint8))


def video_of(
    path, codec, frames=30, size=(64, 48), pix_fmt="yuv420p", options=None, times=None, container_options=None
):
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for number in range(frames):
            frame = grey(40 + number * 4 % 160, size).reformat(format=pix_fmt)
            frame.pts = number if times is None else times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cover_picture():
    file = io.BytesIO()
    with av.open(file, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        container.mux(stream.encode(grey(200).reformat(format="yuvj420p")))
        container.mux(stream.encode(None))
    return file.getvalue()


def box(kind, inside):
    return (8 + len(inside)).to_bytes(4, "big") + kind + inside


@pytest.mark.parametrize("name", ["song.m4a", "song.mka"])
def test_a_song_with_cover_art_holds_only_sound(tmp_path, name):
    """In M4A as the atom of music shops; in Matroska as a track of one picture that is not marked as a cover."""
    path = tmp_path / name
    with av.open(str(path), "w", format="ipod" if name.endswith("m4a") else "matroska") as container:
        sound = container.add_stream("aac", rate=44100)
        cover = None
        if name.endswith("mka"):
            cover = container.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
            container.mux(cover.encode(grey(200).reformat(format="yuvj420p")))
            container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        for number in range(20):
            frame.pts = number * 1024
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    if cover is None:
        data = path.read_bytes()
        at = data.index(b"moov") - 4
        end = at + int.from_bytes(data[at : at + 4], "big")
        assert end == len(data)
        handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
        items = box(b"ilst", box(b"covr", box(b"data", b"\0\0\0\x0d" + bytes(4) + cover_picture())))
        path.write_bytes(
            data[:at] + box(b"moov", data[at + 8 :] + box(b"udta", box(b"meta", bytes(4) + handler + items)))
        )
        with av.open(str(path)) as container:
            assert len(container.streams.video) == 1
    with pytest.raises(VideoError, match="only sound"):
        probe(path)


def test_three_recordings_appended(tmp_path):
    part = video_of(tmp_path / "part.ts", "mpeg2video", 25).read_bytes()
    (tmp_path / "all.ts").write_bytes(part * 3)
    times = [at for _, at in sample(tmp_path / "all.ts", 1000)]
    assert len(times) == 75
    assert np.diff(times) == pytest.approx(np.full(74, 0.04), abs=0.002)


def test_a_still_gif(tmp_path):
    video_of(tmp_path / "one.gif", "gif", 1, pix_fmt="rgb8")
    with pytest.raises(VideoError, match="is a still picture"):
        probe(tmp_path / "one.gif")


@pytest.mark.parametrize(("name", "codec"), [("i.ts", "mpeg2video"), ("i.mkv", "libx264")])
def test_interlaced(tmp_path, name, codec):
    options = {"x264-params": "tff=1"} if codec == "libx264" else {"flags": "+ildct+ilme"}
    path = video_of(tmp_path / name, codec, size=(352, 288), options=options)
    pictures = [picture for picture, _ in sample(path, 1000)]
    assert len(pictures) == 30
    assert [round(float(p.mean())) for p in pictures] == pytest.approx([40 + i * 4 % 160 for i in range(30)], abs=4)
