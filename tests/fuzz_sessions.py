"""Loads mutated session files: `PYTHONPATH=.:tests python tests/fuzz_sessions.py COUNT SEED`.

Each must be rejected or be fully usable."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tiny
import torch
from fuzzing import mutate_array, mutate_bytes, mutate_json, run_cases
from safetensors import safe_open
from safetensors.torch import save_file

import hermes
from hermes.session.storage import SessionFileError

POLICIES = ("hermes", "full", "rekv", "streamkv", "uniform-frames", "storm", "quicksviewer", "videoscan", "videollamb",
            "snapkv", "infinipot-v", "token-drop")  # fmt: skip
FRAMES = 9

Case = tuple[dict[str, Any], dict[str, torch.Tensor], Any]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["session"])
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


def _bases(folder: Path) -> list[Case]:
    """Sessions of several policies and of two families, one of which merges pairs of frames."""
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, 24, 32, 3), dtype=np.uint8)
    bases = []
    for family, policies in ((tiny.llava_onevision, POLICIES), (tiny.qwen3_vl, ("hermes", "storm", "uniform-frames"))):
        made = folder / family.__name__
        made.mkdir()
        model = hermes.load(family(made, layers=4), device="cpu")
        for policy in policies:
            session = hermes.StreamSession(model, policy=policy, budget=16, chunk=2)
            session.push(frames, np.arange(FRAMES) / 2)
            list(session.ask("Now?", max_new_tokens=1))
            session.save(folder / "base")
            bases.append((*_read(folder / "base"), model))
    return bases


def mutate_tensors(tensors: dict[str, torch.Tensor], rng: Random) -> dict[str, torch.Tensor]:
    """A copy of tensors with one mutated, missing, swapped, renamed or added."""
    out = dict(tensors)
    groups = sorted(
        {name.split(".")[0] for name in out}
    )  # so that rare kinds of tensors are mutated as often as others
    group = rng.choice(groups)
    name = rng.choice([key for key in sorted(out) if key.split(".")[0] == group])
    kind = rng.random()
    if kind < 0.08:
        del out[name]
    elif kind < 0.16:
        other = rng.choice(sorted(out))
        out[name], out[other] = out[other].clone(), out[name].clone()
    elif kind < 0.2:
        out[f"{name}x"] = out.pop(name)
    elif kind < 0.24:
        out[rng.choice(("state.open.sum", "archive.0.payload", "heads.0.labels", "state.store.labels"))] = out[
            name
        ].clone()
    else:
        out[name] = torch.from_numpy(np.ascontiguousarray(mutate_array(out[name].numpy(), rng)))
    return out


def use(session: hermes.StreamSession, path: Path, model: Any) -> None:
    """Do with a loaded session all that can be done with one."""
    frames = np.full((2 * session.layout.frames_per_step, 24, 32, 3), 127, np.uint8)
    newest = session.snapshot().frame_times
    start = float(newest[-1]) + 100 if len(newest) else 0.0
    if session.frames_waiting:
        start = max(start, session.state.pending[-1][1] + 1)
    session.push(frames, start + np.arange(len(frames)))
    message = "".join(session.ask("What?", max_new_tokens=1))
    shot = session.snapshot()
    if shot.answer is None or shot.answer.answer != message.strip():
        raise ValueError("The answer is not recorded.")
    shot.retention()
    session.save(path)
    again = hermes.StreamSession.load(path, model)
    again.close()


def main(count: int, seed: int) -> None:
    """Load `count` mutated files."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases = _bases(folder)
        path = folder / "x.session"

        def case(rng: Random) -> str:
            header, tensors, model = rng.choice(bases)
            if rng.random() < 0.5:
                header = mutate_json(header, rng)
            else:
                tensors = mutate_tensors(tensors, rng)
            text = json.dumps(header).encode("utf-8", "replace").decode()
            save_file({key: value.contiguous().clone() for key, value in tensors.items()}, path, {"session": text})
            if rng.random() < 0.08:
                path.write_bytes(mutate_bytes(path.read_bytes(), rng))
            try:
                session = hermes.StreamSession.load(path, model)
            except SessionFileError as error:
                if "\n" in str(error) or len(str(error)) > 1000:
                    raise ValueError(f"not a sentence: {error}") from error
                return "rejected"
            use(session, folder / "again", model)
            session.close()
            return "used"

        run_cases(count, seed, case)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
