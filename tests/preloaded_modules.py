"""The modules that `preloaded` imports beforehand: those of the page, and those that a stream needs."""

import gc
from importlib import import_module

NAMES = (
    "app",
    "hermes.backbones.families",
    "hermes.backbones.load",
    "hermes.cli",
    "hermes.session.stream_session",
    "ui.page.page",
)

gc.disable()  # until everything is imported
for name in NAMES:
    import_module(name)
gc.collect()
gc.freeze()  # collections in the forked processes would copy the memory of these objects
gc.enable()
