"""Decoder processes from the side of their owner: starting the fork server, requesting a process, receiving frames.

Messages from a decoder process are untrusted, like the file that it decodes. Each is validated before it is used.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hermes.video.errors import DecoderUnavailableError, VideoError
from hermes.video.limits import LONGEST_SECONDS, Limits, exit_reason

Frame = npt.NDArray[np.uint8]

MAX_LINE: Final = 65_536
MAX_TEXT: Final = 400
STATUS: Final = struct.Struct("=i")
STATUS_SECONDS: Final = 2.0
PROGRAM: Final = "import sys; sys.path[:] = {path!r}; from hermes.video.fork_server import main; main({control})"


class ForkServer:
    """Starts decoder processes. The fork server's process starts on first use, and again if it has died.

    Attributes:
        requests: Decoder processes requested so far, one for each opening of a file.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process now, so that the first stream does not wait for it."""
        with self._lock:
            self._running()

    def request(self, descriptors: list[int]) -> None:
        """Request a decoder process with four descriptors, see `hermes.video.fork_server`.

        Raises:
            DecoderUnavailableError: The fork server cannot be started.
        """
        with self._lock:
            self.requests += 1
        for attempt in range(2):
            with self._lock:
                control = self._running()
            try:
                socket.send_fds(control, [b"d"], descriptors)
                return
            except OSError as error:
                if attempt:
                    raise DecoderUnavailableError(
                        f"The video decoder cannot be started: {error.strerror or error}."
                    ) from None
                self._forget(control)

    def close(self) -> None:
        """End the fork server and all decoder processes."""
        with self._lock:
            control, self._control = self._control, None
            process, self._process = self._process, None
        if control is not None:
            control.close()
        if process is not None:
            process.wait()

    def _forget(self, control: socket.socket) -> None:
        with self._lock:
            if self._control is control:
                self._control = None
        control.close()

    def _running(self) -> socket.socket:
        if self._control is None or self._process is None or self._process.poll() is not None:
            mine, theirs = socket.socketpair()
            root = str(Path(__file__).resolve().parents[2])
            path = [root, *(entry for entry in sys.path if entry and entry != root)]
            program = PROGRAM.format(path=path, control=theirs.fileno())
            environment = {
                name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ
            }
            environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
            try:
                self._process = subprocess.Popen(  # noqa: S603  (the fixed program above)
                    [sys.executable, "-I", "-S", "-c", program],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    cwd="/",
                )
            except OSError as error:
                mine.close()
                raise DecoderUnavailableError(f"The video decoder cannot be started: {error.strerror}.") from None
            finally:
                theirs.close()
            self._control = mine
        return self._control


@cache
def fork_server() -> ForkServer:
    """Return the fork server of this program. Processes that are forked from this one share it."""
    return ForkServer()


@dataclass(frozen=True)
class Opened:
    """Metadata that a decoder process sends after decoding the first frame, see `VideoInfo`."""

    duration: float | None
    fps: float | None
    width: int
    height: int
    rotation: int
    mirrored: bool
    frame_count: int | None
    size: tuple[int, int]


@dataclass(frozen=True)
class State:
    """Counters of a decoder process.

    Attributes:
        skipped: Frames that could not be decoded.
        decoded: Frames decoded, returned or not.
        notes: Sentences for the user about changes to the times.
        duration: Seconds of all presented frames; None until the end.
        ended_early: Whether the file ended well before the duration it states.
    """

    skipped: int = 0
    decoded: int = 0
    notes: tuple[str, ...] = ()
    duration: float | None = None
    ended_early: bool = False


class DecoderProcess:
    """One decoder process.

    Attributes:
        state: Its counters as of the last frame that was read.
    """

    def __init__(self, file: int, name: str, limits: Limits, request: dict[str, Any], server: ForkServer) -> None:
        """Start the process.

        Args:
            file: Descriptor of the video file.
            name: The file's name for messages.
            limits: Its limits.
            request: `demuxer`, `fps`, `start`, `end`, `max_side` and `probe`.
            server: The fork server.
        """
        self.state = State()
        self._name, self._limits = name, limits
        self._lines = b""
        self._reading = threading.RLock()
        self._last = -1.0
        self._size = (0, 0)
        side = int(request["max_side"])
        self._slot_bytes = 3 * min(side * side, limits.pixels)
        self._socket, theirs = socket.socketpair()
        self._status, status = socket.socketpair()
        self._socket.settimeout(limits.silence_seconds)
        self._status.settimeout(STATUS_SECONDS)
        self._slots = limits.slots_of(self._slot_bytes)
        self._read_slots = 0  # slots that were read and are not yet released
        memory = shared_memory(self._slot_bytes * self._slots)
        try:
            self._memory = mmap.mmap(memory, self._slot_bytes * self._slots, prot=mmap.PROT_READ)
            server.request([theirs.fileno(), file, memory, status.fileno()])
        except BaseException:
            self.close()
            raise
        finally:
            os.close(memory)
            theirs.close()
            status.close()
        line = json.dumps(
            {**request, "name": name, "limits": asdict(limits), "slot_bytes": self._slot_bytes, "slots": self._slots}
        )
        with contextlib.suppress(OSError):  # `opened` then reports why it has ended
            self._socket.sendall(line.encode() + b"\n")

    def opened(self) -> Opened:
        """Wait for the first frame and return the metadata of the file.

        Raises:
            VideoError: The file cannot be decoded.
        """
        with self._reading:
            return self._opened(self._receive())

    def _opened(self, message: dict[str, Any]) -> Opened:
        try:
            info, size = message["info"], message["size"]
            width, height = (_whole(number, 1, 100_000) for number in size)
            _whole(3 * width * height, 1, self._slot_bytes)
            opened = Opened(
                _seconds(info["duration"]),
                _seconds(info["fps"]),
                _whole(info["width"], 1, 1_000_000),
                _whole(info["height"], 1, 1_000_000),
                _whole(info["rotation"], 0, 270),
                bool(info["mirrored"]),
                None if info["frame_count"] is None else _whole(info["frame_count"], 0, 1 << 40),
                (width, height),
            )
        except (KeyError, TypeError, ValueError):
            raise self._broken() from None
        self._size = opened.size
        return opened

    def next_frame(self) -> tuple[Frame, float] | None:
        """Return the next sampled frame, uint8 [height, width, 3] RGB, and its time in seconds; None at the end.

        Raises:
            VideoError: The rest of the file cannot be decoded.
        """
        with self._reading:
            return self._frame(self._receive())

    def _frame(self, message: dict[str, Any]) -> tuple[Frame, float] | None:
        try:
            self.state = _state(message)
            if message.get("end"):
                self.close()
                return None
            slot, at = _whole(message["frame"], 0, self._slots - 1), _later(message["at"], self._last)
        except (KeyError, TypeError, ValueError):
            raise self._broken() from None
        self._last = at
        width, height = self._size
        view = np.frombuffer(self._memory, np.uint8, 3 * width * height, slot * self._slot_bytes)
        frame = view.reshape(height, width, 3).copy()
        self._release_slot()
        return frame, at

    def _release_slot(self) -> None:
        """Release half of the slots at a time, so that a decoder that waits is not woken for every frame."""
        self._read_slots += 1
        if 2 * self._read_slots >= self._slots:
            with contextlib.suppress(OSError):  # `_receive` then reports why it has ended
                self._socket.sendall(b"s" * self._read_slots)
            self._read_slots = 0

    def close(self) -> None:
        """End the process. Can be called from any thread, more than once."""
        for end in (self._socket, self._status):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads
        with self._reading:  # otherwise the descriptor could be reused while a thread reads
            self._socket.close()
            self._status.close()

    def _receive(self) -> dict[str, Any]:
        """The next message other than "busy"."""
        deadline = time.monotonic() + self._limits.silence_seconds
        while True:
            while b"\n" not in self._lines:
                if len(self._lines) > MAX_LINE:
                    raise self._broken()
                self._lines += self._read(deadline)
            line, _, self._lines = self._lines.partition(b"\n")
            try:
                message = json.loads(line)
            except ValueError:
                raise self._broken() from None
            if not isinstance(message, dict):
                raise self._broken()
            if "busy" in message:
                deadline = time.monotonic() + self._limits.silence_seconds
                continue
            if "error" in message:
                self.close()
                raise VideoError(_text(message["error"]) or f"{self._name} could not be decoded.")
            return message

    def _read(self, deadline: float) -> bytes:
        try:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self._socket.recv(MAX_LINE)
        except TimeoutError:
            self.close()
            silence = f"{self._limits.silence_seconds:g} seconds"
            raise VideoError(
                f"{self._name} could not be decoded any further: no frame came within {silence}."
            ) from None
        except OSError:
            data = b""
        if data:
            return data
        try:
            status = self._status.recv(STATUS.size)
        except OSError:
            status = b""
        self.close()
        number = STATUS.unpack(status)[0] if len(status) == STATUS.size else 0
        reason = exit_reason(number, self._limits, opened=self._size != (0, 0))
        raise VideoError(f"{self._name} {reason}")

    def _broken(self) -> VideoError:
        self.close()
        return VideoError(f"{self._name} could not be decoded any further: the decoder was disturbed by the file.")


def shared_memory(size: int) -> int:
    """Return a descriptor of memory for two processes. On Linux, neither of them can resize it."""
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415  (only there)

        memory = os.memfd_create("hermes-video", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, size)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return memory
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return os.dup(file.fileno())


def _state(message: dict[str, Any]) -> State:
    notes = tuple(filter(None, map(_text, list(message.get("notes", ()))[:20])))
    return State(
        _whole(message["skipped"], 0, 1 << 40),
        _whole(message["decoded"], 0, 1 << 40),
        notes,
        _seconds(message.get("duration")),
        bool(message.get("ended_early", False)),
    )


def _whole(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(value)
    return value


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not (math.isfinite(number) and 0 <= number < LONGEST_SECONDS):
        raise ValueError(value)
    return number


def _later(value: Any, last: float) -> float:
    number = _seconds(value)
    if number is None or number <= last:
        raise ValueError(value)
    return number


def _text(value: Any) -> str:
    return "".join(c for c in value if c.isprintable())[:MAX_TEXT] if isinstance(value, str) else ""
