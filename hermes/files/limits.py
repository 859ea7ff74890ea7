"""Limits for files from untrusted sources: recorded runs, lab runs and sessions. All of them are defined here.

A reader charges everything that a file expands to against one `MemoryBudget`, from declared sizes and before it allocates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hermes.errors import HermesError


class FileTooLargeError(HermesError):
    """A file expands to more memory than its kind of file may use."""


@dataclass(frozen=True)
class FileLimits:
    """Upper limits for one kind of file. Sizes are in bytes.

    Attributes:
        file_bytes: Size of the file.
        memory_bytes: Everything that the file expands to, whether it is read immediately or later, and the largest reply
            that the page builds from it.
        parts: Members of a zip file, or tensors of a session file.
        block_bytes: One compressed block of a run once it is decompressed.
        json_bytes: One JSON value: a header or the metadata of a block.
        text: Characters of one text; longer texts of a header are cut.
        layers: Decoder layers.
        heads: Query heads of one layer.
        frames: Frames of a stream.
        patches: Tokens of one frame.
        events: Evictions, answers or score records of a stream.
        moments: Moments of a run.
        earlier_moments: Moments for which a run stores the tokens of each layer outside its blocks.
        picture_width: Width of a picture in pixels.
        picture_height: Height of a picture in pixels.
        picture_pixels: Pixels of all pictures together.
        history_steps: Steps of the longest search for merged tokens of a frame (`hermes.analysis.token_history`).
    """

    file_bytes: int
    memory_bytes: int
    parts: int = 4000
    block_bytes: int = 128_000_000
    json_bytes: int = 4_000_000
    text: int = 4000
    layers: int = 1024
    heads: int = 1024
    frames: int = 1_000_000
    patches: int = 1 << 14
    events: int = 50_000
    moments: int = 10_000
    earlier_moments: int = 256
    picture_width: int = 320
    picture_height: int = 2048
    picture_pixels: int = 100_000_000
    history_steps: int = 200_000


RUN_LIMITS: Final = FileLimits(file_bytes=64_000_000, memory_bytes=512_000_000)
"""Recorded runs and lab runs; visitors upload them."""
SESSION_LIMITS: Final = FileLimits(
    file_bytes=8_000_000_000, memory_bytes=8_000_000_000, parts=400_000, json_bytes=32_000_000
)
"""Session files. They hold the keys and values of a stream, and up to 2 GB of its archive."""

LATEST: Final = 1e7
"""Largest stream time in seconds."""
LARGEST_NUMBER: Final = float(1 << 53)
"""Largest magnitude of a number; every integer up to it is exact in JSON and JavaScript."""


class MemoryBudget:
    """Adds up what one file expands to.

    Attributes:
        limit: Bytes that may be charged.
        used: Bytes charged so far.
    """

    def __init__(self, limit: int) -> None:
        """Create a budget with nothing charged."""
        self.limit = limit
        self.used = 0

    def charge(self, nbytes: int) -> None:
        """Charge bytes before they are allocated.

        Raises:
            FileTooLargeError: The file would exceed its limit.
        """
        self.require(nbytes)
        self.used += nbytes

    def require(self, nbytes: int) -> None:
        """Check that a temporary allocation fits into what is left.

        Raises:
            FileTooLargeError: The file would exceed its limit.
        """
        if self.used + nbytes > self.limit:
            raise FileTooLargeError(
                f"It expands to more than {self.limit // 1_000_000:,} MB, the limit for this kind of file."
            )
