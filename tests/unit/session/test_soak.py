"""The memory of a stream is bounded. Bytes of objects are counted instead of the process's memory, so the test is exact."""

from __future__ import annotations

import gc
import sys
import types

import numpy as np
import pytest
import torch

import hermes
from hermes.analysis.token_history import TokenHistoryLog
from hermes.backbones.base import Backbone
from hermes.bench.soak import Checkpoint, checkpoints, growth, soak
from hermes.errors import HermesError
from hermes.serving.stream_memory import LiveMemory, open_session
from hermes.session.record import EvictionLog, GrowingRows, Times
from hermes.snapshot import Eviction
from hermes.video import thumbnails
from hermes.view import StreamSettings

SHARED = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    torch.nn.Module,
    Backbone,
)
"""Objects that sessions share, and objects of the interpreter."""


def held_bytes(root):
    """Bytes of everything reachable from `root`: arrays and tensors by their storage, each once, and Python objects."""
    seen, total, left = {id(root)}, 0, [root]
    while left:
        item = left.pop()
        if isinstance(item, torch.Tensor):
            item = item.untyped_storage()
            if item.data_ptr() in seen:
                continue
            seen.add(item.data_ptr())
            total += item.nbytes()
            continue
        if isinstance(item, np.ndarray):
            while isinstance(item.base, np.ndarray):
                item = item.base
            if id(item) not in seen or item is root:
                seen.add(id(item))
                total += item.nbytes
            continue
        total += sys.getsizeof(item)
        for other in gc.get_referents(item):
            if id(other) not in seen and not isinstance(other, SHARED):
                if not isinstance(other, torch.Tensor | np.ndarray):
                    seen.add(id(other))
                left.append(other)
    return total


@pytest.mark.parametrize("chunk", [1, 16])
def test_bytes_per_frame_of_a_stream(family_model, monkeypatch, chunk):
    """After the bounded parts are full, a frame costs a few bytes, and an eviction under a hundred."""
    model, _ = family_model("llava_onevision", layers=4)
    monkeypatch.setattr(thumbnails, "LIMIT", 128)
    monkeypatch.setattr(thumbnails, "NEWEST", 32)
    settings = StreamSettings(model="tiny", budget=40, chunk=chunk)
    memory = LiveMemory(open_session(model, settings))
    memory.session.token_history = TokenHistoryLog(limit=50_000)
    generator = np.random.default_rng(5)
    frames = generator.integers(0, 256, (16, 12, 16, 3), dtype=np.uint8)
    marks = (100, 300) if chunk == 1 else (512, 1536)
    seen, held = 0, []
    for mark in marks:
        while seen < mark:
            memory.push([(frames[i % 16], (seen + i) / 2) for i in range(chunk)])
            seen += chunk
        memory.publish(force=True)
        assert 0 < memory.session.token_history.nbytes <= memory.session.token_history.limit
        assert 0 < len(memory.thumbnails.get(range(seen))) <= 128
        # Parts with a separate limit are excluded; the rest is counted exactly.
        memory.session.token_history, life = TokenHistoryLog(), memory.session.token_history
        memory.thumbnails.clear()
        held.append((seen, len(memory.snapshot.evictions), held_bytes(memory)))
        memory.session.token_history = life
    (first, evicted_before, before), (last, evicted_after, after) = held
    layers = model.num_layers
    snapshot = 2 * layers * (last - first)  # tokens kept of each frame, in the newest snapshot
    log = 8 * (last - first) + (24 + 5 * layers) * (evicted_after - evicted_before)
    assert evicted_after - evicted_before >= (last - first) // 16
    assert after - before <= snapshot + 1.5 * log + 4096
    assert memory.session.log_bytes <= (8 + 24 + 5 * layers) * last


def test_times_grow_and_views_do_not_change():
    times = Times([0.0, 0.5])
    view = times.array
    times.extend(np.arange(2, 1002) / 2)
    assert (len(view), len(times), times.newest) == (2, 1002, 500.5)
    assert times.array.nbytes == 8 * 1002
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    assert np.isnan(Times().newest)


def test_rows_are_widened_where_a_value_does_not_fit():
    rows = GrowingRows(np.uint16, 2)
    rows.extend(np.array([[1, 65535]]))
    rows.extend(np.array([[70_000, 0]]))
    assert rows.rows.tolist() == [[1, 65535], [70_000, 0]]


def test_an_eviction_log_returns_its_evictions():
    def eviction(i):
        evicted = np.array([i, 80_000 if i == 150 else 2 * i, 0], np.int64)
        return Eviction(i, i / 2, i + 1, evicted, evicted // 2, np.array([True, False, i % 2 == 0]))

    log = EvictionLog(eviction(i) for i in range(100))
    early = log.view()
    for i in range(100, 200):
        log.append(eviction(i))
    assert (len(early), len(log.view()), len(EvictionLog().view())) == (100, 200, 0)
    for i, found in enumerate(log.view()):
        wanted = eviction(i)
        assert (found.sequence, found.seconds, found.frames_seen) == (i, i / 2, i + 1)
        for name in ("evicted", "merged", "reindexed"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name))
            assert getattr(found, name).dtype == getattr(wanted, name).dtype
    assert [e.sequence for e in log.view()[150:153]] == [150, 151, 152]
    assert log.view()[-1].sequence == 199


def test_snapshots_share_their_history_and_stay_as_they_were(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=40)
    session.push(*noise(32))
    early = session.snapshot()
    times, evictions = early.frame_times.copy(), len(early.evictions)
    frames, at = noise(96, start=16.0)
    session.push(frames, at)
    assert np.array_equal(early.frame_times, times)
    assert len(early.evictions) == evictions < len(session.snapshot().evictions)


def test_checkpoints_and_growth():
    assert checkpoints(50_000) == (200, 1000, 5000, 10_000, 20_000, 30_000, 40_000, 50_000)
    assert checkpoints(150) == (150,)
    found = [Checkpoint(5000, 100, 0, 0, 1.0), Checkpoint(50_000, 101, 0, 0, 1.0)]
    assert growth(found) == pytest.approx(1.01)
    assert growth(found[:1]) is None


def test_the_soak_bench_measures(tiny_model):
    settings = StreamSettings(model="tiny", budget=40, chunk=8)
    shown = []
    found = soak(tiny_model, settings, np.zeros((3, 12, 16, 3), np.uint8), (20, 50), shown.append)
    assert found == shown
    assert [checkpoint.frames for checkpoint in found] == [20, 50]
    assert all(checkpoint.rss_bytes > checkpoint.history_bytes > 0 for checkpoint in found)
    with pytest.raises(HermesError, match="checkpoint"):
        soak(tiny_model, settings, np.zeros((1, 12, 16, 3), np.uint8), ())
