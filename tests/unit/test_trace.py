"""Recorded runs: what is read is what was recorded; files stay small; nothing of torch; damaged files say so."""

from __future__ import annotations

import json
import lzma
import math
import pickle
import subprocess
import sys
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hermes import trace
from hermes.life import ScoreRecord, life_of
from hermes.live_view import LiveView, StreamSettings
from hermes.snapshot import PROMPT, SUMMARY, VISION, AnswerTrace, Eviction, Snapshot
from hermes.thumbnails import jpeg
from hermes.trace.block import pack, unpack
from hermes.trace.records import rounded_answer
from hermes.trace.rounding import rounded

LAYERS, PER_FRAME, PROMPTS = 4, 9, 5

EVENT = {"what": "red circle", "colour": "red", "shape": "circle", "where": "left", "start": 0.0, "end": 2.5}


class MadeUpStream:
    """A memory that grows, evicts by chance, folds, and compacts positions: every kind of change that a run must keep."""

    def __init__(self, seed: int, *, budget: int = 40, odd: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.budget = budget
        self.odd = odd  # figures outside 0 to 1, positions that are no whole numbers, fields that few policies fill
        self.layers = [[self._token(-1, -1, PROMPT, i) for i in range(PROMPTS)] for _ in range(LAYERS)]
        self.times: list[float] = []
        self.evictions: tuple[Eviction, ...] = ()
        self.scores: tuple[ScoreRecord, ...] = ()
        self.answer: AnswerTrace | None = None
        self.sequence = 0

    def _token(self, frame, patch, kind, position):
        nan = math.nan
        seconds = np.float32(self.times[frame]) if frame >= 0 else nan
        shift = 0.25 if self.odd else 0.0
        return {"frame": frame, "patch": patch, "kind": kind, "mass": 1.0, "position": position + shift,
                "importance": nan, "recency": nan, "guidance_attention": nan, "token_seconds": seconds}  # fmt: skip

    def push(self) -> LiveView:
        self.times.append((self.times[-1] if self.times else 0.0) + 1 / 3)
        frame = len(self.times) - 1
        self.sequence += 1
        for layer in self.layers:
            last = layer[-1]["position"]
            layer.extend(self._token(frame, p, VISION, last + 1 + p) for p in range(PER_FRAME))
        if len(self.layers[0]) - PROMPTS > self.budget:
            self._evict()
        return self.view()

    def _evict(self) -> None:
        evicted, folded, reindexed, before = [], [], [], []
        compact = len(self.evictions) % 3 == 2
        for number, layer in enumerate(self.layers):
            video = layer[PROMPTS:]
            top = 7.0 if self.odd else 1.0
            for token in video:
                token["importance"] = float(np.float32(self.rng.random() * top))
                token["recency"] = float(np.float32(self.rng.random()))
                token["guidance_attention"] = float(np.float32(self.rng.random() ** 8)) if number else math.nan
            order = np.argsort([-t["importance"] for t in video], kind="stable")[: self.budget - 1]
            keep = np.zeros(len(video), bool)
            keep[order] = True
            before.append((video, keep))
            layer[PROMPTS:] = [t for t, stays in zip(video, keep, strict=True) if stays]
            if number == LAYERS - 1:
                gone = [t for t, stays in zip(video, keep, strict=True) if not stays]
                summary = self._token(-1, -1, SUMMARY, layer[-1]["position"])
                summary["mass"] = float(sum(t["mass"] for t in gone))
                layer.append(summary)
            if compact:
                for i, token in enumerate(layer):
                    token["position"] = float(i)
            evicted.append(int((~keep).sum()))
            folded.append(evicted[-1] if number == LAYERS - 1 else 0)
            reindexed.append(compact)
        self.evictions += (
            Eviction(
                self.sequence, self.times[-1], len(self.times), np.array(evicted), np.array(folded), np.array(reindexed)
            ),
        )
        self._note_scores(before)

    def _note_scores(self, before) -> None:
        flat = [(t, k) for video, keep in before for t, k in zip(video, keep, strict=True)]
        self.scores += (
            ScoreRecord(
                self.sequence, self.times[-1], len(self.times),
                np.cumsum([0, *(len(v) for v, _ in before)]).astype(np.int64),
                np.array([t["frame"] for t, _ in flat], np.int32), np.array([t["patch"] for t, _ in flat], np.int16),
                np.rint(np.clip([t["importance"] for t, _ in flat], 0, 1) * np.float32(254)).astype(np.uint8),
                np.array([k for _, k in flat], bool), np.array([i == LAYERS - 1 for i in range(LAYERS)]),
            ),
        )  # fmt: skip

    def ask(self, question: str) -> LiveView:
        shot = self.view().snapshot
        attention = self.rng.random((LAYERS, 2, shot.frames_seen)).astype(np.float32) / 50
        self.sequence += 1
        self.answer = AnswerTrace(
            question, "Red triangle.", self.times[-1], shot.frames_seen, 0.0123, attention.mean(1), attention,
            self.rng.random((LAYERS, 3)).astype(np.float32), self.rng.random(len(shot.frame)).astype(np.float32),
            shot.frame, shot.patch, shot.offsets,
        )  # fmt: skip
        return self.view()

    def view(self) -> LiveView:
        flat = [token for layer in self.layers for token in layer]

        def column(name, dtype):
            return np.array([token[name] for token in flat], dtype)

        offsets = np.cumsum([0, *map(len, self.layers)]).astype(np.int64)
        frame, kind = column("frame", np.int32), column("kind", np.int8)
        frames = len(self.times)
        layer_of = np.repeat(np.arange(LAYERS), np.diff(offsets))
        held = kind == VISION
        kept = np.bincount(layer_of[held] * frames + frame[held], minlength=LAYERS * frames).reshape(LAYERS, frames)
        more = {}
        if self.odd:
            more = {
                "archived": (self.rng.random((LAYERS, frames)) * 9).astype(np.uint16),
                "first_frame": np.maximum(frame - 1, -1).astype(np.int32),
                "held_by": self.rng.choice(np.array([0.5, 1], np.float32), len(frame)),
            }
            kept = kept + 1
        known = {item.name for item in fields(Snapshot)}
        snapshot = Snapshot(
            sequence=self.sequence, model="made up", policy="hermes", budget=self.budget, guidance="forward",
            guidance_prompts={"local": "What now?", "global": "What “all”?"}, seconds=self.times[-1], grid=(3, 3),
            prompt_len=PROMPTS, tiers=np.array([0, 1, 1, 2], np.int8), frame_times=np.array(self.times),
            kept=kept.astype(np.uint16), offsets=offsets, frame=frame, patch=column("patch", np.int16), kind=kind,
            mass=column("mass", np.float32), position=column("position", np.float32),
            importance=column("importance", np.float32), guidance_attention=column("guidance_attention", np.float32),
            recency=column("recency", np.float32), tokens_seen=PER_FRAME * frames, cache_bytes=len(flat) * 64,
            full_cache_bytes=frames * 999, evictions=self.evictions, answer=self.answer,
            token_seconds=column("token_seconds", np.float32),
            **{name: values for name, values in more.items() if name in known},
        )  # fmt: skip
        picture = jpeg(self.rng.integers(0, 255, (30, 40, 3), dtype=np.uint8), 40, 60)
        return LiveView(
            "playing", "made up", self.times[-1], None, 0.1, picture, frames - 1, snapshot, 1, 0, 12.5,
            None if self.answer is None else 12.3, answering=False, error=None,
        )  # fmt: skip


def recorded(tmp_path, views, *, scores=(), limit=trace.LIMIT, **head) -> tuple[trace.Run, Path]:
    recorder = trace.Recorder(limit)
    for view in views:
        assert recorder.add(view, None, scores)
    path = tmp_path / "run.hermesrun"
    recorder.write(path, trace.Head(**{"id": "a-run", "title": "A run", "created": "2026-01-02T03:04:05Z", **head}))
    return trace.read(path), path


def assert_same(read, expected) -> None:
    """Two records are equal, field by field, with types and shapes."""
    for item in fields(expected):
        one, other = getattr(read, item.name), getattr(expected, item.name)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype, item.name
            assert one.shape == other.shape, item.name
            assert np.array_equal(one, other, equal_nan=other.dtype.kind == "f"), item.name
        elif item.name == "evictions":
            assert len(one) == len(other)
            for a, b in zip(one, other, strict=True):
                assert_same(a, b)
        elif isinstance(other, AnswerTrace):
            assert_same(one, rounded_answer(other))
        elif isinstance(other, Snapshot):
            assert_same(one, rounded(other))
        elif item.name != "frame_jpeg":
            assert one == other or (one != one and other != other), item.name  # noqa: PLR0124 - nan


@pytest.mark.parametrize("odd", [False, True], ids=["usual", "odd"])
@pytest.mark.parametrize("seed", range(4))
def test_reading_gives_back_every_moment_field_by_field(tmp_path, seed, odd):
    stream = MadeUpStream(seed, odd=odd)
    views = []
    for number in range(45):
        views.append(stream.push())
        if number in (9, 30):
            views.append(stream.ask(f"What was “first” {number}?"))
    run, _ = recorded(tmp_path, views)
    assert len(run.times) == len(views)
    for number in (0, 44, 17, 16, 15, *range(len(views))):  # in any order: a block can be entered at any time
        assert_same(run.moment(number), views[number])
    assert run.view(views[20].clock).snapshot.frames_seen == views[20].snapshot.frames_seen
    assert run.view(-5).snapshot.frames_seen == 1
    assert run.view(1e9).snapshot.sequence == views[-1].snapshot.sequence
    assert [answer.question for answer in run.answers] == ["What was “first” 9?", "What was “first” 30?"]


def test_fields_that_are_filled_only_from_some_moment_on_come_back(tmp_path):
    stream = MadeUpStream(0, odd=True)
    views = [stream.push() for _ in range(20)]
    for number in range(5):
        bare = replace(views[number].snapshot, held_by=np.zeros(0, np.float32), archived=np.zeros((0, 0), np.uint16))
        views[number] = replace(views[number], snapshot=bare)
    run, _ = recorded(tmp_path, views)
    for number, view in enumerate(views):
        assert_same(run.moment(number), view)


def test_rounding_is_as_documented():
    stream = MadeUpStream(1)
    for _ in range(12):
        shot = stream.push().snapshot
    told = rounded(shot)
    for name in ("importance", "recency"):
        wrong = np.abs(getattr(told, name) - getattr(shot, name))
        assert np.nanmax(wrong) <= 0.5 / 254 + 1e-6
    values = shot.guidance_attention
    known = values > 1e-4  # below, float16 has steps of its own
    assert np.abs(told.guidance_attention[known] / values[known] - 1).max() <= 0.032
    assert_same(rounded(told), told)


def test_the_first_moments_do_not_depend_on_later_ones(tmp_path):
    stream = MadeUpStream(3)
    views = [stream.push() for _ in range(40)]
    short, _ = recorded(tmp_path, views[:20])
    whole, _ = recorded(tmp_path, views)
    for number in range(20):
        assert_same(short.moment(number).snapshot, whole.moment(number).snapshot)


def test_what_shows_nothing_new_is_passed_over_and_another_memory_is_refused():
    stream, recorder = MadeUpStream(0), trace.Recorder()
    assert recorder.add(view_without_memory())
    first = stream.push()
    assert recorder.add(first)
    assert recorder.add(first)
    assert recorder.moments == 1
    assert recorder.add(replace(first, state="paused"))
    assert recorder.moments == 2
    second = stream.push()
    assert recorder.add(second)
    assert not recorder.add(MadeUpStream(0).push())  # it began again
    assert not recorder.add(first)
    assert recorder.frames == 2


def view_without_memory():
    view = MadeUpStream(9).push()
    return replace(view, snapshot=None, frame_jpeg=None, clock=math.nan, frame_index=-1)


def test_nothing_recorded_is_nothing_to_write(tmp_path):
    with pytest.raises(trace.TraceError, match="no frame was seen"):
        trace.Recorder().write(tmp_path / "x.hermesrun", trace.Head())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(tmp_path):
    recorder = trace.Recorder()
    recorder.add(MadeUpStream(0).push())
    with pytest.raises(trace.TraceError, match="could not be written"):
        recorder.write(tmp_path / "no" / "x.hermesrun", trace.Head())


# Size -----------------------------------------------------------------------------------------------------------------


def test_a_file_stays_below_its_limit_and_keeps_every_answer(tmp_path):
    stream, views = MadeUpStream(5), []
    for number in range(400):
        views.append(stream.push())
        if number % 50 == 7:
            views.append(stream.ask(f"Question {number}?"))
    limit = 130_000
    run, path = recorded(tmp_path, views, limit=limit)
    assert path.stat().st_size < limit
    assert run.head.thinned
    assert len(run.times) < len(views) / 2
    assert run.times[0] == views[0].clock
    assert run.times[-1] == views[-1].clock
    shown = {run.moment(i).snapshot.answer.question for i in range(len(run.times)) if run.moment(i).snapshot.answer}
    assert shown == {f"Question {number}?" for number in range(7, 400, 50)}
    known = {view.snapshot.sequence: view for view in views}
    for number in range(len(run.times)):
        moment = run.moment(number)
        assert_same(moment.snapshot, rounded(known[moment.snapshot.sequence].snapshot))


def test_pictures_shrink_together_and_come_back_as_thumbnails(tmp_path):
    stream, rng = MadeUpStream(6), np.random.default_rng(0)
    recorder = trace.Recorder(300_000)
    for _ in range(90):
        view = stream.push()
        noise = jpeg(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), 320, 60)
        recorder.add(replace(view, frame_jpeg=noise))
    path = tmp_path / "run.hermesrun"
    assert recorder.write(path, trace.Head()) < 300_000
    run = trace.read(path)
    sizes = {_width(run.picture(i)) for i in range(90) if run.picture(i)}
    assert len(sizes) == 1
    assert _width(run.thumbnails([89])[89]) <= 96
    assert run.thumbnails([5000]) == {}


def _width(picture: bytes) -> int:
    return cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape[1]


# What else a run tells --------------------------------------------------------------------------------------------------


def test_a_life_is_that_of_the_live_stream(tmp_path):
    stream = MadeUpStream(7)
    views = [stream.push() for _ in range(40)]
    run, _ = recorded(tmp_path, views, scores=stream.scores)
    assert len(run.records) == len(stream.scores)
    for frame in (0, 3, 20, 39):
        live, read = life_of(stream.scores, frame), run.life(frame)
        for item in fields(live):
            one, other = getattr(read, item.name), getattr(live, item.name)
            if isinstance(other, np.ndarray):
                np.testing.assert_array_equal(one, other, err_msg=item.name)
            else:
                assert one == other, item.name
    half = run.life(3, views[15].clock)
    assert half.seconds.max() <= views[15].clock


def test_the_past_is_what_was_held_then(tmp_path):
    stream = MadeUpStream(8)
    views = [stream.push() for _ in range(60)]
    run, _ = recorded(tmp_path, views)
    past = run.past(views[30].clock)
    assert len(past) == 30
    for kept in past:
        np.testing.assert_array_equal(kept, views[kept.shape[1] - 1].snapshot.kept)


def test_the_head_comes_back(tmp_path):
    turn = trace.Turn("What?", "Red.", 1.0, 1.5, "done", 12.5, "HERMES", "Red circle.")
    settings = StreamSettings(
        policy="hermes", budget=96, fps=0.5, speed=math.inf, changed=(("smoothing", False), ("k", 2.5))
    )
    head = {
        "about": "<b>About</b>", "look": "Look.", "clip_id": "first-card", "machine": "2 CPU cores", "settings": settings,
        "model": {"name": "pocket", "title": "Pocket", "about": "", "parameters": 5, "device": "cpu"},
        "policy": {"name": "hermes", "title": "HERMES", "badge": "b", "about": "a"}, "chat": (turn,),
        "events": (EVENT,),
    }  # fmt: skip
    run, _ = recorded(tmp_path, [MadeUpStream(0).push()], **head)
    for name, value in head.items():
        assert getattr(run.head, name) == value, name
    assert (run.id, run.title, run.clip_id, run.chat) == ("a-run", "A run", "first-card", (turn,))


def test_equal_runs_are_equal_files(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    one = recorded(tmp_path / "1", [MadeUpStream(2).push()])[1]
    two = recorded(tmp_path / "2", [MadeUpStream(2).push()])[1]
    assert one.read_bytes() == two.read_bytes()


# Untrusted files ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    stream = MadeUpStream(4)
    views = [stream.push() for _ in range(20)]
    views.append(stream.ask("What?"))
    return recorded(tmp_path_factory.mktemp("good"), views, scores=stream.scores)[1]


def with_part(source: Path, path: Path, name: str, change) -> Path:
    """A copy of a run with one part changed (None: left out)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == name:
                data = change(data)
            if data is not None:
                new.writestr(info.filename, data)
    return path


def with_head(source: Path, path: Path, **values) -> Path:
    return with_part(source, path, "run.json", lambda data: json.dumps({**json.loads(data), **values}).encode())


def look_at_everything(path: Path) -> None:
    run = trace.read(path)
    run.check()
    for number in range(len(run.times)):
        run.moment(number)
    for frame in range(run.frames):
        run.life(frame)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a recorded run"), (b"no zip at all" * 99, "not a recorded run"), (None, "no file")],
    ids=["empty", "text", "missing"],
)
def test_what_is_no_run_is_said(tmp_path, content, words):
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


def test_a_newer_version_is_said(good, tmp_path):
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
DAMAGES = {"gone": lambda _: None, "cut": lambda data: data[: len(data) // 2], "zeros": lambda data: b"\0" * len(data)}


@pytest.mark.parametrize(
    ("name", "damage"),
    [(name, damage) for name in PARTS for damage in DAMAGES if (name, damage) != ("pictures.bin", "zeros")],
)
def test_a_part_that_is_gone_cut_or_overwritten_is_refused(good, tmp_path, name, damage):
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
    bomb = lzma.compress(b"\0" * 300_000_000, preset=0)
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


def test_a_run_is_read_without_torch(good):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from hermes import trace\n"
        f"run = trace.read({str(good)!r})\n"
        "assert run.view(2.0).snapshot.retention().shape == (3, run.view(2.0).snapshot.frames_seen)\n"
        "assert run.life(0).frame == 0 and run.thumbnails([0])\n"
        "from ui.replay import Replay, state\n"
        "replay = Replay(run); replay.resume(); replay.view(); state(replay, bundled=True, startable='')\n"
        "print('read', len(run.times))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert done.stdout.startswith("read 21"), done.stderr
