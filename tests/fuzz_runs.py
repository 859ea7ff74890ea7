"""Reads mutated runs and lab runs: `PYTHONPATH=.:tests python tests/fuzz_runs.py COUNT SEED`.

Each must be rejected or be fully usable."""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from fuzzing import mutate_array, mutate_bytes, mutate_json, run_cases
from synthetic_stream import EVENT, SyntheticStream

from hermes import trace
from hermes.trace import Head, LabRecorder, LabRun, Run, RunTurn, block
from ui.board.cells import MODES, Wanted
from ui.board.detail import word_detail
from ui.board.feed import BoardFeed
from ui.lab.replay import LabReplay
from ui.player.payloads import stream_state
from ui.player.source import Source
from ui.runs.replay import Replay, state
from ui.runs.runs import card, lab_card, lab_label

block._FILTERS = [
    {**block._FILTERS[0], "preset": 0, "dict_size": 1 << 16}
]  # small files: the encoder's tables cost most


def _bases(folder: Path) -> list[Path]:
    """A run, one with unusual values, and a lab run."""
    made = []
    for number, odd in enumerate((False, True)):
        stream, recorder = SyntheticStream(number, budget=16, odd=odd), trace.Recorder()
        for frame in range(7):
            view = stream.push()
            recorder.add(view, None, stream.scores)
            if frame in (2, 5):
                recorder.add(stream.ask("What was first?"), None, stream.scores)
        path = folder / f"base-{number}"
        turn = RunTurn("What was first?", "Red circle.", view.clock / 2, view.clock, truth="Red circle.")
        recorder.write(path, Head(id="a", title="A run", chat=(turn,), events=(EVENT,)))
        made.append(path)
    lab, streams = LabRecorder(2), [SyntheticStream(2, budget=16), SyntheticStream(3, budget=24)]
    for frame in range(5):
        for stream, recorder in zip(streams, lab.lanes, strict=True):
            recorder.add(stream.push(), None, stream.scores)
            if frame == 3:
                view = stream.ask("What is shown now?")
                recorder.add(view, None, stream.scores)
    path = folder / "base-lab"
    policy = {"name": "hermes", "title": "HERMES", "badge": "", "about": ""}
    turn = RunTurn("What is shown now?", "Red circle.", 1.0, 1.5, truth="Red circle.")
    heads = [Head(policy=policy, chat=(turn,)), Head(policy=policy, chat=(turn,))]
    lab.write(path, Head(id="b", title="A lab run", events=(EVENT,)), heads, 4.0)
    return [*made, path]


def _parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {info.filename: file.read(info) for info in file.infolist()}


def mutated(parts: Mapping[str, bytes], rng: Random) -> dict[str, bytes]:
    """A copy of a file's parts with one of them mutated, missing, swapped or replaced."""
    out = dict(parts)
    name = rng.choice(sorted(out))
    kind = rng.random()
    if kind < 0.04:
        del out[name]
    elif kind < 0.08:
        other = rng.choice(sorted(out))
        out[name], out[other] = out[other], out[name]
    elif kind < 0.12:
        out[name] = out[rng.choice(sorted(out))]
    elif kind < 0.25:
        out[name] = mutate_bytes(out[name], rng)
    elif name.endswith(".json"):
        out[name] = json.dumps(mutate_json(json.loads(out[name]), rng)).encode("utf-8", "surrogatepass")
    elif name.endswith(".xz"):
        out[name] = _mutated_block(out[name], rng)
    else:
        out[name] = mutate_bytes(out[name], rng)
    return out


def _mutated_block(data: bytes, rng: Random) -> bytes:
    meta, arrays = block.unpack(data)
    for _ in range(rng.choice((1, 1, 1, 2))):
        name = rng.choice(sorted(arrays))
        kind = rng.random()
        if meta and kind < 0.4:
            meta = mutate_json(meta, rng)
        elif kind < 0.45 and len(arrays) > 1:
            del arrays[name]
        elif kind < 0.55:
            other = rng.choice(sorted(arrays))
            arrays[name], arrays[other] = arrays[other], arrays[name]
        else:
            arrays[name] = mutate_array(arrays[name], rng)
    plain = json.dumps(meta).replace("\\ud800", "?")  # a block is UTF-8
    return block.pack(json.loads(plain), arrays)


def sent(message: Any) -> None:
    """Encode a message as the page does."""
    json.dumps(message, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def use_run(run: Run, rng: Random) -> None:
    """Make every kind of view and answer every kind of request that a page can make of a run, at four moments."""
    replay = Replay(run)
    feed = BoardFeed({}, run.settings.fps)
    feed.begin(Source("run", run.title), replay, run.settings.fps)
    sent(card(run, 1.0))
    for seconds in {0.0, *rng.sample(run.times, min(2, len(run.times))), run.seconds}:
        replay.seek(seconds)
        view = replay.view()
        sent([stream_state(view, -1), state(replay, bundled=False, startable="")])
        wanted = Wanted(mode=rng.choice(MODES), pictures=12)
        message = feed.message(replay, view, None, wanted)
        if message is not None:
            sent([message, feed.message(replay, view, message["seq"], Wanted(mode=rng.choice(MODES), pictures=8))])
        shot = view.snapshot
        if shot is None:
            raise ValueError("A run has a moment without a snapshot.")
        for frame in {0, shot.frames_seen // 2, shot.frames_seen - 1}:
            for kind in ("frame", "life", "heads"):
                sent(
                    feed.detail(
                        replay, {"kind": kind, "frame": frame, "layer": rng.randrange(shot.num_layers), "id": 1}
                    )
                )
        for i, words in enumerate(replay.words):
            for word in words[:3]:
                sent(word_detail(replay.trace(i), {"turn": i, "first": word.first, "stop": word.stop, "bin": 2}))
    sent(feed.detail(replay, {"kind": "page", "id": 1}))


def use_lab(run: LabRun, rng: Random) -> None:
    """The same for a lab run and its memories."""
    replay = LabReplay(run)
    sent([lab_card(run, 1.0), lab_label(run)])
    for seconds in (0.0, run.seconds / 2, run.seconds):
        replay.seek(seconds)
        sent(replay.poll(bundled=False, startable="")[0])
    use_run(rng.choice(run.lanes), rng)


def main(count: int, seed: int) -> None:
    """Read `count` mutated files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases = [_parts(path) for path in _bases(folder)]
        path = folder / "x.hermesrun"

        def case(rng: Random) -> str:
            parts = mutated(rng.choice(bases), rng)
            with zipfile.ZipFile(path, "w") as file:
                for part, data in parts.items():
                    file.writestr(part, data, zipfile.ZIP_DEFLATED if part.endswith(".json") else zipfile.ZIP_STORED)
            if rng.random() < 0.05:
                path.write_bytes(mutate_bytes(path.read_bytes(), rng))
            try:
                run = trace.read_lab(path) if "lab.json" in parts else trace.read(path)
            except trace.TraceError as error:
                text = str(error)
                if not text.startswith(path.name) or not text.endswith("."):
                    raise ValueError(f"not a sentence: {text}") from error
                return "rejected"
            if isinstance(run, LabRun):
                use_lab(run, rng)
            else:
                use_run(run, rng)
            return "used"

        run_cases(count, seed, case)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
