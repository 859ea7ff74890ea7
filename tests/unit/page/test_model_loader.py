"""Loading models for the page: errors are reported, and a model can be loaded again."""

from __future__ import annotations

import pytest
from patience import until

from hermes.serving.engine import Engine, StreamSettings
from ui.settings.model_loader import ModelLoader


def test_a_missing_model_is_reported(engine):
    loader = ModelLoader(engine)
    loader.preload(StreamSettings(model="/nowhere/at-all"))
    until(lambda: loader.state("/nowhere/at-all").error)
    assert "/nowhere/at-all" in loader.state("/nowhere/at-all").error


@pytest.mark.parametrize(
    ("error", "words"), [(ImportError("no module"), "internal error"), (MemoryError(), "Memory ran out")]
)
def test_a_fault_while_a_model_is_loaded_is_reported_and_it_can_be_loaded_again(error, words, tiny_model):
    faults = [error]

    def load(name, progress):  # noqa: ARG001 - as the engine calls it
        if faults:
            raise faults.pop()
        return tiny_model

    engine = Engine(loader=load)
    loader = ModelLoader(engine)
    loader.preload(StreamSettings(model="faulty"))
    until(lambda: loader.state("faulty").error)
    assert words in loader.state("faulty").error
    assert loader.ensure("faulty").name == "faulty"
    engine.close()


def test_settings_that_do_not_fit_the_model_are_reported_when_it_is_loaded(engine):
    loader = ModelLoader(engine)
    loader.preload(StreamSettings(budget=3))
    until(lambda: loader.state("pocket").error)
    assert "budget" in loader.state("pocket").error
    assert loader.ensure("pocket").name == "pocket", "another budget can still be chosen"
