"""The page is built before torch is imported, so that it opens while the model loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from ui.flags import check, parse
from hermes.serving.engine import Engine
from hermes.policies.listing import PolicyListing
from hermes.view import StreamSettings
from ui.options import Options
from ui.page.page import build
from ui.visitors.registry import Quota
flags = parse([])
check(flags)
engine = Engine()
page = build(engine, PolicyListing(), Options(StreamSettings(), ("pocket",), True, flags.clips, Quota()))
assert page.opening is not None
heavy = {"torch", "transformers", "accelerate", "plotly"} & set(sys.modules)
assert not heavy, heavy
engine.close()
"""


def test_the_page_is_built_without_torch():
    subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, check=True)
