"""One model at a time: while transformers builds or loads a model it exchanges methods of its classes for the whole process.

Two loads at once can leave an exchanged method behind for good, after which no model ties its weights any more.
"""

from __future__ import annotations

import threading
from typing import Final

BUILDING: Final = threading.Lock()
"""Held while a class of transformers is made into a model."""
