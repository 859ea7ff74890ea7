"""The decoder process of one stream: receives a request, confines itself, and writes sampled frames to shared memory.

Messages are lines of JSON, at most `MAX_LINE` bytes each. After the request, the owner sends one byte for each slot of the
shared memory that it has read. `hermes.video.decoder_process` reads the messages of this process.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import mmap
import os
import pkgutil
import socket
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import av
import av.logging
import numpy as np

from hermes.video.decoder import Decoder, Sampling
from hermes.video.errors import VideoError
from hermes.video.formats import FileFormat
from hermes.video.limits import Limits, confine, grant, rest

if TYPE_CHECKING:
    from hermes.video.conversion import Picture

MAX_LINE: Final = 65_536
ALIVE_SECONDS: Final = 1.0


class _OwnerGoneError(Exception):
    """The other end of the socket was closed."""


def warm_up() -> None:
    """Import and initialise everything that decoder processes need: once confined, they cannot open module files."""
    av.logging.set_level(None)
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith(("__main__", "datasets")):
            importlib.import_module(module.name)
    decoder = Decoder(_tiny_video(), FileFormat("mov"), "", Sampling(1000.0, 0.0, math.inf, 16), Limits(), lambda: None)
    canvas = np.zeros((decoder.size[1], decoder.size[0], 3), np.uint8)
    for _ in decoder.sample(lambda: canvas):
        pass


def _tiny_video() -> io.BytesIO:
    """Encode a video of two frames."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    return file


def serve(connection: int, file: int, memory: int) -> None:
    """Answer the request from a socket, then return.

    Args:
        connection: Descriptor of the socket.
        file: Descriptor of the video file.
        memory: Descriptor of the shared memory.
    """
    owner = _Owner(socket.socket(fileno=connection))
    try:
        request = owner.read_request()
        limits = Limits(**request["limits"])
        slots = mmap.mmap(memory, request["slot_bytes"] * request["slots"])
        os.close(memory)
        confine(limits)
        owner.free = request["slots"]
        _answer(owner, io.FileIO(file, "rb"), slots, request, limits)
    except _OwnerGoneError:
        return


def _answer(owner: _Owner, file: io.FileIO, slots: mmap.mmap, request: dict[str, Any], limits: Limits) -> None:
    name = request["name"]
    sampling = Sampling(request["fps"], request["start"], request["end"] or math.inf, request["max_side"])
    try:
        grant(limits.open_seconds)
        clock = _Clock(owner, limits)
        decoder = Decoder(file, FileFormat(request["demuxer"]), name, sampling, limits, clock.tick)
        owner.send(info=asdict(decoder.metadata), size=decoder.size)
        if request["probe"]:
            return
        width, height = decoder.size
        slot = 0

        def canvas() -> Picture:
            owner.wait_for_slot()
            clock.tick()
            return np.frombuffer(slots, np.uint8, width * height * 3, slot * request["slot_bytes"]).reshape(
                height, width, 3
            )

        for at in decoder.sample(canvas):
            owner.send(frame=slot, at=at, **_state(decoder))
            slot = (slot + 1) % request["slots"]
        rest()
        owner.send(end=True, ended_early=decoder.ended_early, duration=decoder.duration, **_state(decoder))
    except VideoError as error:
        owner.send(error=str(error))
    except MemoryError:
        owner.send(error=f"{name} needs more than {limits.address_space / 2**30:.0f} GB of memory to decode.")
    except Exception as error:  # noqa: BLE001  (an error ends only this stream)
        if "memory" in str(error).lower():
            owner.send(error=f"{name} needs more than {limits.address_space / 2**30:.0f} GB of memory to decode.")
        else:
            owner.send(error=f"{name} could not be decoded any further: {type(error).__name__} in the decoder.")


def _state(decoder: Decoder) -> dict[str, Any]:
    return {"skipped": decoder.skipped, "decoded": decoder.decoded, "notes": decoder.notes}


class _Clock:
    """Extends the time limit for each packet, and reports to the owner at intervals that the decoder is alive."""

    def __init__(self, owner: _Owner, limits: Limits) -> None:
        self._owner, self._limits = owner, limits
        self._began = time.monotonic()

    def tick(self) -> None:
        grant(self._limits.step_seconds)
        now = time.monotonic()
        if now - self._owner.sent_at > ALIVE_SECONDS:
            self._owner.send(busy=True)


class _Owner:
    """The connection to the process that reads the frames."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.free = 0
        self.sent_at = time.monotonic()

    def read_request(self) -> dict[str, Any]:
        line = b""
        while not line.endswith(b"\n"):
            part = self._receive(1)
            line += part
            if len(line) > MAX_LINE:
                raise _OwnerGoneError
        request: dict[str, Any] = json.loads(line)
        return request

    def wait_for_slot(self) -> None:
        """Wait until a slot is free. The time limit is suspended."""
        if self.free == 0:
            rest()
            self.free += len(self._receive(64))
        self.free -= 1

    def send(self, **message: Any) -> None:
        self.sent_at = time.monotonic()
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise _OwnerGoneError from None

    def _receive(self, most: int) -> bytes:
        try:
            data = self._connection.recv(most)
        except OSError:
            raise _OwnerGoneError from None
        if not data:
            raise _OwnerGoneError
        return data
