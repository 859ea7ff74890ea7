"""More files of the same classes, generated: cover art, wraps and appended recordings, interlaced codecs, HDR."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from videos import DATA, grey, video_of

from hermes.video import VideoError, probe, sample
from hermes.video.explain import is_encrypted
from hermes.video.formats import FileFormat


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


def test_recordings_appended_where_the_clock_wraps(tmp_path):
    """Timestamps of 33 bits that start again from 0 within the file, with frames in another order than they are shown."""
    path = video_of(
        tmp_path / "wrap.ts",
        "libx264",
        75,
        options={"bf": "3", "g": "25", "preset": "ultrafast", "b-adapt": "0"},
        container_options={"output_ts_offset": "95441.0", "muxdelay": "0"},
    )
    sampler = sample(path, 1000)
    assert sampler.info.duration == pytest.approx(3.0, abs=0.001)
    assert [at for _, at in sampler] == pytest.approx([i / 25 for i in range(75)], abs=0.001)
    assert (sampler.notes, sampler.skipped) == ((), 0)


def test_a_late_start_is_no_loss(tmp_path):
    """The first timestamp is 50,000 s, and the container states the time of the end as its duration."""
    path = video_of(tmp_path / "late.mkv", "libx264", 50, container_options={"output_ts_offset": "50000"})
    sampler = sample(path, 1000)
    assert [at for _, at in sampler] == pytest.approx([i / 25 for i in range(50)], abs=0.002)
    assert (sampler.ended_early, sampler.info.duration) == (False, pytest.approx(2.0, abs=0.002))


def test_reordered_frames_without_decoding_times(tmp_path):
    """Matroska has no decoding times: the first frames of H.265 with B-frames have none, then they start."""
    path = video_of(
        tmp_path / "b.mkv",
        "libx265",
        30,
        options={"x265-params": "bframes=3:b-adapt=0:log-level=none", "preset": "ultrafast"},
    )
    assert probe(path).duration == pytest.approx(1.2, abs=0.002)
    assert len(list(sample(path, 1000))) == 30


def test_theora_recordings_of_two_sizes_appended():
    """Of 20 frames each, the last of which is empty, so that the frame before is shown for longer."""
    sampler = sample(DATA / "two_sizes.ogv", 1000)
    assert sampler.info.frame_count == 38
    assert len(list(sampler)) == 38
    assert sampler.skipped == 0


def test_a_video_with_a_larger_cover_that_is_not_marked(tmp_path):
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 640, 480, "yuvj420p"
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        container.mux(cover.encode(grey(200, (640, 480)).reformat(format="yuvj420p")))
        for _ in range(20):
            container.mux(video.encode(grey(90).reformat(format="yuv420p")))
        container.mux([*video.encode(None), *cover.encode(None)])
    sampler = sample(path, 1000)
    assert (sampler.info.width, sampler.info.height) == (64, 48)
    assert len(list(sampler)) == 20


def element(kind, inside):
    return kind + (1 << 28 | len(inside)).to_bytes(4, "big") + inside


def test_encrypted_matroska(tmp_path):
    """As WebM's encryption marks a track; what is inside the frames does not matter."""
    frame = b"\xa3\x90\x81\x00\x00\x80\x01" + bytes(range(10))
    key = element(b"\x62\x40", b"\x50\x33\x81\x01" + element(b"\x50\x35", b"\x47\xe1\x81\x05"))
    picture = element(b"\xe0", b"\xb0\x81\x40\xba\x81\x30")
    track = b"\xd7\x81\x01\x73\xc5\x81\x01\x83\x81\x01\x86\x85V_VP9" + picture
    for name, encodings in (("clear", b""), ("secret", element(b"\x6d\x80", key))):
        tracks = element(b"\x16\x54\xae\x6b", element(b"\xae", track + encodings))
        cluster = element(b"\x1f\x43\xb6\x75", b"\xe7\x81\x00" + frame)
        head = element(b"\x1a\x45\xdf\xa3", b"\x42\x82\x84webm")
        (tmp_path / f"{name}.webm").write_bytes(head + element(b"\x18\x53\x80\x67", tracks + cluster))
    clear = (tmp_path / "clear.webm").read_bytes()
    for codec in (b"V_XYZ", b"V_" + b"x" * 30_000):
        entry = element(b"\xae", track.replace(b"\x85V_VP9", element(b"", codec)))
        end = element(b"\x18\x53\x80\x67", element(b"\x16\x54\xae\x6b", entry) + cluster)
        (tmp_path / "other.webm").write_bytes(clear[: clear.index(b"\x18\x53\x80\x67")] + end)
        with pytest.raises(
            VideoError, match=r"uses the video codec “V_\w{3,38}”, which is not supported here: convert"
        ):
            probe(tmp_path / "other.webm")
    secret = (tmp_path / "secret.webm").read_bytes()
    marked = [is_encrypted(io.BytesIO(secret[:length]), FileFormat("matroska")) for length in range(len(secret))]
    assert marked == sorted(marked)  # once the mark is there, it stays
    with pytest.raises(VideoError, match="is encrypted"):
        probe(tmp_path / "secret.webm")
    with pytest.raises(VideoError, match="is damaged"):
        probe(tmp_path / "clear.webm")


def test_animated_pictures_cut_after_the_first(tmp_path):
    for name, codec, pix_fmt in (("a.gif", "gif", "rgb8"), ("a.apng", "apng", "rgb24")):
        data = video_of(tmp_path / name, codec, 10, pix_fmt=pix_fmt).read_bytes()
        second = data.index(b"\x21\xf9", data.index(b"\x2c")) if codec == "gif" else data.index(b"fdAT") - 42
        (tmp_path / name).write_bytes(data[:second])
        with pytest.raises(VideoError, match="is cut short: only one of its pictures is left"):
            probe(tmp_path / name)


def test_too_many_tracks(tmp_path):
    movie = box(b"moov", box(b"mvhd", bytes(100)) + box(b"trak", b"") * 3000)
    (tmp_path / "many.mp4").write_bytes(box(b"ftyp", b"isom" + bytes(4)) + movie)
    with pytest.raises(VideoError, match="has 3,000 tracks; at most 100 are read here"):
        probe(tmp_path / "many.mp4")


def test_pq_is_converted_to_the_reference_white(tmp_path):
    """Grey of 100 cd/m² with a reference white of 203 cd/m² is 0.493 of white in linear light: 186 in sRGB."""
    power = (100 / 10_000) ** 0.1593017578125
    code = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    path = tmp_path / "pq.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        stream.codec_context.color_trc, stream.codec_context.color_primaries, stream.codec_context.colorspace = 16, 9, 9
        frame = av.VideoFrame(64, 64, "yuv420p10le")
        for number, plane in enumerate(frame.planes):
            value = round(64 + 876 * code) if number == 0 else 512
            plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
        frame.color_trc, frame.color_primaries, frame.colorspace = 16, 9, 9
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    ((picture, _),) = sample(path, 1)
    assert picture.mean(axis=(0, 1)) == pytest.approx([186, 186, 186], abs=3)


@pytest.mark.parametrize(
    ("orientation", "shape", "dark"), [(1, (48, 64), "left"), (6, (64, 48), "top"), (3, (48, 64), "right")]
)
def test_motion_jpeg_with_exif_as_cameras_write_it(tmp_path, orientation, shape, dark):
    """The left half of the stored picture is dark. The Exif data states how the camera was held."""
    path, exif = tmp_path / "camera.avi", Image.Exif()
    exif[0x0112] = orientation
    pixels = np.full((48, 64, 3), 220, np.uint8)
    pixels[:, :32] = 20
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, "JPEG", exif=exif)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(3):
            packet = av.Packet(picture.getvalue())
            packet.pts = packet.dts = number
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 10), True
            container.mux(packet)
    frames = [frame for frame, _ in sample(path, 1000)]
    assert len(frames) == 3
    assert frames[0].shape[:2] == shape
    height, width = shape
    part = {"left": np.s_[:, : width // 2], "right": np.s_[:, width // 2 :], "top": np.s_[: height // 2]}[dark]
    assert frames[0][part].mean() < 40
