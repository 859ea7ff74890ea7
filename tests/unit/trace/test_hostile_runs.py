"""Run files made to do harm: each is rejected with one sentence, by the reader and by the page."""

from __future__ import annotations

import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from damaged import with_part
from synthetic_stream import SyntheticStream, recorded

from hermes import trace
from hermes.files.limits import RUN_LIMITS
from hermes.policies import POLICIES
from hermes.serving.engine import Engine, StreamSettings
from hermes.trace.block import declared_size, pack
from ui.page.handlers import Handlers
from ui.settings.model_loader import ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor

CASES = Path(__file__).parents[2] / "data" / "runs"
EXPECTED = {
    "b10-answers-unfold-20x1600MB": "too large",
    "b11-layers-times-frames-3000x10000": "too large",
    "b12-grid-2000": "too large",
    "format-1": "recorded by an older version",
    "r01-huge-integer-in-a-turn": "damaged",
    "r03-damaged-deflate": "damaged",
    "r04-grid-too-small-breaks-every-poll": "damaged. The patches of tokens",
    "r04-nan-attention": "damaged. The “attention” of an answer",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_hostile_run_is_rejected_with_a_sentence(name):
    path = CASES / f"{name}.hermesrun"
    with pytest.raises(trace.TraceError, match=rf"^{name}\.hermesrun (is|was) {EXPECTED[name]}.*\.$"):
        trace.read(path)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    stream = SyntheticStream(4)
    views = [stream.push() for _ in range(12)]
    return recorded(tmp_path_factory.mktemp("good"), [*views, stream.ask("What?")], scores=stream.scores)[1]


def test_the_page_reports_a_bad_upload_and_continues(good, tmp_path):
    engine = Engine()
    handlers = Handlers(
        Sessions(lambda: Visitor(StreamSettings(), ModelLoader(engine), {}, POLICIES), Quota(), tmp_path)
    )

    handlers.sessions.get("me")

    def upload(path: Path) -> dict:
        copy = tmp_path / path.stem / path.name  # Gradio stores each upload in a separate folder
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
        received = handlers.sessions.receive_upload("me", str(copy))
        handlers.act({"action": "start", "kind": "upload", "path": received, "name": path.name}, "me")
        return handlers.poll({}, "me")[0]

    for name, words in EXPECTED.items():
        message = upload(CASES / f"{name}.hermesrun")["notice"]["text"]
        assert words in message, name
        assert "internal error" not in message
        assert handlers.sessions.get("me").replay is None
    shown = upload(good)
    assert shown["run"]["title"] == "A run"
    assert shown["notice"] is None
    handlers.leave("me")
    engine.close()


def test_a_zip_member_that_expands_past_its_declared_size_is_not_decompressed_further(good, tmp_path):
    path = with_part(good, tmp_path / "x.hermesrun", "run.json", lambda data: data + b" " * 1_000_000)
    packed = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        assert file.getinfo("run.json").compress_type == zipfile.ZIP_STORED
        members = {info.filename: file.read(info) for info in file.infolist()}
    squeezed = tmp_path / "y.hermesrun"
    with zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    packed = bytearray(squeezed.read_bytes())
    start = packed.rindex(b"PK\x01\x02run.json"[:4], 0, packed.rindex(b"run.json"))
    struct.pack_into("<L", packed, start + 24, 1000)  # the directory declares 1,000 bytes
    squeezed.write_bytes(packed)
    with pytest.raises(trace.TraceError, match="damaged"):
        trace.read(squeezed)


def test_a_directory_of_millions_of_members_is_not_read(tmp_path):
    path = tmp_path / "x.hermesrun"
    entry = b"PK\x01\x02" + bytes(42)
    directory = entry * 400_000
    path.write_bytes(directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(directory), 0, 0))
    with pytest.raises(trace.TraceError, match="too many parts"):
        trace.read(path)


def test_a_part_that_exists_twice_is_refused(good, tmp_path):
    path = tmp_path / "x.hermesrun"
    shutil.copy(good, path)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr("run.json", "{}")
    with pytest.raises(trace.TraceError, match="a duplicate part"):
        trace.read(path)


def test_the_size_of_a_block_is_read_from_its_index(good):
    assert declared_size(pack({}, {})) == len(b"1234" + b'{"meta":{},"arrays":[]}')
    with zipfile.ZipFile(good) as file:
        names = [name for name in file.namelist() if name.endswith(".xz")]
        for name in names:
            assert declared_size(file.read(name)) > 0
    assert len(names) > 4


def test_a_pickled_or_nested_header_is_refused(good, tmp_path):
    for number, data in enumerate((b"[" * 200_000, b'{"format": ' * 50_000, b'"' + b"a" * (RUN_LIMITS.json_bytes + 1))):
        with pytest.raises(trace.TraceError, match="header is"):
            trace.read(with_part(good, tmp_path / f"{number}.hermesrun", "run.json", lambda _, data=data: data))


def test_a_picture_that_is_damaged_or_too_large_is_refused(good, tmp_path):
    def resized(data: bytes) -> bytes:
        at = data.index(b"\xff\xc0")
        return data[: at + 5] + struct.pack(">HH", 2100, 2100) + data[at + 9 :]

    for number, (change, words) in enumerate(
        (
            (resized, "pixels"),
            (lambda data: b"\0" * len(data), "not a JPEG"),
            (zlib.compress, "match"),
        )
    ):
        with pytest.raises(trace.TraceError, match=words):
            trace.read(with_part(good, tmp_path / f"{number}.hermesrun", "pictures.bin", change))
