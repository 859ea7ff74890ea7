"""Files that try to make the decoder open other files or addresses: playlists, references and patterns."""

from __future__ import annotations

import itertools
import socket
import struct

import av
import numpy as np
import pytest
from videos import DATA, write_video

from hermes.video import VideoError, sample

PROTOCOLS = (
    "{path}", "file:{path}", "file://{path}", "http://{host}/v.ts", "tcp://{host}", "rtmp://{host}/v", "rtsp://{host}/v",
    "udp://{host}", "hls+http://{host}/v.m3u8", "concat:{path}|{path}", "subfile,,start,0,end,0,,:{path}", "cache:{path}",
    "crypto+file:{path}", "async:http://{host}/v", "data:text/plain,{path}", "pipe:0", "fd:3", "unix:{path}",
)  # fmt: skip
# fmt: off
PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n",
    "hls-map": ('#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MAP:URI="{url}"\n'
    '#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n#EXTINF:9,\n{url}\n'),
    "concat": "ffconcat version 1.0\nfile '{url}'\n",
    "dash": ('<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    '<Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>"),
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\na=control:{url}\n",
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "smil": '<smil><body><video src="{url}"/></body></smil>',
    "pls": "[playlist]\nFile1={url}\nLength1=9\nNumberOfEntries=1\nVersion=2\n",
    "lavfi": "movie={url}",
    "imf": ('<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Path>{url}</Path>'
    "</CompositionPlaylist>"),
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="{url}" width="9" height="9"/></svg>',
    "avisynth": 'DirectShowSource("{url}")\n',
    "vobsub": "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 000000000\n# {url}\n",
}
# fmt: on
ENDINGS = ("mp4", "m3u8", "mpd", "ts", "webm", "ffconcat")
DISGUISES = {
    "plain": lambda text: text,
    "mark": lambda text: b"\xef\xbb\xbf" + text,
    "lines": lambda text: b"\n\n \t" + text,
    "nul": lambda text: text + b"\0" * 64,
    "mp4": lambda text: struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + text,
    "webm": lambda text: b"\x1aE\xdf\xa3" + text,
    "ts": lambda text: (b"\x47" + text[:187].ljust(187, b"\n")) * 4 + text,
    "h264": lambda text: b"\x00\x00\x01\x67" + text,
    "avi": lambda text: b"RIFF\x00\x00\x00\x00AVI LIST" + text,
    "asf": lambda text: b"0&\xb2u\x8ef\xcf\x11" + text,
    "ogg": lambda text: b"OggS" + text,
    "mpeg": lambda text: b"\x00\x00\x01\xba" + text,
}


@pytest.fixture
def canary(tmp_path):
    """A magenta video that may not be read, and the address of a socket to which nothing may connect."""
    path = tmp_path / "canary.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            picture = np.full((48, 64, 3), (255, 0, 255), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield path, f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            server.accept()


def reads_canary(path):
    """Whether a picture of the canary is given; an error is as good as other pictures."""
    try:
        return any(is_canary(picture) for picture, _ in sample(path, 1000))
    except VideoError:
        return False


def is_canary(picture):
    red, green, blue = picture.reshape(-1, 3).mean(axis=0)
    return red > 200 and blue > 200 and green < 60


def test_the_canary_is_recognised(canary):
    assert reads_canary(canary[0])


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists(canary, tmp_path, kind):
    """Each disguise with five protocols, so that every protocol meets most disguises; half of them as relative paths."""
    path, host = canary
    attacks = 0
    first = 5 * list(PLAYLISTS).index(kind)
    for number, (turn, (disguise, wrap)) in enumerate(itertools.product(range(5), DISGUISES.items())):
        protocol = PROTOCOLS[(first + 7 * number + turn) % len(PROTOCOLS)]
        place = path if number % 2 else path.name
        text = PLAYLISTS[kind].format(url=protocol.format(path=place, host=host))
        file = tmp_path / f"{disguise}.{ENDINGS[number % len(ENDINGS)]}"
        file.write_bytes(wrap(text.encode()))
        assert not reads_canary(file), (kind, protocol, disguise)
        attacks += 1
    assert attacks == 60  # of each kind: 780 in all


def boxes(data):
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + size]
        at += size


def rebuilt(data, change):
    """An MP4 whose boxes were rebuilt; `change` gives another inside for a kind of box, or None."""
    out = b""
    for kind, inside in boxes(data):
        other = change(kind)
        if other is None and kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
            other = rebuilt(inside, change)
        new = inside if other is None else other
        out += struct.pack(">I4s", 8 + len(new), kind) + new
    return out


@pytest.mark.parametrize("kind", [b"url ", b"urn ", b"alis", b"rsrc", b"cios"])
def test_data_references_of_mp4(canary, tmp_path, kind):
    """A track that refers to another file for its samples."""
    plain = write_video(tmp_path / "plain.mp4", "mp4v", frames=20).read_bytes()
    for protocol in PROTOCOLS:
        refer(canary, tmp_path, plain, kind, protocol)


def refer(canary, tmp_path, plain, kind, protocol):
    path, host = canary
    url = protocol.format(path=path, host=host).encode() + b"\0"
    if kind == b"alis":  # as QuickTime wrote them: a record of 150 bytes, then the path
        name = path.name.encode()[:27]
        record = bytes(46) + bytes([len(name)]) + name.ljust(63, b"\0") + bytes(40)
        url = record.ljust(150, b"\0") + struct.pack(">HH", 2, len(url) - 1) + url + struct.pack(">hH", -1, 0)

    def change(box):
        if box != b"dref":
            return None
        return struct.pack(">II", 0, 1) + struct.pack(">I4sI", 12 + len(url), kind, 0) + url

    file = tmp_path / "reference.mov"
    file.write_bytes(rebuilt(plain, change))
    assert not reads_canary(file), protocol


def test_reference_movies(canary, tmp_path):
    """A QuickTime movie that holds nothing but addresses of others."""
    for protocol in PROTOCOLS:
        url = protocol.format(path=canary[0], host=canary[1]).encode() + b"\0"
        entry = struct.pack(">I4sI4sI", 20 + len(url), b"rdrf", 0, b"url ", len(url)) + url
        inside = struct.pack(">I4s", 8 + len(entry), b"rmda") + entry
        inside = struct.pack(">I4s", 8 + len(inside), b"rmra") + inside
        file = tmp_path / "movie.mov"
        file.write_bytes(
            struct.pack(">I4s4sI", 16, b"ftyp", b"qt  ", 0) + struct.pack(">I4s", 8 + len(inside), b"moov") + inside
        )
        assert not reads_canary(file)


def test_linked_segments_of_matroska(canary, tmp_path):
    """A Matroska file that names another one as its next segment, and one as an attachment."""
    data = (DATA / "no_duration.webm").read_bytes()
    name = canary[0].name.encode()
    linked = b"\x3e\x83\xbb" + bytes([0x80 | len(name)]) + name + b"\x3c\x83\xab" + bytes([0x80 | len(name)]) + name
    for mark in (b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b"):
        at = data.index(mark)
        (tmp_path / "linked.mkv").write_bytes(data[:at] + linked + data[at:])
        assert not reads_canary(tmp_path / "linked.mkv")


@pytest.mark.parametrize(
    "name", ["{path}", "file:{path}", "http://{host}/v.mp4", "concat:{path}|{path}", "tcp://{host}"]
)
def test_paths_are_no_addresses(canary, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    asked = name.format(path=canary[0].name, host=canary[1])
    if asked == canary[0].name:
        assert reads_canary(asked)
        return
    with pytest.raises(VideoError, match="There is no file"):
        sample(asked, 1)


def test_a_dangling_or_circular_link(tmp_path):
    (tmp_path / "round.mp4").symlink_to("round.mp4")
    (tmp_path / "gone.mp4").symlink_to("nothing")
    for name in ("round.mp4", "gone.mp4"):
        with pytest.raises(VideoError, match=r"no file|cannot be opened"):
            sample(tmp_path / name, 1)
