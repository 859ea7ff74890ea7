"""Running out of memory, with allocations that really fail: a process whose address space is limited."""

from __future__ import annotations

import json
import sys

import preloaded
import pytest
import torch

from hermes.out_of_memory import is_shortage, sentence_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of the address space are Unix's")

PROGRAM = """
import json, resource, sys, threading
from pathlib import Path
import numpy as np, psutil, torch
import tiny
from patience import until
from hermes.serving.engine import Engine, StreamSettings
from hermes.errors import HermesError

root = Path(sys.argv[1])
for name, more in (("small", {}), ("other", {"seed": 1})):
    (root / name).mkdir()
    tiny.llava_onevision(root / name, **more)
small, other = str(root / "small"), str(root / "other")
engine = Engine()
engine.load(small)

def limit(extra):
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + extra, resource.RLIM_INFINITY))

def free():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

settings = StreamSettings(model=small, budget=40)
bystander, victim = engine.open(settings), engine.open(settings)
frame = np.zeros((24, 32, 3), np.uint8)
for stream in (bystander, victim):
    stream.camera()
    stream.offer(frame, 0.0)
    until(lambda: stream.view().snapshot.frames_seen == 1)
found = {}

# While streaming: a frame of 400 megapixels; a copy of it does not fit.
large = np.zeros((20000, 20000, 3), np.uint8)
limit(200_000_000)
victim.offer(large, 1.0)
until(lambda: victim.view().error)
found["victim"] = victim.view().error
bystander.offer(frame, 1.0)
until(lambda: bystander.view().snapshot.frames_seen == 2)
found["bystander"] = bystander.view().error
free()
found["victim answers"] = bool(victim.view().snapshot.frames_seen) and [*victim.ask("What was shown?")] is not None

# While loading: weights that do not fit any more.
blob = root / "other" / "model.safetensors"
config = json.loads((root / "other" / "config.json").read_text())
big = root / "big"
big.mkdir()
tiny.llava_onevision(big, layers=10, hidden=1024)
limit(60_000_000)
try:
    engine.load(str(big))
    found["loading"] = "it loaded"
except HermesError as error:
    found["loading"] = str(error)
free()
bystander.offer(frame, 2.0)
until(lambda: bystander.view().snapshot.frames_seen == 3)
found["models"] = len(engine.models())
found["bystander still"] = bystander.view().error
engine.load(other)
found["other"] = len(engine.models())
sys.stdout.write(json.dumps(found))
import os; sys.stdout.flush(); os._exit(0)
"""


@pytest.fixture(scope="module")
def payload(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shortage")
    program = folder / "shortage.py"
    program.write_text(PROGRAM)
    code, out, err = preloaded.run(program, str(folder), folder=folder)
    assert code == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


def test_a_stream_that_runs_out_of_memory_reports_it_and_can_be_asked(payload):
    assert "Memory ran out" in payload["victim"]
    assert payload["victim answers"]


def test_other_streams_continue(payload):
    assert payload["bystander"] is None
    assert payload["bystander still"] is None


def test_running_out_of_memory_while_loading_is_reported_and_keeps_the_model(payload):
    assert "Memory ran out on cpu while" in payload["loading"]
    assert payload["models"] == 1
    assert payload["other"] == 2


def test_out_of_memory_is_distinguished_from_a_fault():
    with pytest.raises(RuntimeError) as too_much:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_shortage(too_much.value)
    assert is_shortage(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_shortage(RuntimeError("shapes do not fit"))
    assert "failed on these frames" in sentence_of(RuntimeError("shapes do not fit"))
