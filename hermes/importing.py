"""Lock for imports on first use of torch, transformers and modules that need them.

Such an import takes seconds and includes circular imports. If two threads import these modules at once, one of them can see
a partly initialised module and fail with ImportError.
"""

from __future__ import annotations

import threading
from typing import Final

IMPORTING: Final = threading.RLock()
"""Held during an import statement within a function that any thread may call."""
