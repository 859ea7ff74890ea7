"""Lock for building models: transformers patches methods of its classes process-wide while it builds or loads a model.

Two concurrent loads can leave a patched method in place, after which models no longer tie their weights.
"""

from __future__ import annotations

import threading
from typing import Final

BUILDING: Final = threading.Lock()
"""Held while transformers instantiates a model."""
