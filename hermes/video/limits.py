"""Limits on decoding one untrusted video file. They are set here only."""

from __future__ import annotations

import os
import resource
import signal
import time
from dataclasses import dataclass
from typing import Final

MAX_SIDE: Final = 512
"""Default of the largest width or height to which frames are scaled down, in pixels: for speed, not for safety."""


@dataclass(frozen=True)
class Limits:
    """The limits of one decoder process.

    Attributes:
        file_bytes: Largest file.
        pixels: Largest frame; 8K is 33 to 35 million pixels.
        canvas_pixels: Largest frame of an animated picture (GIF, APNG), each of which is decoded completely.
        streams: Maximum number of tracks in a file.
        address_space: Bytes of address space of the process, shared libraries included.
        open_seconds: Wall-clock and CPU seconds for opening a file, up to its first frame.
        step_seconds: Wall-clock and CPU seconds for decoding one packet.
        base_cpu_seconds: CPU seconds that a stream may use regardless of its length.
        cpu_rate: Additional CPU seconds for each second of video.
        silence_seconds: Seconds without a message after which the process is killed.
        index_bytes: Files up to this size are read completely when opened, to find their exact duration.
        index_packets: Reading stops after this many packets where the container states the duration.
        most_index_packets: Reading stops after this many packets where it does not.
        empty_packets: Decoding stops after this many packets since the last frame, whether they fail or hold no frame.
        held_bytes: Memory of the packets that may be held while looking for a later key frame.
        slots: Decoded frames in shared memory. Decoding pauses when all slots are full.
        ring_bytes: Shared memory of a stream; very large frames have fewer slots, but at least `MIN_SLOTS`.
        threads: Decoder threads.
    """

    file_bytes: int = 16 << 30
    pixels: int = 40_000_000
    canvas_pixels: int = 16_777_216
    streams: int = 100
    address_space: int = 4 << 30
    open_seconds: float = 20.0
    step_seconds: float = 20.0
    base_cpu_seconds: float = 20.0
    cpu_rate: float = 2.0
    silence_seconds: float = 45.0
    index_bytes: int = 16 << 20
    index_packets: int = 10_000
    most_index_packets: int = 200_000
    empty_packets: int = 10_000
    held_bytes: int = 32 << 20
    slots: int = 8
    ring_bytes: int = 32 << 20
    threads: int = 2

    def slots_of(self, slot_bytes: int) -> int:
        """Return the number of slots of a stream whose frames take at most `slot_bytes` bytes each."""
        return max(min(self.slots, self.ring_bytes // slot_bytes), min(self.slots, MIN_SLOTS))


MIN_SLOTS: Final = 3
MIN_SAMPLED: Final = 1e-6
"""Lowest sampling rate in frames per second. The instants of lower ones can be infinite."""
MIN_RATE: Final = 0.001
"""Lowest frame rate and lowest playback speed of a stream."""
LONGEST_SECONDS: Final = 1e9
"""Times and frame rates from this value on are not those of a video."""
LIMITS = Limits()


def confine(limits: Limits) -> None:
    """Apply the operating system's limits to this process permanently. It can open no file or socket afterwards."""
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    lower(resource.RLIMIT_NOFILE, 0)
    lower(resource.RLIMIT_AS, limits.address_space)


def lower(kind: int, value: int) -> None:
    """Lower a limit of this process. A limit that is already lower is kept."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def grant(seconds: float) -> None:
    """Kill this process unless `grant` or `rest` is called again within `seconds` of wall-clock time and of CPU time."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_PROF, seconds)


def rest() -> None:
    """Stop the timers of `grant` while this process waits for the reader of its frames."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_PROF, 0)


def cpu_seconds() -> float:
    """Return the CPU seconds that all threads of this process have used."""
    return time.process_time()


def exit_reason(status: int, limits: Limits, *, opened: bool) -> str:
    """Return why a decoder process ended, as the end of a sentence after the file's name.

    Args:
        status: Wait status of the process.
        limits: Its limits.
        opened: Whether it had opened the file.
    """
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number in (signal.SIGALRM, signal.SIGPROF, signal.SIGXCPU):
        if not opened:
            return "took too long to open, so it was stopped."
        return f"took longer than {limits.step_seconds:g} seconds to decode a single frame, so it was stopped."
    if number == signal.SIGKILL:
        return "could not be decoded any further: the decoder was killed, probably because memory ran out."
    if number:
        name = signal.Signals(number).name if number in signal.valid_signals() else str(number)
        return f"crashed the video decoder ({name}): it is damaged or malicious."
    return "could not be decoded any further: the decoder ended unexpectedly."
