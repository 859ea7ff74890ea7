"""Fixtures shared by all tests."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiny
from videos import write_video
from visitors import visitors, write_rolling_ball

import hermes
from hermes.assets import CLIPS, RUNS
from hermes.pocket.model import build, save
from hermes.policies import registry
from hermes.serving.engine import Engine
from ui.player.clips import read_clips
from ui.player.source import Source
from ui.runs.runs import read_runs


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return tiny.llava_onevision(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture(scope="module")
def engine(tiny_folder):
    """An engine that has loaded the model of `tiny_folder`."""
    running = Engine()
    running.load(str(tiny_folder))
    yield running
    running.close()


@pytest.fixture
def film(tmp_path):
    """An upload of 60 frames at 10 frames per second."""
    path = write_video(tmp_path / "film.avi", frames=60, fps=10)
    return Source("upload", str(path), path, "A film")


@pytest.fixture(scope="session")
def rolling_ball(tmp_path_factory):
    """A clip of 20 seconds whose frames differ."""
    return write_rolling_ball(tmp_path_factory.mktemp("rolling-ball") / "film.mp4")


@pytest.fixture
def make_visitor(engine, tiny_folder, rolling_ball):
    """Makes visitors of the tiny model with the clip `rolling_ball`, which are closed at the end."""
    with visitors(engine, tiny_folder, rolling_ball) as make:
        yield make


@pytest.fixture(scope="session")
def pocket():
    """The bundled pocket model. Tests must not change it."""
    return hermes.load("pocket", device="cpu")


@pytest.fixture(scope="session")
def bundled_clips():
    """The bundled clips by id."""
    return {clip.id: clip for clip in read_clips(CLIPS)}


@pytest.fixture(scope="session")
def bundled_runs():
    """The bundled runs by id, which takes as long as an answer. Visitors share them too."""
    return read_runs(RUNS)


@pytest.fixture(scope="session")
def tiny_model(tiny_folder):
    return hermes.load(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def family_model(tmp_path_factory):
    """Returns tiny models by family and size: `family_model(name, layers=4)` -> (model, folder).

    Each is built and loaded once, which takes half a second, so tests must not change it.
    """

    @cache
    def load(name, **size):
        folder = tmp_path_factory.mktemp("families") / name
        folder.mkdir()
        (tiny.FAMILIES | tiny.VARIANTS)[name](folder, **size)
        return hermes.load(folder, device="cpu"), folder

    return load


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A pocket model with random weights: it answers, though not well."""
    folder = tmp_path_factory.mktemp("model") / "random"
    model, tokenizer = build(seed=0)
    save(folder, model, tokenizer, {"name": "random", "about": "random weights", "max_new_tokens": 6})
    return str(folder)


@pytest.fixture(scope="session")
def short_range_model(tmp_path_factory):
    """A model of few positions, so that re-indexing has to happen."""
    folder = tmp_path_factory.mktemp("short")
    return hermes.load(tiny.llava_onevision(folder, layers=4, max_positions=1400, seed=1), device="cpu")


@pytest.fixture
def noise():
    """Makes frames of noise: `noise(count, height, width)` -> uint8 [T, H, W, 3] and times at 2 frames a second."""
    generator = np.random.default_rng(7)

    def make(count, height=24, width=32, start=0.0):
        frames = generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        return frames, start + np.arange(count) / 2

    return make


@pytest.fixture
def own_plugins():
    """Unregisters what a test registers and unloads the plugins that it loads."""
    policies, plugins = dict(registry._policies), dict(registry._plugins)
    yield
    for plugin in registry._plugins.keys() - plugins.keys():
        sys.modules.pop(Path(plugin).stem if plugin.endswith(".py") else plugin, None)
    for current, before in ((registry._policies, policies), (registry._plugins, plugins)):
        current.clear()
        current.update(before)
