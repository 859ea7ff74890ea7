"""The fork server: a small process that forks one decoder process for each stream.

It has imported the decoder, has a single thread and never reads an untrusted file. A decoder process therefore starts in a
few milliseconds and contains no data of earlier streams.

Protocol: each request on the control socket is one byte together with four descriptors: the decoder process's end of its
socket, the video file, the shared memory, and a status socket. The fork server writes the wait status of the decoder
process to the status socket once it has ended, and kills it when the other end of the status socket is closed. It exits
when the control socket is closed, and takes all decoder processes with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import selectors
import signal
import socket
import struct
import sys
from typing import Final

import cv2

from hermes.video import worker

DESCRIPTORS: Final = 4
STATUS: Final = struct.Struct("=i")
PR_SET_PDEATHSIG: Final = 1
FIRST_FREE: Final = 6  # after standard streams and the three descriptors of a decoder process


def main(control: int) -> None:
    """Serve requests until the other end of the control socket is closed."""
    cv2.setNumThreads(1)
    worker.warm_up()
    gc.freeze()
    _ForkServer(socket.socket(fileno=control)).run()


class _ForkServer:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is handled by the parent process
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup, write = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._selector.register(self._wakeup, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    if not self._accept():
                        self._kill_all()
                        return
                elif key.fileobj == self._wakeup:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wakeup, 4096)
                else:
                    self._kill(key.data)
            self._reap()

    def _accept(self) -> bool:
        """Fork a decoder process for a request; False at the end of the requests."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, 1, DESCRIPTORS)
        except OSError:
            return False
        if not message:
            return False
        if len(descriptors) != DESCRIPTORS:
            _close(descriptors)
            return True
        try:
            child = os.fork()
        except OSError:
            _close(descriptors)  # the other ends see the end of the stream
            return True
        if child == 0:
            _become_worker(descriptors[:3])
        _close(descriptors[:3])
        status = socket.socket(fileno=descriptors[3])
        self._children[child] = status
        self._selector.register(status, selectors.EVENT_READ, child)
        return True

    def _kill(self, child: int) -> None:
        """Kill a decoder process whose owner has closed the status socket."""
        self._selector.unregister(self._children[child])
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    def _kill_all(self) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def _reap(self) -> None:
        while self._children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            answer = self._children.pop(child)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(answer)
            with contextlib.suppress(OSError):
                answer.send(STATUS.pack(status))
            answer.close()


def _become_worker(descriptors: list[int]) -> None:
    """Run a decoder process in the forked child; never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        high = [os.dup(number) for number in descriptors]  # so that none is overwritten before it is copied
        for place, number in enumerate(high, start=FIRST_FREE - len(high)):
            os.dup2(number, place, inheritable=False)
        os.closerange(FIRST_FREE, os.sysconf("SC_OPEN_MAX"))
        worker.serve(*range(FIRST_FREE - len(high), FIRST_FREE))
        code = 0
    finally:
        os._exit(code)


def _close(descriptors: list[int]) -> None:
    for number in descriptors:
        os.close(number)
