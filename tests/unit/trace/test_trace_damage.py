"""Recorded runs are untrusted: any defect produces a clear error, and nothing in a run is executed."""

from __future__ import annotations

import json
import lzma
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from damaged import DAMAGES, with_part
from synthetic_stream import EVENT, SyntheticStream, recorded

from hermes import trace
from hermes.files.limits import RUN_LIMITS
from hermes.trace.block import pack, unpack


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    stream = SyntheticStream(4)
    views = [stream.push() for _ in range(20)]
    views.append(stream.ask("What?"))
    return recorded(tmp_path_factory.mktemp("good"), views, scores=stream.scores)[1]


def with_head(source: Path, path: Path, **values) -> Path:
    return with_part(source, path, "run.json", lambda data: json.dumps({**json.loads(data), **values}).encode())


def look_at_everything(path: Path) -> None:
    run = trace.read(path)
    for number in range(len(run.times)):
        run.moment(number)
    for frame in range(run.frames):
        run.token_history(frame)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a recorded run"), (b"no zip at all" * 99, "not a recorded run"), (None, "no file")],
    ids=["empty", "text", "missing"],
)
def test_other_files_are_not_runs(tmp_path, content, words):
    path = tmp_path / "x.hermesrun"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(trace.TraceError, match=words):
        trace.read(path)


def test_another_zip_is_no_run(tmp_path):
    path = tmp_path / "x.hermesrun"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("word/document.xml", "<x/>")
    with pytest.raises(trace.TraceError, match="not a recorded run"):
        trace.read(path)
    assert not trace.is_run(path)


def test_a_newer_version_is_reported(good, tmp_path):
    with pytest.raises(trace.TraceError, match="newer version"):
        trace.read(with_head(good, tmp_path / "x.hermesrun", version=trace.VERSION + 1))
    assert trace.is_run(good)


@pytest.mark.parametrize(
    "values",
    [
        {"version": "1"}, {"title": 5}, {"id": "../x"}, {"chat": [{"question": "q"}]}, {"moments": []}, {"moments": "all"},
        {"moments": [{"part": "moments/0000.xz", "times": [2.0, 1.0]}]}, {"answers": ["answers/7.xz"]}, {"settings": None},
        {"settings": {"fps": -1}}, {"settings": {"fps": float("nan")}}, {"events": [EVENT | {"what": [1]}]}, {"model": []},
        {"events": [{"what": "red circle", "start": 0.0, "end": 2.5}]}, {"events": [EVENT | {"start": 3.0}]},
        {"events": [EVENT | {"colour": 7}]}, {"events": [EVENT | {"end": 1e308}]},
        {"moments": [{"part": "moments/0000.xz", "times": [0.1]}]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_head_that_does_not_fit_is_refused(good, tmp_path, values):
    with pytest.raises(trace.TraceError, match="damaged"):
        trace.read(with_head(good, tmp_path / "x.hermesrun", **values))


PARTS = ("history.xz", "past.xz", "pictures.xz", "pictures.bin", "moments/0001.xz", "answers/0.xz")


@pytest.mark.parametrize(
    ("name", "damage"),
    [(name, damage) for name in PARTS for damage in DAMAGES if (name, damage) != ("pictures.bin", "zeros")],
)
def test_a_missing_truncated_or_overwritten_part_is_rejected(good, tmp_path, name, damage):
    change = DAMAGES[damage]
    with pytest.raises(trace.TraceError, match=r"damaged|missing"):
        look_at_everything(with_part(good, tmp_path / "x.hermesrun", name, change))


def test_no_damage_of_a_single_byte_or_column_gives_anything_but_a_sentence(good, tmp_path):
    rng = np.random.default_rng(0)

    def scramble(data: bytes) -> bytes:
        meta, arrays = unpack(data)
        name = rng.choice(sorted(name for name in arrays if arrays[name].size))
        values = arrays[name].copy().reshape(-1)
        values[rng.integers(len(values))] = rng.integers(0, 100)
        arrays[name] = values[: len(values) - int(rng.integers(2))]
        return pack(meta, arrays)

    for number in range(120):
        part = ("moments/0000.xz", "moments/0001.xz", "history.xz", "past.xz", "scores.xz", "answers/0.xz")[number % 6]
        path = with_part(good, tmp_path / f"{number}.hermesrun", part, scramble)
        try:
            look_at_everything(path)
        except trace.TraceError:
            continue


def test_a_bomb_is_refused(good, tmp_path):
    packer, zeros = lzma.LZMACompressor(preset=0), bytes(8_000_000)
    bomb = b"".join(packer.compress(zeros) for _ in range(RUN_LIMITS.memory_bytes // len(zeros) + 1)) + packer.flush()
    with pytest.raises(trace.TraceError, match="too large"):
        trace.read(with_part(good, tmp_path / "x.hermesrun", "history.xz", lambda _: bomb))


def test_a_pickle_inside_is_never_loaded(good, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    with pytest.raises(trace.TraceError, match="damaged"):
        trace.read(with_part(good, tmp_path / "x.hermesrun", "history.xz", lambda _: pickle.dumps(Evil())))
    assert not (tmp_path / "touched").exists()


# Without torch --------------------------------------------------------------------------------------------------------
