"""The page is built before torch is imported, so that it opens while the model loads, and can be used meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from patience import PATIENCE

ROOT = Path(__file__).parents[3]
USE = """
import json, logging, os, sys, threading, time
from hermes.policies.listing import PolicyListing
from hermes.serving.engine import Engine
from hermes.view import StreamSettings
from ui.flags import check, parse
from ui.options import Options
from ui.page.page import build
from ui.visitors.registry import Quota

class Records(logging.Handler):
    def emit(self, record):
        records.append(self.format(record))

records = []
logging.getLogger().addHandler(Records(logging.WARNING))
flags = parse([])
check(flags)
engine = Engine()
page = build(engine, PolicyListing(), Options(StreamSettings(), ("pocket",), True, flags.clips, Quota()))
assert page.opening is not None
heavy = {"torch", "transformers", "accelerate", "plotly"} & set(sys.modules)
assert not heavy, heavy
handlers, key = page.handlers, "tab-" + "a" * 40
handlers.sessions.connections.opened(key, "127.0.0.1")
visitor = handlers.sessions.own(key)
lab = {"action": "start", "clip": "first-card", "policies": ["hermes", "hermes-no-smoothing", "sliding-window"],
       "budget": 64, "speed": 0}
start = {"action": "start", "kind": "clip", "id": "first-card"}

def until(condition):
    while not condition():
        assert not failures and not records
        time.sleep(0.02)

def use_lab():
    handlers.lab_action(lab, key)
    until(lambda: json.loads(handlers.poll_lab({}, key)).get("frames"))
    lanes = json.loads(handlers.poll_lab({}, key))["lanes"]
    assert len(lanes) == 3 and not any(lane.get("error") for lane in lanes), lanes
    handlers.lab_action({"action": "end"}, key)

def use_run():
    handlers.poll({"open": {"n": 1, "id": run}}, other)
    assert json.loads(list(handlers.ask({"question": "What is shown now?"}, other))[-1])["turns"]
    assert handlers.sessions.own(other).replay is not None

def use_stream():
    handlers.act(start, key)
    until(lambda: handlers.poll({}, key)[0]["frames"])
    turn = json.loads(list(handlers.ask({"question": "What is shown now?"}, key))[-1])["turns"][-1]
    assert turn["state"] == "done", turn

def use_settings():
    handlers.try_it({"reset": True}, other)
    handlers.settings(other, policy="sliding-window")

def use_packages():
    from hermes.bench.machine import machine_sentence
    from hermes.policies.presets import PRESETS
    assert machine_sentence()
    assert PRESETS["hermes-no-smoothing"].make(64)

other = "tab-" + "b" * 40
handlers.sessions.connections.opened(other, "127.0.0.1")
run = next(iter(visitor._runs._runs))
failures = []

def begin(use):
    together.wait()
    try:
        use()
    except BaseException as error:
        failures.append((use.__name__, repr(error)))

uses = [page.preload, use_lab, use_run, use_stream, use_settings, use_packages]
together = threading.Barrier(len(uses))
threads = [threading.Thread(target=begin, args=(use,)) for use in uses]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
assert not records, records
engine.close()
"""


def test_the_page_is_built_without_torch_and_can_be_used_while_the_model_loads():
    """Torch and transformers are imported on first use, by whichever thread comes first."""
    subprocess.run([sys.executable, "-c", USE], cwd=ROOT, check=True, timeout=4 * PATIENCE)
